# Video fine-tuning's temporal gains and spatial costs. The stages, in order, are the rules included below.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow_scripts/figures/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/common/data.smk"
include: "rules/common/finetuning.smk"
include: "rules/common/theory.smk"
include: "rules/common/figures.smk"


pathvars:
    results=f"results/{STUDY.study}",
    logs=f"results/{STUDY.study}/logs",
    benchmarks=f"results/{STUDY.study}/benchmarks",


include: "rules/fetch.smk"
include: "rules/miniature.smk"
include: "rules/curation.smk"
include: "rules/frames.smk"
include: "rules/budgets.smk"
include: "rules/finetuning.smk"
include: "rules/evaluation.smk"
include: "rules/analysis.smk"
include: "rules/theory.smk"
include: "rules/figures.smk"
include: "rules/provenance.smk"
include: "rules/plan.smk"


# Evaluations are named although the figures imply them: Snakemake makes a deleted file again only where asked for it.
rule all:
    default_target: True
    input:
        rules.scores.input,
        rules.figures.input,
        rules.scores.output,
        rules.deltas.output,
        rules.record.output,
        rules.lineage.output,
