"""What is measured of gradients and of attention, and on which models."""


def look_files(wildcards):
    """What every model of the figure attention looked at."""
    subjects = plan.looks(STUDY)
    if not subjects:
        raise WorkflowError("experiments lists no attention; expected it, as config.yaml has it")
    return [f"<results>/analysis/attention/looks/{subject}/shares.parquet" for subject in subjects]


def looking_models():
    """Settings of the models of the figure attention."""
    subjects = [plan.Subject.parse(subject) for subject in plan.looks(STUDY)]
    return [STUDY.models[subject.model] for subject in subjects if subject.run is None]


def shown_looks(wildcards):
    """The pictures that figure attention shows: of the base models, and of each model's first run."""
    first = {}
    for subject in plan.looks(STUDY):
        one = plan.Subject.parse(subject)
        first.setdefault((one.model, one.run and (one.run.recipe, one.run.allocation)), subject)
    return [f"<results>/analysis/attention/looks/{subject}/pictures.npz" for subject in first.values()]


def theory_run():
    """The run along which gradients are measured."""
    runs = plan.runs(STUDY, "gradient_alignment")
    if not runs:
        raise WorkflowError("experiments lists no gradient_alignment; expected it, as in presets/theory.yaml")
    return runs[0]


def theory_folders():
    """The folders of what is measured at the base, at each snapshot of the run and at its end."""
    snapshots = STUDY.recipes[theory_run().recipe].snapshots
    return [f"<results>/analysis/gradient_alignment/at-{percent}" for percent in (0, *snapshots, 100)]


def theory_weights(wildcards):
    """What a measurement waits for: the end of the run, or nothing at the base, where none has begun."""
    return [] if wildcards.percent == "0" else f"<results>/finetuning/{theory_run().path}/summary.json"


def theory_flags(wildcards):
    """The flags that name a checkpoint: its model, with the run's weights, or the base with the run's adapter."""
    run, percent = theory_run(), int(wildcards.percent)
    folder = f"results/{STUDY.study}/finetuning/{run.path}"
    lora = STUDY.recipes[run.recipe].method == "lora"
    weights = f"{folder}/model" if percent == 100 else f"{folder}/snapshots/{percent}"
    model = STUDY.models[run.model]
    if percent and not lora:
        model = model.model_copy(update={"source": weights, "revision": None})
    adapter = ["--adapter", f"{folder}/adapter" if percent == 100 else f"{weights}/adapter"] if percent and lora else []
    return ["--model", to_json(model), "--recipe", to_json(STUDY.recipes[run.recipe]), *adapter]


def theory_demand(of):
    """What a measurement of gradients asks for, by a function of `demand`."""
    return lambda wildcards: of(STUDY, STUDY.models[theory_run().model], STUDY.recipes[theory_run().recipe])
