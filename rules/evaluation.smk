"""Stage evaluation: one process evaluates one model on one suite."""

EVALUATION = "evaluation/{subject}/{suite}/frames-{frames}"


rule media:
    input:
        optional(STUDY.benchmarks.ready),
    output:
        "<results>/evaluation/media/{benchmark}.csv",
    log:
        "<logs>/evaluation/media/{benchmark}.log",
    benchmark:
        "<benchmarks>/evaluation/media/{benchmark}.jsonl"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=code("evaluation.media"),
        benchmark=lambda wildcards: to_json(STUDY.benchmarks.registry[wildcards.benchmark]),
        tasks=STUDY.benchmarks.tasks or "none",
        root=STUDY.benchmarks.root,
    message:
        "listing the videos of benchmark {wildcards.benchmark}"
    shell:
        "python -m workflow_scripts.evaluation.media --benchmark {params.benchmark:q} --tasks {params.tasks:q}"
        " --root {params.root:q} --output {output:q} > {log:q} 2>&1"


rule evaluate:
    input:
        optional(STUDY.benchmarks.ready),
        weights=weights,
        store=benchmark_frames,
    output:
        scores=f"<results>/{EVALUATION}/scores.json",
        responses=f"<results>/{EVALUATION}/responses.parquet",
    log:
        f"<logs>/{EVALUATION}.log",
    benchmark:
        f"<benchmarks>/{EVALUATION}.jsonl"
    threads: STUDY.compute.threads.evaluation
    resources:
        mem_mb=lambda wildcards: demand.memory_mb(base_model(wildcards)),
        runtime=lambda wildcards: demand.inference_minutes(STUDY, base_model(wildcards)),
        gpu=inference_gpus,
    params:
        code=code("evaluation.evaluate"),
        weights=base_content,
        model=evaluated_model,
        benchmarks=lambda wildcards: to_json(STUDY.benchmarks.of(wildcards.suite)),
        tasks=STUDY.benchmarks.tasks or "none",
        root=STUDY.benchmarks.root,
        store=lambda wildcards, input: ["--store", *input.store] if input.store else [],
        blind=lambda wildcards: "--blind" if wildcards.subject.startswith("blind/") else "",
        batch_size=STUDY.evaluation.batch_size,
        view=view_flags,
        adapter=adapter_flags,
        judge="--judge" if STUDY.evaluation.judge else "",
        device=STUDY.compute.device,
        # Not an output: what a failed or killed job has answered stays, and other evaluations find it.
        answers=f"results/{STUDY.study}/evaluation/answers",
        folder=subpath(output.scores, parent=True),
    message:
        "evaluating {wildcards.subject} on the {wildcards.suite} suite"
    shell:
        "python -m workflow_scripts.evaluation.evaluate --model {params.model:q} --suite {wildcards.suite}"
        " --benchmarks {params.benchmarks:q} --tasks {params.tasks:q} --root {params.root:q} {params.store:q}"
        " --frames {wildcards.frames} {params.blind} --batch-size {params.batch_size} --device {params.device}"
        " --threads {threads} {params.view} {params.adapter:q} {params.judge} --answers {params.answers:q}"
        " --output {params.folder:q} > {log:q} 2>&1"
