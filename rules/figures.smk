"""Stage figures: one rule a figure or table, of the study's experiments and of the training data."""

CAPTIONS = "../workflow_scripts/figures/captions"
TABLES = ["predictors", "hybrid"]
FIGURES = [experiment.figure for experiment in STUDY.experiments]


def drawn(figure):
    """The files of a figure or, for a table, of a table."""
    return [
        f"<results>/figures/{figure}.{suffix}"
        for suffix in (["md", "tex", "csv"] if figure in TABLES else ["pdf", "svg", "png", "csv"])
    ]


for figure in FIGURES:

    rule:
        name:
            figure
        input:
            scores=f"<results>/analysis/{figure}/scores.csv",
            deltas=f"<results>/analysis/{figure}/deltas.csv",
        output:
            f"<results>/figures/{figure}.png",
        log:
            f"<logs>/figures/{figure}.log",
        params:
            figure=figure,
        shell:
            "python -m workflow_scripts.figures.{params.figure} > {log:q} 2>&1"


rule figures:
    input:
        [f"<results>/figures/{figure}.png" for figure in FIGURES],
