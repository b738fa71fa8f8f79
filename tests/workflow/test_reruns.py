"""What runs again after a change: the whole miniature study, its files stood in for, and one change after another.

Every file of the study is a stand-in with Snakemake's own record of how it was made, in a copy of the repository. Each
case changes one thing in a copy of that and asks Snakemake what it would run. What is expected is written out as
patterns over the study's files, each named `<rule> <path below results/miniature/>`.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.repository import copy_to

from .dry_run import snakemake

pytestmark = [pytest.mark.xdist_group("reruns"), pytest.mark.slow]

RESULTS = "results/miniature"
PRESET = "presets/miniature.yaml"
FLAGS = ("--cores", "2", "--max-checksum-file-size", "100000000")

RECORD = r"(record|lineage) .*"
PICTURES = rf"(overview|abilities|frames|trade_off|predictors|hybrid) .*|{RECORD}"
FIGURES = rf"(claims|detectable) .*|{PICTURES}"
ANALYSIS = rf"(figure_)?(scores|deltas|abilities) .*|{FIGURES}"
EVALUATED = rf"evaluate .*|{ANALYSIS}"
TUNED = rf"evaluate evaluation/tuned/.*|{ANALYSIS}"
TRAINED = rf"train .*|{TUNED}"
DESCRIBED = rf"spec .*|{TRAINED}"
STORED = rf"store .*|(dinov2|vlm) .*|{DESCRIBED}"
DRAWN = rf"(manifest|training_data|uniform) .*|{STORED}"
SHORTLISTED = rf"(shortlist|probe) .*|{DRAWN}"
READ = rf"inventory .*|{SHORTLISTED}"
VIDEOS_EVALUATED = rf"evaluate .*/video/.*|{ANALYSIS}"
DINOV2 = (
    r"dinov2 .*|(spec|train) .*/hybrid-dinov2/.*|evaluate .*/hybrid-dinov2/.*|(scores|deltas) .*|"
    rf"figure_(scores|deltas) analysis/(trade_off|predictors)/.*|(trade_off|predictors|detectable) .*|{RECORD}"
)
QWEN3 = "hybrid-qwen3-vl-8b"


def write(name: str, text: str) -> Callable[[Path], None]:
    """A new or other text of a file."""
    return lambda folder: (folder / name).write_text(text) and None


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """One passage of a file replaced."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert text.count(old) == 1, f"{name} holds {old!r} {text.count(old)} times; expected once"
        (folder / name).write_text(text.replace(old, new))

    return change


def append(name: str, text: str) -> Callable[[Path], None]:
    """Text added to the end of a file."""
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text) and None


def setting(*path: str | int, value: object) -> Callable[[Path], None]:
    """A setting of the preset, by its path of keys."""

    def change(folder: Path) -> None:
        overlay = yaml.safe_load((folder / PRESET).read_text())
        inner = overlay
        for key in path[:-1]:
            inner = inner[key] if isinstance(inner, list) else inner.setdefault(key, {})
        inner[path[-1]] = value
        (folder / PRESET).write_text(yaml.safe_dump(overlay, sort_keys=False))

    return change


def touch(*names: str) -> Callable[[Path], None]:
    """Files with a time after all others."""
    return lambda folder: [os.utime(folder / name) for name in names] and None


def delete(*names: str) -> Callable[[Path], None]:
    """Files gone."""
    return lambda folder: [(folder / name).unlink() for name in names] and None


def other_content(name: str) -> Callable[[Path], None]:
    """A file with other bytes."""
    return lambda folder: (folder / name).write_bytes(b"other" + (folder / name).read_bytes()) and None


