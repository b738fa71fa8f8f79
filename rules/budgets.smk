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
