"""Stage curation: draw the sample of training videos, and leave out what is broken."""


rule inventory:
    input:
        optional(STUDY.dataset.ready),
    output:
        inventory="<results>/curation/inventory.json",
        index="<results>/curation/index.parquet",
        malformed="<results>/curation/malformed.csv",
    log:
        "<logs>/curation/inventory.log",
    benchmark:
        "<benchmarks>/curation/inventory.jsonl"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("curation.inventory"),
        revision=STUDY.dataset.revision,
        root=STUDY.dataset.root,
        subsets=STUDY.dataset.subsets,
        seed=STUDY.curation.seed,
    message:
        "reading the dataset's annotations"
    shell:
        "python -m workflow_scripts.curation.inventory --dataset {params.root:q} --subsets {params.subsets:q}"
        " --seed {params.seed} --output {output.inventory:q} --index {output.index:q} --malformed {output.malformed:q}"
        " > {log:q} 2>&1"


rule shortlist:
    input:
        fetched=fetched_videos,
        index=rules.inventory.output.index,
    output:
        "<results>/curation/shortlist.parquet",
    log:
        "<logs>/curation/shortlist.log",
    benchmark:
        "<benchmarks>/curation/shortlist.jsonl"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code("curation.shortlist"),
        draw=draw_flags(),
        fetched=fetched_flags,
    message:
        "drawing the videos to probe"
    shell:
        "python -m workflow_scripts.curation.shortlist --index {input.index:q} {params.draw:q}"
        " {params.fetched:q} --output {output:q} > {log:q} 2>&1"


rule probe:
    input:
        rules.shortlist.output,
    output:
        "<results>/curation/probes/shard-{shard}.parquet",
    log:
        "<logs>/curation/probe/shard-{shard}.log",
    benchmark:
        "<benchmarks>/curation/probe/shard-{shard}.jsonl"
    threads: STUDY.compute.threads.curation
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        code=code("curation.probe"),
        root=STUDY.dataset.root,
        shards=STUDY.curation.probe_shards,
        timeout=f"--timeout {STUDY.curation.probe_timeout_s}",
    message:
        "probing videos, shard {wildcards.shard} of 0 to {params.shards} - 1"
    shell:
        "python -m workflow_scripts.curation.probe --shortlist {input:q} --dataset {params.root:q}"
        " --shard {wildcards.shard} --shards {params.shards} --workers {threads} {params.timeout}"
        " --output {output:q} > {log:q} 2>&1"


rule manifest:
    input:
        fetched=fetched_videos,
        inventory=rules.inventory.output.inventory,
        index=rules.inventory.output.index,
        malformed=rules.inventory.output.malformed,
        probes=expand(rules.probe.output, shard=range(STUDY.curation.probe_shards), allow_missing=True),
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
        mem_mb=8000,
        runtime=240,
    params:
        code=code("curation.manifest"),
        root=STUDY.dataset.root,
        draw=draw_flags(),
        fetched=fetched_flags,
        timeout=f"--probe-timeout {STUDY.curation.probe_timeout_s}",
    message:
        "drawing the sample among the videos that can be used"
    shell:
        "python -m workflow_scripts.curation.manifest --inventory {input.inventory:q} --index {input.index:q}"
        " --malformed {input.malformed:q} --dataset {params.root:q} {params.draw:q} {params.fetched:q}"
        " --probes {input.probes:q} --workers {threads} {params.timeout} --output {output.manifest:q}"
        " --quarantine {output.quarantine:q} --statistics {output.statistics:q} > {log:q} 2>&1"


rule images:
    input:
        lambda wildcards: optional(STUDY.images.ready if STUDY.images else None),
    output:
        table="<results>/curation/images.parquet",
        store="<results>/curation/images.arrow",
        quarantine="<results>/curation/images.quarantine.csv",
    log:
        "<logs>/curation/images.log",
    benchmark:
        "<benchmarks>/curation/images.jsonl"
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        code=code("curation.draw_images"),
        settings=lambda wildcards: to_json(STUDY.images),
    message:
        "drawing conversations about images"
    shell:
        "python -m workflow_scripts.curation.draw_images --settings {params.settings:q} --output {output.table:q}"
        " --store {output.store:q} --quarantine {output.quarantine:q} > {log:q} 2>&1"
