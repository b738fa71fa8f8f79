"""What a study, a figure and a change make Snakemake do. Nothing is computed: runs are dry and files are stand-ins."""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from .conftest import Done, Snakemake, snakemake_in

SMOKE = ("miniature", "smoke")
SIGNALS = "--shutdown-timeout 3600 --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
TUNED = "results/smoke/evaluation/tuned/full/qwen2.5-vl-7b/uniform-16/seed-1/video/frames-8"


def jobs(done: Done) -> dict[str, int]:
    """Jobs of a dry run by rule, from its table."""
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", done.stdout + done.stderr, re.M | re.S)
    if table is None:
        assert "Nothing to be done" in done.stdout + done.stderr
        return {}
    counts = {name: int(count) for name, count in (line.split() for line in table.group(1).splitlines())}
    return {name: count for name, count in counts.items() if name != "all"}


def test_the_paper_is_planned_without_data_weights_or_gpu(snakemake: Snakemake, tmp_path: Path) -> None:
    planned = jobs(snakemake("--dry-run", "--quiet", "rules"))
    # Six models at uniform-16 and six further allocations of the 7B, three seeds each.
    assert planned["spec"] == planned["train"] == 36
    # Two suites of these; base and blind at 16 frames of six models, and at 64 of the 7B; images have one frame.
    assert planned["evaluate"] == 36 + (18 + 18 + 3) + 2 * (6 + 6 + 1)
    assert planned["store"] == 64
    assert planned["media"] == planned["benchmark_store"] == 4
    assert planned["vlm"] == 2
    assert planned["uniform"] == 4
    assert not {"world", "benchmarks"} & set(planned)
    assert [path.name for path in tmp_path.iterdir()] == [".snakemake"]


@pytest.mark.parametrize(
    ("model", "memory_gb", "expected"),
    [
        ("3b", 200, f"python -m torch.distributed.run --nproc-per-node 1 {SIGNALS} --standalone -m"),
        (
            "72b",
            80,
            "srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --cpus-per-task=64 --gpus-per-node=8 "
            f"--kill-on-bad-exit=1 python -m torch.distributed.run --nproc-per-node 8 {SIGNALS} --nnodes 4 "
            "--rdzv-backend c10d",
        ),
    ],
)
def test_training_starts_as_its_gpus_need(snakemake: Snakemake, model: str, memory_gb: int, expected: str) -> None:
    run = f"results/paper/finetuning/full/qwen2.5-vl-{model}/uniform-16/seed-1"
    overlay = f"compute: {{gpu_memory_gb: {memory_gb}}}"
    planned = snakemake(f"{run}/summary.json", "--dry-run", "--printshellcmds", "--cores", "64", overlay=overlay)
    assert planned.returncode == 0, planned.stderr
    assert f"Shell command: trap : TERM USR1; {expected}" in planned.stdout + planned.stderr


def test_a_figure_names_only_what_it_needs(snakemake: Snakemake) -> None:
    planned = jobs(snakemake("results/paper/figures/scale.pdf", "--dry-run", "--quiet", "rules"))
    assert planned["scale"] == planned["figure_scores"] == planned["figure_deltas"] == 1
    assert planned["train"] == 4 * 3
    assert planned["evaluate"] == 2 * (4 * 3 + 4 + 4)
    assert planned["uniform"] == 1
    others = {"overview", "frames", "trade_off", "hybrid", "predictors", "dinov2", "vlm", "scores", "deltas", "record"}
    assert not others & set(planned)


def test_attention_is_of_the_runs_of_scale_and_evaluates_nothing(snakemake: Snakemake) -> None:
    planned = jobs(snakemake("results/paper/figures/attention.png", "--dry-run", "--quiet", "rules"))
    assert planned["looks"] == 4 * (1 + 3)
    assert planned["train"] == 4 * 3
    assert planned["concentration"] == planned["attention"] == 1
    assert "evaluate" not in planned


def test_without_truth_the_oracle_reads_the_answers(snakemake: Snakemake) -> None:
    """Three predictors, chance and the oracle; and with the miniature's truth nothing is read."""
    target = "results/{}/figures/predictors.html"
    paper = jobs(snakemake(target.format("paper"), "--dry-run", "--quiet", "rules", presets=("theory",)))
    assert paper["train"] == 5 * 3
    assert paper["likelihood"] == paper["oracle"] == paper["shuffled"] == paper["figure_contrasts"] == 1
    presets = ("miniature", "miniature-theory")
    miniature = jobs(snakemake(target.format("miniature"), "--dry-run", "--quiet", "rules", presets=presets))
    assert miniature["oracle"] == miniature["shuffled"] == 1
    assert "likelihood" not in miniature


