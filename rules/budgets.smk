"""Stage budgets: how many frames each sample gets, one file an allocation."""


rule uniform:
    input:
        "<results>/curation/manifest.parquet",
    output:
        "<results>/budgets/uniform-{frames}.parquet",
    log:
        "<logs>/budgets/uniform-{frames}.log",
    benchmark:
        "<benchmarks>/budgets/uniform-{frames}.jsonl"
    resources:
        mem_mb=8000,
        runtime=10,
    params:
        code=code("budgets.uniform"),
    message:
        "giving every sample {wildcards.frames} frames"
    shell:
        "python -m workflow_scripts.budgets.uniform --manifest {input:q} --frames {wildcards.frames}"
        " --output {output:q} > {log:q} 2>&1"


rule dinov2:
    input:
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
    output:
        "<results>/budgets/hybrid-dinov2.parquet",
    log:
        "<logs>/budgets/hybrid-dinov2.log",
    benchmark:
        "<benchmarks>/budgets/hybrid-dinov2.jsonl"
    threads: STUDY.compute.threads.budgets
    resources:
        mem_mb=16000,
        runtime=720,
        gpu=0 if STUDY.compute.gpu_memory_gb is None else 1,
    params:
        code=code("budgets.dinov2"),
        weights=lambda wildcards: content(STUDY.budgets.dinov2.source),
        dino=lambda wildcards: to_json(STUDY.budgets.dinov2),
        admissible=STUDY.frames.budgets,
        device=STUDY.compute.device,
    message:
        "predicting budgets by the similarity of frames"
    shell:
        "python -m workflow_scripts.budgets.dinov2 --manifest {input.manifest:q} --store {input.store:q}"
        " --dino {params.dino:q} --admissible {params.admissible} --device {params.device} --threads {threads}"
        " --output {output:q} > {log:q} 2>&1"


rule vlm:
    input:
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
    output:
        "<results>/budgets/hybrid-{predictor}.parquet",
    log:
        "<logs>/budgets/hybrid-{predictor}.log",
    benchmark:
        "<benchmarks>/budgets/hybrid-{predictor}.jsonl"
    threads: STUDY.compute.threads.budgets
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(STUDY.budgets.predictors[wildcards.predictor].model),
        runtime=720,
        gpu=lambda wildcards: demand.gpus(STUDY, STUDY.budgets.predictors[wildcards.predictor].model),
    params:
        code=code("budgets.vlm"),
        weights=lambda wildcards: content(STUDY.budgets.predictors[wildcards.predictor].model.source),
        predictor=lambda wildcards: to_json(STUDY.budgets.predictors[wildcards.predictor]),
        admissible=STUDY.frames.budgets,
        device=STUDY.compute.device,
    message:
        "predicting budgets with {wildcards.predictor}"
    shell:
        "python -m workflow_scripts.budgets.vlm --manifest {input.manifest:q} --store {input.store:q}"
        " --predictor {params.predictor:q} --admissible {params.admissible} --device {params.device}"
        " --threads {threads} --output {output:q} > {log:q} 2>&1"


rule likelihood:
    input:
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
    output:
        "<results>/budgets/hybrid-likelihood.parquet",
    log:
        "<logs>/budgets/hybrid-likelihood.log",
    benchmark:
        "<benchmarks>/budgets/hybrid-likelihood.jsonl"
    threads: STUDY.compute.threads.budgets
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(oracle_model()),
        runtime=lambda wildcards: demand.likelihood_minutes(STUDY, oracle_model()),
        gpu=lambda wildcards: demand.gpus(STUDY, oracle_model()),
    params:
        code=code("budgets.likelihood"),
        weights=lambda wildcards: content(oracle_model().source),
        model=lambda wildcards: to_json(oracle_model()),
        tolerance=STUDY.budgets.oracle.tolerance,
        admissible=STUDY.frames.budgets,
        device=STUDY.compute.device,
    message:
        "reading the samples' answers after each admissible number of frames"
    shell:
        "python -m workflow_scripts.budgets.likelihood --manifest {input.manifest:q} --store {input.store:q}"
        " --model {params.model:q} --tolerance {params.tolerance} --admissible {params.admissible}"
        " --device {params.device} --threads {threads} --output {output:q} > {log:q} 2>&1"


rule oracle:
    input:
        **true_budgets(),
        manifest="<results>/curation/manifest.parquet",
    output:
        "<results>/budgets/hybrid-oracle.parquet",
    log:
        "<logs>/budgets/hybrid-oracle.log",
    benchmark:
        "<benchmarks>/budgets/hybrid-oracle.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("budgets.oracle"),
        known=lambda wildcards, input: [f"--{name}" for name in true_budgets()] + [input[0]],
        admissible=STUDY.frames.budgets,
    message:
        "giving every sample its minimal sufficient budget"
    shell:
        "python -m workflow_scripts.budgets.oracle --manifest {input.manifest:q} {params.known:q}"
        " --admissible {params.admissible} --output {output:q} > {log:q} 2>&1"


rule shuffled:
    input:
        manifest="<results>/curation/manifest.parquet",
        store=shards(),
        budgets=f"<results>/budgets/hybrid-{STUDY.budgets.random.predictor}.parquet",
    output:
        "<results>/budgets/hybrid-random.parquet",
    log:
        "<logs>/budgets/hybrid-random.log",
    benchmark:
        "<benchmarks>/budgets/hybrid-random.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("budgets.shuffled"),
        seed=STUDY.budgets.random.seed,
        admissible=STUDY.frames.budgets,
    message:
        "dealing out the budgets of hybrid-{STUDY.budgets.random.predictor} by chance"
    shell:
        "python -m workflow_scripts.budgets.shuffled --manifest {input.manifest:q} --store {input.store:q}"
        " --budgets {input.budgets:q} --seed {params.seed} --admissible {params.admissible}"
        " --output {output:q} > {log:q} 2>&1"
