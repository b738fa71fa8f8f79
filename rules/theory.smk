"""Stage analysis: the paper's theory, measured: gradients along a run, and where models look."""

AT = "analysis/gradient_alignment/at-{percent}"


rule alignment:
    input:
        theory_weights,
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
        images="<results>/curation/images.parquet",
        pictures="<results>/curation/images.arrow",
        allocation=lambda wildcards: f"<results>/budgets/{theory_run().allocation}.parquet",
    output:
        vectors=f"<results>/{AT}/gradients.npz",
        samples=f"<results>/{AT}/samples.parquet",
        summary=f"<results>/{AT}/alignment.json",
    log:
        f"<logs>/{AT}/alignment.log",
    benchmark:
        f"<benchmarks>/{AT}/alignment.jsonl"
    threads: STUDY.compute.threads.finetuning
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(STUDY.models[theory_run().model]),
        runtime=theory_demand(demand.gradient_minutes),
        gpu=theory_demand(demand.gradient_gpus),
    params:
        code=code("analysis.alignment"),
        weights=lambda wildcards: content(STUDY.models[theory_run().model].source),
        checkpoint=theory_flags,
        theory=to_json(STUDY.theory),
        budgets=STUDY.frames.budgets,
        device=STUDY.compute.device,
        folder=subpath(output.summary, parent=True),
    message:
        "measuring image and video gradients after {wildcards.percent} % of the run"
    shell:
        "python -m workflow_scripts.analysis.alignment --percent {wildcards.percent} {params.checkpoint:q}"
        " --theory {params.theory:q} --budgets {params.budgets} --manifest {input.manifest:q}"
        " --allocation {input.allocation:q} --store {input.store:q} --images {input.images:q}"
        " --pictures {input.pictures:q} --device {params.device} --threads {threads}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule steps:
    input:
        theory_weights,
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
        images="<results>/curation/images.parquet",
        pictures="<results>/curation/images.arrow",
    output:
        steps=f"<results>/{AT}/steps.parquet",
        budgets=f"<results>/{AT}/budgets.parquet",
        summary=f"<results>/{AT}/curvature.json",
    log:
        f"<logs>/{AT}/steps.log",
    benchmark:
        f"<benchmarks>/{AT}/steps.jsonl"
    threads: STUDY.compute.threads.finetuning
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(STUDY.models[theory_run().model]),
        runtime=theory_demand(demand.gradient_minutes),
        gpu=theory_demand(demand.gradient_gpus),
    params:
        code=code("analysis.steps"),
        weights=lambda wildcards: content(STUDY.models[theory_run().model].source),
        checkpoint=theory_flags,
        theory=to_json(STUDY.theory),
        budgets=STUDY.frames.budgets,
        device=STUDY.compute.device,
        folder=subpath(output.summary, parent=True),
    message:
        "stepping along video gradients after {wildcards.percent} % of the run"
    shell:
        "python -m workflow_scripts.analysis.steps --percent {wildcards.percent} {params.checkpoint:q}"
        " --theory {params.theory:q} --budgets {params.budgets} --manifest {input.manifest:q} --store {input.store:q}"
        " --images {input.images:q} --pictures {input.pictures:q} --device {params.device} --threads {threads}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule propositions:
    input:
        measured=lambda wildcards: [
            f"{folder}/{name}.json" for folder in theory_folders() for name in ("alignment", "curvature")
        ],
        sufficient="<results>/budgets/hybrid-oracle.parquet",
    output:
        expand(
            "<results>/analysis/gradient_alignment/{table}.csv",
            table=["alignment", "decomposition", "steps", "conditions", "second_moment", "smallest"],
        ),
    log:
        "<logs>/analysis/gradient_alignment/propositions.log",
    benchmark:
        "<benchmarks>/analysis/gradient_alignment/propositions.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input.measured}),
        code=code("analysis.propositions"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
        folder=subpath(output[0], parent=True),
    message:
        "testing the propositions on the measured gradients"
    shell:
        "python -m workflow_scripts.analysis.propositions --measured {params.folders:q}"
        " --sufficient {input.sufficient:q} {params.draws} --output {params.folder:q} > {log:q} 2>&1"


LOOK = "analysis/attention/looks/{subject}"


rule looks:
    input:
        optional(STUDY.attention.ready),
        weights=weights,
    output:
        shares=f"<results>/{LOOK}/shares.parquet",
        pictures=f"<results>/{LOOK}/pictures.npz",
    log:
        f"<logs>/{LOOK}.log",
    benchmark:
        f"<benchmarks>/{LOOK}.jsonl"
    threads: STUDY.compute.threads.evaluation
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(base_model(wildcards)),
        runtime=lambda wildcards: demand.inference_minutes(STUDY, base_model(wildcards)),
        gpu=inference_gpus,
    params:
        code=code("analysis.attention"),
        weights=base_content,
        model=evaluated_model,
        adapter=adapter_flags,
        settings=lambda wildcards: to_json(STUDY.attention),
        device=STUDY.compute.device,
        folder=subpath(output.shares, parent=True),
    message:
        "looking where {wildcards.subject} looks"
    shell:
        "python -m workflow_scripts.analysis.attention --model {params.model:q} {params.adapter:q}"
        " --settings {params.settings:q} --device {params.device} --threads {threads}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule concentration:
    input:
        look_files,
    output:
        "<results>/analysis/attention/concentration.csv",
    log:
        "<logs>/analysis/attention/concentration.log",
    benchmark:
        "<benchmarks>/analysis/attention/concentration.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input],
        models=lambda wildcards: to_json(looking_models()),
        code=code("analysis.concentration"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "comparing attention before and after fine-tuning and across sizes"
    shell:
        "python -m workflow_scripts.analysis.concentration --folders {params.folders:q} --models {params.models:q}"
        " {params.draws} --output {output:q} > {log:q} 2>&1"