def bump(package: str) -> Callable[[Path], None]:
    """Another locked version of a package."""

    def change(folder: Path) -> None:
        lock = folder / "envs/requirements.txt"
        text, count = re.subn(rf"^{package}==\S+", f"{package}==99.0", lock.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{package} is locked {count} times"
        lock.write_text(text)

    return change


@dataclass(frozen=True)
class Case:
    """A change, and a pattern of what is made again; `new`: what the study did not have."""

    change: Callable[[Path], None]
    reruns: str = ""
    new: tuple[str, ...] = ()


SEED_2 = "full/qwen2.5-vl-7b/uniform-16/seed-2"
SCRIPTS = "workflow_scripts"
CASES = {
    # what does not count
    "nothing": Case(touch()),
    "a comment": Case(append(f"{SCRIPTS}/vlm/loss.py", "\n# a comment\n")),
    "a docstring": Case(replace(f"{SCRIPTS}/vlm/loss.py", '"""The loss:', '"""What is minimised:')),
    "layout": Case(append(f"{SCRIPTS}/evaluation/evaluate.py", "\n\n\n\n")),
    "a new module that nobody imports": Case(write(f"{SCRIPTS}/frames/beside.py", "value = 1\n")),
    "a test": Case(append("tests/commands.py", "\nX = 1\n")),
    "documentation": Case(append("README.md", "\nMore.\n")),
    "a profile": Case(append("profiles/local/config.yaml", "\nshow-failed-logs: false\n")),
    "a touched result": Case(touch(f"{RESULTS}/curation/manifest.parquet", f"{RESULTS}/budgets/uniform-8.parquet")),
    "touched code": Case(touch(f"{SCRIPTS}/finetuning/train.py", "config.yaml", "Snakefile")),
    "touched weights": Case(touch("resources/miniature/qwen2.5-vl-7b/model.safetensors")),
    "a package that only shows": Case(bump("rich")),
    "a package of the tests": Case(bump("pytest")),
    "a card of a model": Case(append("resources/miniature/qwen2.5-vl-7b/README.md", "\nMore.\n")),
    "a plan's memory model": Case(append(f"{SCRIPTS}/settings/demand.py", "\nX = 1\n")),
    # settings that decide no result, but are on record
    "threads": Case(setting("compute", "threads", "finetuning", value=2), RECORD),
    "minutes between checkpoints": Case(setting("compute", "checkpoint_minutes", value=7), RECORD),
    "a model that no experiment names": Case(setting("models", "qwen2.5-vl-72b", "max_length", value=4000), RECORD),
    # code
    "a colour": Case(append(f"{SCRIPTS}/figures/style.py", "\nX = 1\n"), rf"training_data .*|{FIGURES}"),
    "one figure's code": Case(append(f"{SCRIPTS}/figures/trade_off.py", "\nX = 1\n"), rf"trade_off .*|{RECORD}"),
    "a helper two imports away": Case(append(f"{SCRIPTS}/finetuning/dataset.py", "\nX = 1\n"), TRAINED),
    "the loss": Case(append(f"{SCRIPTS}/vlm/loss.py", "\nX = 1\n"), TRAINED),
    "how answers are generated": Case(append(f"{SCRIPTS}/vlm/generate.py", "\nX = 1\n"), rf"vlm .*|{EVALUATED}|"
                                      r"(spec|train) .*/hybrid-qwen.*"),
    "the bootstrap": Case(append(f"{SCRIPTS}/analysis/resampling.py", "\nX = 1\n"), ANALYSIS),
    "a rule's command": Case(
        replace("rules/budgets.smk", "uniform --manifest {input:q}", "uniform  --manifest {input:q}"),
        r"uniform .*|(spec|train) .*/uniform-.*|evaluate evaluation/tuned/.*/uniform-.*|(scores|deltas) .*|"
        r"figure_(scores|deltas|abilities) analysis/(?!predictors).*|"
        rf"(overview|abilities|frames|trade_off|hybrid|claims|detectable) .*|{RECORD}",
    ),
    # packages
    "matplotlib": Case(bump("matplotlib"), rf"training_data .*|{FIGURES}"),
    "peft": Case(bump("peft"), rf"vlm .*|spec .*/hybrid-qwen.*|train .*|{EVALUATED}"),
    "lmms-eval": Case(bump("lmms-eval"), rf"media .*|benchmark_store .*|{EVALUATED}"),
    # settings
    "a plot's resolution": Case(setting("figures", "dpi", value=150), rf"training_data .*|{PICTURES}"),
    "resamples": Case(setting("analysis", "resamples", value=500), ANALYSIS),
    "a learning rate": Case(setting("recipes", "full", "learning_rates", "projector", value=0.0002), DESCRIBED),
    "a model's pixels": Case(
        setting("models", "qwen2.5-vl-7b", "video_max_pixels", value=2048), rf"spec .*|train .*|{EVALUATED}"
    ),
    "JPEG quality": Case(
        setting("frames", "jpeg_quality", value=80), rf"benchmark_store .*|{STORED}|{VIDEOS_EVALUATED}"
    ),
    "the sample's size": Case(setting("curation", "videos", value=500), SHORTLISTED),
    "the sample's seed": Case(setting("curation", "seed", value=1), READ),
    "a predictor's orders": Case(
        setting("budgets", "predictors", "qwen3-vl-8b", "option_orders", value=2),
        rf"vlm budgets/{QWEN3}.*|(spec|train) .*/{QWEN3}/.*|evaluate .*/{QWEN3}/.*|(scores|deltas) .*|"
        rf"figure_(scores|deltas) analysis/(trade_off|predictors|hybrid)/.*|"
        rf"(trade_off|predictors|hybrid|claims|detectable) .*|{RECORD}",
    ),
    "DINOv2's threshold": Case(
        setting("budgets", "dinov2", "similarity_threshold", value=0.9),
        DINOV2,
    ),
    "the batch in evaluation": Case(setting("evaluation", "batch_size", value=16), EVALUATED),
    "a seed added": Case(
        setting("experiments", 0, "seeds", value=[1, 2]),
        rf"figure_(scores|deltas) analysis/overview/.*|(scores|deltas) .*|(overview|claims|detectable) .*|{RECORD}",
        (
            f"spec finetuning/{SEED_2}/spec.yaml",
            *(f"train finetuning/{SEED_2}/{name}" for name in ("model/config.json", "log.jsonl", "summary.json")),
            *(
                f"evaluate evaluation/tuned/{SEED_2}/{suite}/{name}"
                for suite in ("image/frames-1", "video/frames-16")
                for name in ("scores.json", "responses.parquet")
            ),
        ),
    ),
    "a benchmark less": Case(setting("benchmarks", "suites", value={"image": ["mme", "mmstar", "pope"]}),
                             rf"evaluate .*/image/.*|{ANALYSIS}"),
    # content
    "base weights": Case(
        other_content("resources/miniature/qwen2.5-vl-7b/model.safetensors"), rf"spec .*|train .*|{EVALUATED}"
    ),
    "a predictor's weights": Case(
        other_content("resources/miniature/dinov2/model.safetensors"),
        DINOV2,
    ),
    "an edited manifest": Case(
        other_content(f"{RESULTS}/curation/manifest.parquet"),
        rf"(training_data|uniform|predictors|hybrid) .*|{STORED}",
    ),
    "a run trained anew, the same in all but its weights": Case(
        other_content(f"{RESULTS}/finetuning/full/qwen2.5-vl-7b/uniform-32/seed-1/summary.json"),
        r"evaluate evaluation/tuned/full/qwen2.5-vl-7b/uniform-32/.*|(scores|deltas) .*|"
        r"figure_(scores|deltas) analysis/(frames|trade_off|hybrid)/.*|"
        rf"(frames|trade_off|hybrid|claims|detectable) .*|{RECORD}",
    ),
    "an evaluation deleted": Case(
        delete(f"{RESULTS}/evaluation/base/qwen2.5-vl-7b/image/frames-1/scores.json"),
        rf"evaluate evaluation/base/qwen2.5-vl-7b/image/.*|{ANALYSIS}",
    ),
    "a figure deleted": Case(delete(f"{RESULTS}/figures/overview.png"), rf"overview .*|{RECORD}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the miniature study is done."""
    folder = copy_to(tmp_path_factory.mktemp("reruns"))
    for line in _summary(folder):
        path = folder / line[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"stands in for {line[0]}\n")
    snakemake(folder, *FLAGS, "--touch", "--forceall", "--configfile", PRESET)
    return folder


@pytest.fixture(scope="module")
def made(study: Path) -> set[str]:
    """All that the study makes."""
    return {_name(line) for line in _summary(study)}


def pending(folder: Path) -> set[str]:
    """What Snakemake would make."""
    return {_name(line) for line in _summary(folder) if line[-1] == "update pending"}


def _summary(folder: Path) -> list[list[str]]:
    """Snakemake's table of all files of the study: file, date, rule, logs, status, plan."""
    said = snakemake(folder, *FLAGS, "--summary", "--configfile", PRESET)
    return [line.split("\t") for line in said.splitlines() if line.startswith(f"{RESULTS}/")]


def _name(line: list[str]) -> str:
    return f"{line[2]} {line[0].removeprefix(f'{RESULTS}/')}"


@pytest.mark.parametrize("name", CASES)
def test_what_a_change_reruns(study: Path, made: set[str], name: str, tmp_path: Path) -> None:
    case = CASES[name]
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    case.change(folder)
    expected = {one for one in made if case.reruns and re.fullmatch(case.reruns, one)} | set(case.new)
    found = pending(folder)
    shutil.rmtree(folder)
    assert sorted(found - expected) == [], "these would run and should not"
    assert sorted(expected - found) == [], "these should run and would not"
