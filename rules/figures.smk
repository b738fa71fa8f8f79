"""Stage figures: one rule a figure or table: those of the study's experiments, and of the training data."""

# Tables, with the files beside the page that the report shows. Everything else is a picture.
FILES = {"predictors": [".md", ".tex", ".csv", ".pdf", ".svg", ".png"], "hybrid": [".md", ".tex", ".csv"]}
CAPTIONS = "../workflow_scripts/figures/captions"
# Experiments that the paper makes a claim about; see workflow_scripts/figures/claims.py.
CLAIMED = [
    experiment
    for experiment in STUDY.experiments
    if experiment.figure in ("overview", "architectures", "scale", "frames", "hybrid")
]


SCORED = [experiment for experiment in STUDY.experiments if experiment.figure not in UNSCORED]


for experiment in SCORED:

    rule:
        name:
            experiment.figure
        input:
            **further_files(experiment),
            scores=f"<results>/analysis/{experiment.figure}/scores.csv",
            deltas=f"<results>/analysis/{experiment.figure}/deltas.csv",
        output:
            multiext(
                f"<results>/figures/{experiment.figure}",
                *FILES.get(experiment.figure, [".pdf", ".svg", ".csv"]),
            ),
            shown=report(
                f"<results>/figures/{experiment.figure}.{'html' if experiment.figure in FILES else 'png'}",
                caption=f"{CAPTIONS}/{experiment.figure}.rst",
                category="Tables" if experiment.figure in FILES else "Figures",
                labels={"name": experiment.figure.replace("_", " ")},
            ),
        log:
            f"<logs>/figures/{experiment.figure}.log",
        benchmark:
            f"<benchmarks>/figures/{experiment.figure}.jsonl"
        resources:
            mem_mb=8000,
            runtime=30,
        params:
            code=code(f"figures.{experiment.figure}"),
            figure=experiment.figure,
            settings=lambda wildcards, experiment=experiment: to_json(experiment),
            dpi=STUDY.figures.dpi,
            further=lambda wildcards, input: further_flags(input),
            recipes=recipe_flags(experiment),
            budgets=["--admissible", *STUDY.frames.budgets] if experiment.figure == "predictors" else [],
            costs=cost_flags if experiment.figure == "predictors" else [],
            stem=subpath(output.shown, strip_suffix=".html" if experiment.figure in FILES else ".png"),
        message:
            "drawing {params.figure}"
        shell:
            "python -m workflow_scripts.figures.{params.figure} --scores {input.scores:q} --deltas {input.deltas:q}"
            " {params.further:q} {params.budgets:q} {params.costs:q} {params.recipes:q} --settings {params.settings:q}"
            " --dpi {params.dpi}"
            " --output-stem {params.stem:q} > {log:q} 2>&1"


rule gradient_alignment:
    input:
        rules.propositions.output,
    output:
        multiext("<results>/figures/gradient_alignment", ".pdf", ".svg", ".csv"),
        shown=report(
            "<results>/figures/gradient_alignment.png",
            caption=f"{CAPTIONS}/gradient_alignment.rst",
            category="Figures",
            labels={"name": "gradient alignment"},
        ),
    log:
        "<logs>/figures/gradient_alignment.log",
    benchmark:
        "<benchmarks>/figures/gradient_alignment.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("figures.gradient_alignment"),
        folder=subpath(input[0], parent=True),
        settings=lambda wildcards: to_json(next(one for one in STUDY.experiments if one.figure == "gradient_alignment")),
        dpi=STUDY.figures.dpi,
        stem=subpath(output.shown, strip_suffix=".png"),
    message:
        "drawing gradient_alignment"
    shell:
        "python -m workflow_scripts.figures.gradient_alignment --tables {params.folder:q}"
        " --settings {params.settings:q} --dpi {params.dpi} --output-stem {params.stem:q} > {log:q} 2>&1"