@pytest.mark.parametrize(
    ("study", "presets", "seeds"),
    [("paper", ("budget-map",), 3), ("miniature", ("miniature", "miniature-budget-map"), 1)],
)
def test_the_map_of_budgets_evaluates_each_run_with_every_number_of_frames(
    snakemake: Snakemake, study: str, presets: tuple[str, ...], seeds: int
) -> None:
    """Four runs a seed, the base and the blind base: images once, videos with four numbers of frames."""
    target = f"results/{study}/figures/budget_map.png"
    planned = jobs(snakemake(target, "--dry-run", "--quiet", "rules", presets=presets))
    assert planned["evaluate"] == (4 * seeds + 2) * (1 + 4)
    assert planned["train"] == 4 * seeds
    assert planned["budget_map"] == planned["figure_frame_effects"] == 1


def test_a_figure_has_its_name_as_a_target(snakemake: Snakemake) -> None:
    planned = jobs(snakemake("training_data", "--dry-run", "--quiet", "rules"))
    assert planned == {"inventory": 1, "shortlist": 1, "probe": 16, "manifest": 1, "training_data": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the smoke study is done, as far as Snakemake can see."""
    folder = tmp_path_factory.mktemp("finished")
    call = snakemake_in(folder)
    summary = call("--summary", presets=SMOKE)
    assert summary.returncode == 0, summary.stderr
    for line in summary.stdout.splitlines()[1:]:
        path = folder / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stand-in")
    touched = call("--touch", presets=SMOKE)
    assert touched.returncode == 0, touched.stderr
    return folder


@pytest.fixture
def after(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to change, times kept."""
    return Path(shutil.copytree(finished, tmp_path / "study", copy_function=shutil.copy2))


def test_a_finished_study_does_nothing(after: Path) -> None:
    assert jobs(snakemake_in(after)("--dry-run", "--quiet", "rules", presets=SMOKE)) == {}


def test_a_deleted_evaluation_reruns_what_depends_on_it(after: Path) -> None:
    """uniform-16 is in the figures frames and trade_off; nothing trains."""
    shutil.rmtree(after / TUNED)
    planned = jobs(snakemake_in(after)("--dry-run", "--quiet", "rules", presets=SMOKE))
    assert planned == {
        "evaluate": 1, "scores": 1, "deltas": 1, "figure_scores": 2, "figure_deltas": 2, "frames": 1, "trade_off": 1,
        "figure_contrasts": 1, "claims": 1, "detectable": 1, "record": 1, "lineage": 1,
    }  # fmt: skip


CHANGES = {
    "figures: {dpi: 100}": {
        "training_data", "overview", "abilities", "frames", "trade_off", "predictors", "hybrid", "gradient_alignment",
        "attention", "record", "lineage",
    },
    "budgets: {dinov2: {similarity_threshold: 0.5}}": {
        "dinov2", "spec", "train", "evaluate", "scores", "deltas", "figure_scores", "figure_deltas", "trade_off",
        "predictors", "detectable", "record", "lineage",
    },
    "recipes: {full: {learning_rates: {projector: 0.5}}}": {
        "spec", "train", "evaluate", "scores", "deltas", "figure_scores", "figure_deltas", "figure_abilities",
        "overview", "abilities", "frames", "trade_off", "predictors", "hybrid", "claims", "detectable", "record",
        "alignment", "steps", "propositions", "gradient_alignment", "looks", "concentration", "attention", "lineage",
        "interpolate", "figure_contrasts",
    },
    "models: {llava-1.5-7b: {max_length: 100}}": {"record", "lineage"},
}  # fmt: skip


@pytest.mark.parametrize(("overlay", "rules"), CHANGES.items(), ids=[change.split(":")[0] for change in CHANGES])
def test_a_setting_reruns_only_what_uses_it(after: Path, overlay: str, rules: set[str]) -> None:
    planned = jobs(snakemake_in(after)("--dry-run", "--quiet", "rules", presets=SMOKE, overlay=overlay))
    assert set(planned) == rules
    if "dinov2" in rules:
        assert Counter(planned)["train"] == 1
