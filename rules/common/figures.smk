"""What a figure or table reads beside scores and changes."""


def sample_files(experiment):
    """What a table that speaks of samples reads: the manifest, the allocations' budgets and, where known, the truth."""
    allocations = plan.allocations(STUDY, experiment.figure)
    return {
        "manifest": "<results>/curation/manifest.parquet",
        "budgets": [f"<results>/budgets/{allocation}.parquet" for allocation in allocations],
        "truth": optional(STUDY.budgets.truth if experiment.figure == "predictors" else None),
    }


def further_files(experiment):
    """What a figure reads beside scores and changes: files about samples, or a table of stage analysis of its own."""
    if experiment.figure == "predictors":
        contrasts = {"contrasts": "<results>/analysis/predictors/contrasts.csv"} if pairs() else {}
        return sample_files(experiment) | contrasts
    if experiment.figure == "hybrid":
        return sample_files(experiment)
    own = {"abilities": ("abilities", "abilities"), "budget_map": ("effects", "frame_effects")}
    if experiment.figure not in own:
        return {}
    flag, table = own[experiment.figure]
    return {flag: f"<results>/analysis/{experiment.figure}/{table}.csv"}


def further_flags(input):
    """The flags for these files; none for other figures, and none for files that are not there."""
    flags = []
    for name in ("manifest", "budgets", "truth", "contrasts", "abilities", "effects"):
        paths = input.get(name, [])
        if paths:
            flags += [f"--{name}", *([paths] if isinstance(paths, str) else paths)]
    return flags


def pairs():
    """The allocations of the figure predictors that are set against each other, as far as it has them.

    A predictor against as many frames dealt out by chance: does it matter which sample gets them? The oracle against
    that predictor and against chance: how much could any predictor do?
    """
    like = f"hybrid-{STUDY.budgets.random.predictor}"
    wanted = [(like, "hybrid-random"), ("hybrid-oracle", like), ("hybrid-oracle", "hybrid-random")]
    there = plan.allocations(STUDY, "predictors")
    return [f"{first}:{second}" for first, second in wanted if {first, second} <= set(there) and first != second]


def cost_flags(wildcards, input):
    """The flags for the times of the jobs that gave budgets, where Snakemake has kept them. They decide no job: a
    parameter that depends on input is not recorded."""
    paths = (f"results/{STUDY.study}/benchmarks/budgets/{Path(path).stem}.jsonl" for path in input.budgets)
    there = [path for path in paths if os.path.exists(path)]
    return ["--costs", *there] if there else []


def recipe_flags(experiment):
    """The flag with the settings of the recipes that a trade-off compares; none where there is one."""
    if experiment.figure != "trade_off" or not experiment.variants:
        return []
    return ["--recipes", to_json([STUDY.recipes[name] for name in experiment.recipes])]


def experiment_flags(experiments, input):
    """For each experiment the flag with its settings and the tables that hold its runs."""
    flags = []
    for experiment, scores, deltas in zip(experiments, input.scores, input.deltas, strict=True):
        flags += ["--experiment", to_json(experiment), scores, deltas]
    return flags