rule attention:
    input:
        table=rules.concentration.output,
        pictures=shown_looks,
    output:
        multiext("<results>/figures/attention", ".pdf", ".svg", ".csv"),
        shown=report(
            "<results>/figures/attention.png",
            caption=f"{CAPTIONS}/attention.rst",
            category="Figures",
            labels={"name": "attention"},
        ),
    log:
        "<logs>/figures/attention.log",
    benchmark:
        "<benchmarks>/figures/attention.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("figures.attention"),
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.pictures],
        settings=lambda wildcards: to_json(next(one for one in STUDY.experiments if one.figure == "attention")),
        dpi=STUDY.figures.dpi,
        stem=subpath(output.shown, strip_suffix=".png"),
    message:
        "drawing attention"
    shell:
        "python -m workflow_scripts.figures.attention --table {input.table:q} --pictures {params.folders:q}"
        " --settings {params.settings:q} --dpi {params.dpi} --output-stem {params.stem:q} > {log:q} 2>&1"


rule claims:
    input:
        scores=[f"<results>/analysis/{experiment.figure}/scores.csv" for experiment in CLAIMED],
        deltas=[f"<results>/analysis/{experiment.figure}/deltas.csv" for experiment in CLAIMED],
    output:
        multiext("<results>/figures/claims", ".md", ".tex", ".csv"),
        shown=report(
            "<results>/figures/claims.html",
            caption=f"{CAPTIONS}/claims.rst",
            category="Tables",
            labels={"name": "claims"},
        ),
    log:
        "<logs>/figures/claims.log",
    benchmark:
        "<benchmarks>/figures/claims.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("figures.claims"),
        # the next one depends on input, which Snakemake does not record
        settings=to_json(CLAIMED),
        experiments=lambda wildcards, input: experiment_flags(CLAIMED, input),
        stem=subpath(output.shown, strip_suffix=".html"),
    message:
        "setting the paper's claims beside what was measured"
    shell:
        "python -m workflow_scripts.figures.claims {params.experiments:q} --output-stem {params.stem:q} > {log:q} 2>&1"


rule detectable:
    input:
        scores="<results>/analysis/scores.csv",
        deltas="<results>/analysis/deltas.csv",
    output:
        multiext("<results>/figures/detectable", ".md", ".tex", ".csv"),
        shown=report(
            "<results>/figures/detectable.html",
            caption=f"{CAPTIONS}/detectable.rst",
            category="Tables",
            labels={"name": "detectable"},
        ),
    log:
        "<logs>/figures/detectable.log",
    benchmark:
        "<benchmarks>/figures/detectable.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("figures.detectable"),
        stem=subpath(output.shown, strip_suffix=".html"),
    message:
        "listing what change each benchmark can show"
    shell:
        "python -m workflow_scripts.figures.detectable --scores {input.scores:q} --deltas {input.deltas:q}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"


rule training_data:
    input:
        manifest="<results>/curation/manifest.parquet",
        statistics="<results>/curation/statistics.csv",
        quarantine="<results>/curation/quarantine.csv",
    output:
        multiext("<results>/figures/training_data", ".pdf", ".svg", ".csv"),
        shown=report(
            "<results>/figures/training_data.png",
            caption=f"{CAPTIONS}/training_data.rst",
            category="Figures",
            labels={"name": "training data"},
        ),
    log:
        "<logs>/figures/training_data.log",
    benchmark:
        "<benchmarks>/figures/training_data.jsonl"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("figures.training_data"),
        dpi=STUDY.figures.dpi,
        stem=subpath(output.shown, strip_suffix=".png"),
    message:
        "drawing training_data"
    shell:
        "python -m workflow_scripts.figures.training_data --manifest {input.manifest:q}"
        " --statistics {input.statistics:q} --quarantine {input.quarantine:q} --dpi {params.dpi}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"


rule figures:
    input:
        rules.training_data.output.shown,
        rules.claims.output.shown if CLAIMED else [],
        rules.detectable.output.shown,
        [getattr(rules, experiment.figure).output.shown for experiment in STUDY.experiments],
    message:
        "all figures"
