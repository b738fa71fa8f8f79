"""Stage provenance: what was run, with what."""


rule record:
    input:
        rules.figures.input,
    output:
        "<results>/provenance/study.json",
    log:
        "<logs>/provenance/record.log",
    benchmark:
        "<benchmarks>/provenance/record.jsonl"
    params:
        code=code("provenance.record"),
        config=lambda wildcards: to_json(STUDY),
    message:
        "recording settings, versions, commit and machine"
    shell:
        "python -m workflow_scripts.provenance.record --config {params.config:q} --output {output:q} > {log:q} 2>&1"
