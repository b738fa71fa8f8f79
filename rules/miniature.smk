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
        settings=lambda wildcards: to_json(STUDY.miniature),
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
        settings=lambda wildcards: to_json(STUDY.miniature),
    message:
        "drawing the miniature's benchmarks"
    shell:
        "python -m workflow_scripts.miniature.benchmarks --settings {params.settings:q} --threads {threads}"
        " --output {output:q} > {log:q} 2>&1"
