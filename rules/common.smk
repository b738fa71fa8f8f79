"""The settings, wildcard constraints, and the input functions that rules share."""

import json
import os
import re
import shlex
import signal
import sys
from functools import lru_cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.hub import pins
from workflow_scripts.miniature.courses import COURSES, PREDICTOR_STARTS
from workflow_scripts.notes.job import FOLDER as NOTES
from workflow_scripts.provenance.closure import Repository
from workflow_scripts.provenance.starts import announce
from workflow_scripts.settings import InputError, demand, load_study, plan, to_json
from workflow_scripts.settings.experiments import UNSCORED
from workflow_scripts.settings.duplicates import refuse_duplicates

try:
    for path in workflow.configfiles:
        refuse_duplicates(Path(path))
    CONFIGURED = load_study(config)
    STUDY = pins.pinned(CONFIGURED, pins.read())
except InputError as error:
    raise WorkflowError(*str(error).splitlines()) from None

# A job's own Snakemake, as SLURM starts it, works for the one that says so here.
if workflow.is_main_process:
    for other in announce(STUDY.study):
        print(f"results/{STUDY.study} is also read or made by {other}", file=sys.stderr)

SUBJECT = r"(base|blind)/{model}(/{view})?|tuned/{recipe}/{model}/{allocation}/seed-\d+"


def any_of(names):
    """A regular expression that matches exactly these names."""
    return "(" + "|".join(re.escape(str(name)) for name in names) + ")"


# Jobs run this environment's python and find workflow_scripts, whatever the shell and the working directory are. They
# leave notes of themselves for the records (rules/provenance.smk).
ENVIRONMENT = shlex.quote(os.path.dirname(sys.executable))
RESULTS = f"results/{STUDY.study}"
shell.prefix(
    f"export PATH={ENVIRONMENT}:$PATH PYTHONPATH={shlex.quote(str(workflow.basedir))}"
    f" {NOTES}={shlex.quote(RESULTS)}/provenance/notes; "
)

NAMES = {
    "model": any_of(STUDY.models),
    "recipe": any_of(STUDY.recipes),
    "allocation": any_of([f"uniform-{budget}" for budget in STUDY.frames.budgets] + STUDY.budgets.hybrids),
}


def miniature_predictors():
    """Names of the miniature predictors in resources/miniature/."""
    return ["dinov2", *(f"predictor-{name}" for name in STUDY.budgets.predictors)]


wildcard_constraints:
    **NAMES,
    miniature_predictor=any_of(miniature_predictors()),
    subject=SUBJECT.format(view=any_of(plan.views(STUDY)), **NAMES),
    predictor=any_of(STUDY.budgets.predictors),
    benchmark=any_of(STUDY.benchmarks.registry),
    suite="(image|video)",
    figure=any_of(experiment.figure for experiment in STUDY.experiments),
    frames=r"\d+",
    percent=r"\d+",
    shard=r"\d+",
    seed=r"\d+",


def optional(path):
    """An input that a setting may leave out: no file where it is null."""
    return [] if path is None else path


REPOSITORY = Repository()
CHECKSUMS = Checksums(Path(f"results/{STUDY.study}/provenance/checksums.json"))


def code(command):
    """The parameter by which a job runs again when its code changed: all modules and packages behind a command."""

    @lru_cache
    def behind():
        found = REPOSITORY.code(f"workflow_scripts.{command}")
        return {"modules": found.modules, "packages": found.packages}

    return lambda wildcards: behind()


def content(source):
    """What a model's folder holds, as one checksum; None for a repository of the hub, whose revision says it."""
    if not os.path.isdir(source):
        return None
    checksum = CHECKSUMS.of_model(Path(source))
    CHECKSUMS.remember()
    return checksum


def world_settings(wildcards):
    """The miniature's settings, as JSON, that decide its videos and benchmarks."""
    return json.dumps(STUDY.miniature.model_dump(mode="json", exclude={"images", "boxes"}))


