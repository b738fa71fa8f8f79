"""What is fetched from the hub, on a machine with a network, each only where asked for by its name.

None of these has an output: what is there already is found again, and stays. They run where Snakemake runs, and show
their progress there.
"""

STUDY_FLAG = "--study {params.study:q}"


# Resolves what resources/pins.json leaves open: snakemake pin
rule pin:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        "asking the hub for the commits of the study's repositories"
    shell:
        f"python -m workflow_scripts.hub.pin {STUDY_FLAG}"


rule plan_data:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        "estimating what a fetch costs"
    shell:
        f"python -m workflow_scripts.curation.plan_data {STUDY_FLAG}"


rule fetch:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
        table=f"results/{STUDY.study}/curation/fetched.parquet",
    message:
        f"fetching annotations and the sample's videos to {STUDY.dataset.root}"
    shell:
        f"python -m workflow_scripts.curation.fetch {STUDY_FLAG}" " --output {params.table:q}"


rule fetch_images:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        "fetching conversations about images"
    shell:
        f"python -m workflow_scripts.curation.fetch_images {STUDY_FLAG}"


rule fetch_boxes:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        "fetching questions with boxes"
    shell:
        f"python -m workflow_scripts.analysis.fetch_boxes {STUDY_FLAG}"


rule fetch_models:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        f"fetching models to {STUDY.hub.models}"
    shell:
        f"python -m workflow_scripts.hub.fetch_models {STUDY_FLAG}"


rule fetch_benchmarks:
    localrule: True
    params:
        study=lambda wildcards: to_json(CONFIGURED),
    message:
        f"fetching benchmarks to {STUDY.benchmarks.root}"
    shell:
        f"python -m workflow_scripts.evaluation.fetch_benchmarks {STUDY_FLAG}"
        f" && python -m workflow_scripts.evaluation.fetch_benchmarks {STUDY_FLAG} --check"
