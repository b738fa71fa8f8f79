"""Stage curation: draw the sample of training videos, and leave out what is broken."""


rule inventory:
    input:
        optional(STUDY.dataset.ready),
    output:
        "<results>/curation/inventory.json",
    log:
        "<logs>/curation/inventory.log",
    benchmark:
        "<benchmarks>/curation/inventory.jsonl"
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        root=STUDY.dataset.root,
        subsets=STUDY.dataset.subsets,
    message:
        "listing the dataset's annotations"
    shell:
        "python -m workflow_scripts.curation.inventory --dataset {params.root:q} --subsets {params.subsets:q}"
        " --output {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        "<results>/curation/inventory.json",
    output:
        manifest="<results>/curation/manifest.parquet",
        quarantine="<results>/curation/quarantine.csv",
        statistics="<results>/curation/statistics.csv",
    log:
        "<logs>/curation/manifest.log",
    benchmark:
        "<benchmarks>/curation/manifest.jsonl"
    threads: STUDY.compute.threads.curation
    resources:
        mem_mb=32000,
        runtime=720,
    params:
        root=STUDY.dataset.root,
        videos=STUDY.curation.videos,
        seed=STUDY.curation.seed,
        shares=lambda wildcards: to_json(STUDY.curation.shares),
        timeout=STUDY.curation.probe_timeout_s,
    message:
        "drawing {params.videos} videos and probing them"
    shell:
        "python -m workflow_scripts.curation.manifest --inventory {input:q} --dataset {params.root:q}"
        " --videos {params.videos} --seed {params.seed} --shares {params.shares:q} --workers {threads}"
        " --probe-timeout {params.timeout} --output {output.manifest:q} --quarantine {output.quarantine:q}"
        " --statistics {output.statistics:q} > {log:q} 2>&1"