def miniature_start(wildcards):
    """The trained miniature that another starts from, if its course names one."""
    name = wildcards.get("model") or wildcards.miniature_predictor
    start = COURSES[name].start if name in COURSES else PREDICTOR_STARTS.get(name)
    return ancient(f"resources/miniature/{start}/model.safetensors") if start else []


def miniature_use(name):
    """The flags that tell a miniature predictor's training how the study will use it."""
    if name == "dinov2":
        return ["--dino", to_json(STUDY.budgets.dinov2)]
    return ["--predictor", to_json(STUDY.budgets.predictors[name.removeprefix("predictor-")])]


def fetched_videos(wildcards):
    """What rule fetch wrote of the videos it brought; no file where the dataset was put in place otherwise."""
    path = f"results/{STUDY.study}/curation/fetched.parquet"
    return path if os.path.exists(path) else []


def draw_flags():
    """The flags that decide which videos are drawn."""
    flags = ["--videos", STUDY.curation.videos, "--seed", STUDY.curation.seed]
    return flags + ["--shares", to_json(STUDY.curation.shares), "--reserve", STUDY.dataset.reserve]


def fetched_flags(wildcards, input):
    """The flag that keeps the draw to the videos that were fetched, where that is known."""
    return ["--fetched", input.fetched] if input.fetched else []


def shards():
    """All files of the frame store of the training videos."""
    return [f"<results>/frames/shard-{shard}.arrow" for shard in range(STUDY.frames.shards)]


def oracle_model():
    """Settings of the model that reads the samples' answers; cross-checked where an experiment needs it."""
    return STUDY.models[STUDY.budgets.oracle.model]


def true_budgets():
    """What hybrid-oracle is made from, by the flag that takes it: the truth, where it is known, or the estimate."""
    if STUDY.budgets.truth is None:
        return {"estimate": "<results>/budgets/hybrid-likelihood.parquet"}
    return {"truth": STUDY.budgets.truth}


def weights(wildcards):
    """The weights that an evaluation waits for: those of its run, none for a base model.

    No two trainings leave the same summary, while what else is declared of a run may be as before.
    """
    run = plan.Subject.parse(wildcards.subject).run
    names = ("model/config.json", "summary.json") if run is not None else ()
    return [f"<results>/finetuning/{run.path}/{name}" for name in names]


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


def benchmark_frames(wildcards):
    """The frame stores of a suite's videos; image benchmarks bring their own pictures."""
    if wildcards.suite == "image":
        return []
    return [f"<results>/frames/benchmarks/{name}.arrow" for name in STUDY.benchmarks.suites["video"]]


def evaluation_files(figure=None):
    """Scores and responses of every evaluation behind a figure, or behind all of them."""
    return [
        f"<results>/{folder}/{name}"
        for folder in plan.evaluations(STUDY, figure)
        for name in ("scores.json", "responses.parquet")
    ]


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


def evaluated_model(wildcards):
    """Settings, as JSON, of the model an evaluation loads: the base model's, with the run's weights where tuned."""
    subject = plan.Subject.parse(wildcards.subject)
    folder = "" if subject.run is None else f"results/{STUDY.study}/finetuning/{subject.run.path}/model"
    return to_json(plan.evaluated_model(STUDY, subject, folder))


def adapter_flags(wildcards):
    """The flags that put a LoRA run's adapter beside its base model; none where weights are whole."""
    subject = plan.Subject.parse(wildcards.subject)
    kept = plan.keeps_adapter(STUDY, subject)
    return ["--adapter", f"results/{STUDY.study}/finetuning/{subject.run.path}/adapter"] if kept else []


def view_flags(wildcards):
    """The flags that show an evaluation's videos as its run was trained, or as the runs beside a base model were."""
    view = plan.view(STUDY, plan.Subject.parse(wildcards.subject))
    flags = ["--temporal-positions", view.temporal_positions]
    return flags if view.total_pixels is None else [*flags, "--total-pixels", view.total_pixels]


