"""Stage miniature: a small world of drawn videos and questions, and the small models. Asked for only where settings name its files."""

MINIATURE = "<results>/miniature"


rule world:
    output:
        f"{MINIATURE}/world.json",
        f"{MINIATURE}/truth.parquet",
    log:
        "<logs>/miniature/world.log",
    benchmark:
        "<benchmarks>/miniature/world.jsonl"
    params:
        settings=lambda wildcards: to_json(STUDY.miniature),
    threads: STUDY.compute.threads.miniature
    message:
        "drawing the miniature's videos"
    shell:
        "python -m workflow_scripts.miniature.world --settings {params.settings:q} --threads {threads}"
        " --output {output[0]:q} > {log:q} 2>&1"


rule benchmarks:
    output:
        f"{MINIATURE}/benchmarks.json",
    log:
        "<logs>/miniature/benchmarks.log",
    benchmark:
        "<benchmarks>/miniature/benchmarks.jsonl"
    params:
        settings=lambda wildcards: to_json(STUDY.miniature),
    threads: STUDY.compute.threads.miniature
    message:
        "drawing the miniature's benchmarks"
    shell:
        "python -m workflow_scripts.miniature.benchmarks --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"
