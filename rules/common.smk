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


def shards():
    """All files of the frame store of the training videos."""
    return [f"<results>/frames/shard-{shard}.arrow" for shard in range(STUDY.frames.shards)]


def weights(wildcards):
    """The weights that an evaluation waits for: those of its run, none for a base model.

    No two trainings leave the same summary, while what else is declared of a run may be as before.
    """
    run = plan.Subject.parse(wildcards.subject).run
    names = ("model/config.json", "summary.json") if run is not None else ()
    return [f"<results>/finetuning/{run.path}/{name}" for name in names]


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


def inference_gpus(wildcards):
    """GPUs of an evaluation."""
    return demand.gpus(STUDY, base_model(wildcards))
