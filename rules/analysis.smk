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
        contrast_files,
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
        pairs=figure_pairs,
        draws=f"--resamples {STUDY.analysis.resamples} --seed {STUDY.analysis.seed}",
    message:
        "setting runs against each other into {output}"
    shell:
        "python -m workflow_scripts.analysis.contrasts --evaluations {params.folders:q} --pairs {params.pairs:q}"
        " {params.draws} --output {output:q} > {log:q} 2>&1"