def base_content(wildcards):
    """Checksum of the base model that a rule's wildcards name; None where a run's weights, an input, are evaluated."""
    tuned = wildcards.get("subject", "").startswith("tuned/")
    return None if tuned else content(base_model(wildcards).source)


def base_model(wildcards):
    """Settings of the base model that a rule's wildcards name, directly or as part of a subject."""
    name = wildcards.get("model") or plan.Subject.parse(wildcards.subject).model
    return STUDY.models[name]


def image_files(wildcards):
    """Table and store of the image conversations that a recipe needs; none for others."""
    needed = STUDY.recipes[wildcards.recipe].needs_images
    return [f"<results>/curation/images.{kind}" for kind in ("parquet", "arrow")] if needed else []


def run_towards(wildcards):
    """Folder of the run on whose way an interpolation lies."""
    like = STUDY.recipes[wildcards.recipe].like
    run = plan.Run(like, wildcards.model, wildcards.allocation, int(wildcards.seed))
    return f"<results>/finetuning/{run.path}"


def training_gpus(wildcards):
    """GPUs of a training run."""
    return demand.gpus(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe])


def training_minutes(wildcards):
    """Time limit of a training run."""
    recipe = STUDY.recipes[wildcards.recipe]
    return demand.training(STUDY, base_model(wildcards), recipe, wildcards.allocation).minutes


def training_memory_mb(wildcards):
    """Memory of each machine of a training run."""
    _, most = demand.frames(STUDY, wildcards.allocation)
    return demand.host_mb(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe], most)


def inference_gpus(wildcards):
    """GPUs of an evaluation."""
    return demand.gpus(STUDY, base_model(wildcards))


def training_nodes(wildcards):
    """Machines of a training run."""
    return demand.nodes(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe])


# SLURM sends the signal of `sbatch --signal` to all processes of a job. Snakemake, which it would end, leaves it to the
# training, which saves; a handler, unlike ignoring it, is not inherited.
signal.signal(signal.SIGUSR1, lambda *_: None)


def several_nodes(value):
    """A resource that only a training run on several machines has; `value` may be a function of its wildcards."""
    return lambda wildcards: (
        None if training_nodes(wildcards) == 1 else value(wildcards) if callable(value) else value
    )


def checkpoint_minutes(wildcards, resources):
    """Minutes between checkpoints. A function of resources is no reason to train again: Snakemake does not record it."""
    return STUDY.compute.checkpoint_minutes


def launcher(wildcards, resources):
    """How a training run starts: python, or one process a GPU through torchrun's module, by srun on several machines.

    DeepSpeed takes even a single process's place among the others from torchrun's variables. The shell runs on the
    first machine, where the processes meet, at a port that follows from the job's number. torchrun passes signals on
    and gives the processes an hour to save before it kills them.
    """
    count, nodes = training_gpus(wildcards), training_nodes(wildcards)
    torchrun = (
        f"python -m torch.distributed.run --nproc-per-node {max(count // nodes, 1)} --shutdown-timeout 3600"
        " --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    )
    if nodes > 1:
        return (
            f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1"
            f" --cpus-per-task={training_threads(wildcards)} --gpus-per-node={count // nodes} --kill-on-bad-exit=1"
            f" {torchrun} --nnodes {nodes} --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID"
            " --rdzv-endpoint $(hostname):$((20000 + SLURM_JOB_ID % 10000))"
        )
    if count > 1 or STUDY.recipes[wildcards.recipe].deepspeed is not None:
        return f"{torchrun} --standalone"
    return "python"


def training_threads(wildcards):
    """CPU threads of a training run on each of its machines."""
    return STUDY.compute.threads.finetuning * max(training_gpus(wildcards) // training_nodes(wildcards), 1)
