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
    files = sample_files(experiment) if experiment.figure in ("predictors", "hybrid") else {}
    own = {"abilities": ("abilities", "abilities"), "budget_map": ("effects", "frame_effects")}
    if pairs(experiment):
        own[experiment.figure] = ("contrasts", "contrasts")
    if experiment.figure in own:
        flag, table = own[experiment.figure]
        files[flag] = f"<results>/analysis/{experiment.figure}/{table}.csv"
    return files


def further_flags(input):
    """The flags for these files; none for other figures, and none for files that are not there."""
    flags = []
    for name in ("manifest", "budgets", "truth", "contrasts", "abilities", "effects"):
        paths = input.get(name, [])
        if paths:
            flags += [f"--{name}", *([paths] if isinstance(paths, str) else paths)]
    return flags


def pairs(experiment):
    """The runs of an experiment that are set against each other, as far as it has them.

    Figure predictors: a predictor against as many frames dealt out by chance: does it matter which sample gets them? The
    oracle against that predictor and against chance: how much could any predictor do? Figure trade_off: each mitigation
    against the plain recipe on the same allocation.
    """
    recipe = experiment.recipe
    if experiment.figure == "trade_off":
        return [f"{v}/{a}:{recipe}/{a}" for v in experiment.variants for a in experiment.allocations_of(v)]
    if experiment.figure != "predictors":
        return []
    like, there = f"hybrid-{STUDY.budgets.random.predictor}", experiment.allocations
    wanted = [(like, "hybrid-random"), ("hybrid-oracle", like), ("hybrid-oracle", "hybrid-random")]
    return [f"{recipe}/{a}:{recipe}/{b}" for a, b in wanted if {a, b} <= set(there) and a != b]


def figure_pairs(wildcards):
    """These pairs, of the figure that a rule's wildcards name."""
    return pairs(next(experiment for experiment in STUDY.experiments if experiment.figure == wildcards.figure))


def contrast_files(wildcards):
    """Scores and responses of the runs in these pairs, and of no others."""
    sides = {side for pair in figure_pairs(wildcards) for side in pair.split(":")}
    runs = {folder: plan.Subject.of(folder).run for folder in plan.evaluations(STUDY, wildcards.figure)}
    return [
        f"<results>/{folder}/{name}"
        for folder, run in runs.items()
        if run is not None and f"{run.recipe}/{run.allocation}" in sides
        for name in ("scores.json", "responses.parquet")
    ]


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
