"""Stage frames: open each video once and keep the frames that all admissible budgets need."""


rule store:
    input:
        videos="<results>/curation/manifest.parquet",
    output:
        frames="<results>/frames/shard-{shard}.arrow",
        quarantine="<results>/frames/shard-{shard}.quarantine.csv",
    log:
        "<logs>/frames/shard-{shard}.log",
    benchmark:
        "<benchmarks>/frames/shard-{shard}.jsonl"
    threads: STUDY.compute.threads.frames
    resources:
        mem_mb=16000,
        runtime=720,
    params:
        code=code("frames.store"),
        revision=STUDY.dataset.revision,
        root=STUDY.dataset.root,
        shard=lambda wildcards: wildcards.shard,
        shards=STUDY.frames.shards,
        budgets=STUDY.frames.budgets,
        sampling=STUDY.frames.sampling,
        fps=f"--fps {STUDY.frames.fps}" if STUDY.frames.sampling == "fps" else "",
        pictures=f"--max-pixels {STUDY.frames.max_pixels} --jpeg-quality {STUDY.frames.jpeg_quality}",
        last_frame="",
    message:
        "storing frames of the training videos, shard {params.shard} of 0 to {params.shards} - 1"
    shell:
        "python -m workflow_scripts.frames.store --videos {input.videos:q} --root {params.root:q}"
        " --shard {params.shard} --shards {params.shards} --budgets {params.budgets} --sampling {params.sampling}"
        " {params.fps} {params.pictures} {params.last_frame}"
        " --workers {threads} --output {output.frames:q} --quarantine {output.quarantine:q} > {log:q} 2>&1"


use rule store as benchmark_store with:
    input:
        optional(STUDY.benchmarks.ready),
        videos="<results>/evaluation/media/{benchmark}.csv",
    output:
        frames="<results>/frames/benchmarks/{benchmark}.arrow",
        quarantine="<results>/frames/benchmarks/{benchmark}.quarantine.csv",
    log:
        "<logs>/frames/{benchmark}.log",
    benchmark:
        "<benchmarks>/frames/{benchmark}.jsonl"
    params:
        code=code("frames.store"),
        revision=lambda wildcards: STUDY.benchmarks.registry[wildcards.benchmark].revision,
        root=STUDY.benchmarks.root,
        shard=0,
        shards=1,
        budgets=STUDY.frames.budgets,
        sampling=STUDY.frames.sampling,
        fps=f"--fps {STUDY.frames.fps}" if STUDY.frames.sampling == "fps" else "",
        pictures=f"--max-pixels {STUDY.frames.max_pixels} --jpeg-quality {STUDY.frames.jpeg_quality}",
        last_frame=lambda wildcards: "--last-frame" if STUDY.benchmarks.registry[wildcards.benchmark].last_frame else "",
    message:
        "storing frames of benchmark {wildcards.benchmark}"
