"""Stage miniature: a small world of drawn videos and questions. Asked for only where settings name its files."""

MINIATURE = "<results>/miniature"


rule world:
    output:
        world=f"{MINIATURE}/world.json",
        truth=f"{MINIATURE}/truth.parquet",
    log:
        "<logs>/miniature/world.log",
    benchmark:
        "<benchmarks>/miniature/world.jsonl"
    threads: STUDY.compute.threads.miniature
    params:
        code=code("miniature.world"),
        settings=world_settings,
    message:
        "drawing the miniature's videos"
    shell:
        "python -m workflow_scripts.miniature.world --settings {params.settings:q} --threads {threads}"
        " --output {output.world:q} > {log:q} 2>&1"


rule benchmarks:
    output:
        f"{MINIATURE}/benchmarks.json",
    log:
        "<logs>/miniature/benchmarks.log",
    benchmark:
        "<benchmarks>/miniature/benchmarks.jsonl"
    threads: STUDY.compute.threads.miniature
    params:
        code=code("miniature.benchmarks"),
        settings=world_settings,
    message:
        "drawing the miniature's benchmarks"
    shell:
        "python -m workflow_scripts.miniature.benchmarks --settings {params.settings:q} --threads {threads}"
        " --output {output:q} > {log:q} 2>&1"


rule stills:
    output:
        f"{MINIATURE}/images.json",
    log:
        "<logs>/miniature/images.log",
    benchmark:
        "<benchmarks>/miniature/images.jsonl"
    params:
        code=code("miniature.images"),
        settings=lambda wildcards: to_json(STUDY.miniature),
    message:
        "drawing the miniature's conversations about stills"
    shell:
        "python -m workflow_scripts.miniature.images --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule boxes:
    output:
        f"{MINIATURE}/boxes.json",
    log:
        "<logs>/miniature/boxes.log",
    benchmark:
        "<benchmarks>/miniature/boxes.jsonl"
    params:
        code=code("miniature.boxes"),
        settings=lambda wildcards: to_json(STUDY.miniature),
    message:
        "drawing the miniature's questions with boxes"
    shell:
        "python -m workflow_scripts.miniature.boxes --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


# The models are shipped in resources/miniature/ and made again only on demand, by
#   snakemake miniature_models --forceall --configfile presets/miniature.yaml
rule miniature_models:
    input:
        [f"resources/miniature/{name}/model.safetensors" for name in [*STUDY.models, *miniature_predictors()]],
    message:
        "all miniature models"


rule pretrain:
    input:
        miniature_start,
    output:
        "resources/miniature/{model}/model.safetensors",
    log:
        "<logs>/miniature/pretrain/{model}.log",
    benchmark:
        "<benchmarks>/miniature/pretrain/{model}.jsonl"
    threads: STUDY.compute.threads.miniature
    params:
        model=lambda wildcards: to_json(STUDY.models[wildcards.model]),
        start=lambda wildcards, input: ["--start-from", os.path.dirname(input[0])] if input else [],
        checkpoints=lambda wildcards: f"results/{STUDY.study}/miniature/checkpoints/{wildcards.model}",
        folder=subpath(output[0], parent=True),
    message:
        "training the miniature {wildcards.model}"
    shell:
        "python -m workflow_scripts.miniature.pretrain --model {params.model:q} {params.start:q} --threads {threads}"
        " --checkpoints {params.checkpoints:q} --output {params.folder:q} > {log:q} 2>&1"


rule predictors_in_miniature:
    input:
        miniature_start,
    output:
        "resources/miniature/{miniature_predictor}/model.safetensors",
    log:
        "<logs>/miniature/pretrain/{miniature_predictor}.log",
    benchmark:
        "<benchmarks>/miniature/pretrain/{miniature_predictor}.jsonl"
    threads: STUDY.compute.threads.miniature
    params:
        use=lambda wildcards: miniature_use(wildcards.miniature_predictor),
        start=lambda wildcards, input: ["--start-from", os.path.dirname(input[0])] if input else [],
        checkpoints=lambda wildcards: f"results/{STUDY.study}/miniature/checkpoints/{wildcards.miniature_predictor}",
        folder=subpath(output[0], parent=True),
    message:
        "training the miniature {wildcards.miniature_predictor}"
    shell:
        "python -m workflow_scripts.miniature.predictors --name {wildcards.miniature_predictor} {params.use:q}"
        " {params.start:q} --threads {threads} --checkpoints {params.checkpoints:q} --output {params.folder:q} > {log:q} 2>&1"
