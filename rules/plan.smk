"""What the study will cost: `snakemake plan` prints it and computes nothing."""


rule plan:
    log:
        "<logs>/plan.txt",
    localrule: True
    params:
        config=lambda wildcards: to_json(STUDY),
        results=f"results/{STUDY.study}",
    message:
        "what each run asks for, and what it took where it is finished (docs/cluster.md explains the columns)"
    shell:
        "python -m workflow_scripts.settings.bill --config {params.config:q} --results {params.results:q}"
        " | tee {log:q}"
