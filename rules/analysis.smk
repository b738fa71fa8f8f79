"""Stage analysis: scores with intervals, and changes against the base; of the study, and of each experiment."""


rule scores:
    input:
        evaluation_files(),
    output:
        "<results>/analysis/scores.csv",
    log:
        "<logs>/analysis/scores.log",
    benchmark:
        "<benchmarks>/analysis/scores.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input}),
        code=code("analysis.scores"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "gathering scores into {output}"
    shell:
        "python -m workflow_scripts.analysis.scores --evaluations {params.folders:q} {params.draws}"
        " --output {output:q} > {log:q} 2>&1"


use rule scores as figure_scores with:
    input:
        lambda wildcards: evaluation_files(wildcards.figure),
    output:
        "<results>/analysis/{figure}/scores.csv",
    log:
        "<logs>/analysis/{figure}/scores.log",
    benchmark:
        "<benchmarks>/analysis/{figure}/scores.jsonl"


rule deltas:
    input:
        evaluations=evaluation_files(),
        scores="<results>/analysis/scores.csv",
    output:
        "<results>/analysis/deltas.csv",
    log:
        "<logs>/analysis/deltas.log",
    benchmark:
        "<benchmarks>/analysis/deltas.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input.evaluations}),
        code=code("analysis.deltas"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "comparing tuned models with their bases into {output}"
    shell:
        "python -m workflow_scripts.analysis.deltas --scores {input.scores:q} --evaluations {params.folders:q}"
        " {params.draws} --output {output:q} > {log:q} 2>&1"


use rule deltas as figure_deltas with:
    input:
        evaluations=lambda wildcards: evaluation_files(wildcards.figure),
        scores="<results>/analysis/{figure}/scores.csv",
    output:
        "<results>/analysis/{figure}/deltas.csv",
    log:
        "<logs>/analysis/{figure}/deltas.log",
    benchmark:
        "<benchmarks>/analysis/{figure}/deltas.jsonl"


rule figure_abilities:
    input:
        lambda wildcards: evaluation_files(wildcards.figure),
    output:
        "<results>/analysis/{figure}/abilities.csv",
    log:
        "<logs>/analysis/{figure}/abilities.log",
    benchmark:
        "<benchmarks>/analysis/{figure}/abilities.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input}),
        code=code("analysis.abilities"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "comparing the abilities of tuned models with their bases' into {output}"
    shell:
        "python -m workflow_scripts.analysis.abilities --evaluations {params.folders:q} {params.draws}"
        " --output {output:q} > {log:q} 2>&1"


rule figure_frame_effects:
    input:
        lambda wildcards: evaluation_files(wildcards.figure),
    output:
        "<results>/analysis/{figure}/frame_effects.csv",
    log:
        "<logs>/analysis/{figure}/frame_effects.log",
    benchmark:
        "<benchmarks>/analysis/{figure}/frame_effects.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input}),
        code=code("analysis.frame_effects"),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "comparing the most with the fewest frames into {output}"
    shell:
        "python -m workflow_scripts.analysis.frame_effects --evaluations {params.folders:q} {params.draws}"
        " --output {output:q} > {log:q} 2>&1"


rule figure_contrasts:
    input:
        lambda wildcards: evaluation_files(wildcards.figure),
    output:
        "<results>/analysis/{figure}/contrasts.csv",
    log:
        "<logs>/analysis/{figure}/contrasts.log",
    benchmark:
        "<benchmarks>/analysis/{figure}/contrasts.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        folders=lambda wildcards, input: sorted({os.path.dirname(path) for path in input}),
        code=code("analysis.contrasts"),
        pairs=pairs(),
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "setting allocations against each other into {output}"
    shell:
        "python -m workflow_scripts.analysis.contrasts --evaluations {params.folders:q} --pairs {params.pairs:q}"
        " {params.draws} --output {output:q} > {log:q} 2>&1"


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
