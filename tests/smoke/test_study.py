"""What the smoke study left in results/smoke/. Run by ``make smoke``, after the study and its report."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

RESULTS = Path("results/smoke")
RUN = RESULTS / "finetuning/full/qwen2.5-vl-7b/uniform-8/seed-1"
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--profile", "profiles/local"]
SMOKE = ["--configfile", "presets/miniature.yaml", "presets/smoke.yaml"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FIGURES = ("overview", "abilities", "frames", "trade_off", "gradient_alignment", "attention", "training_data")
TABLES = ("predictors", "hybrid", "claims", "detectable")


def planned(*flags: str) -> set[str]:
    """Names of the rules of which a dry run plans jobs."""
    done = subprocess.run([*SNAKEMAKE, *flags, "-n", *SMOKE], capture_output=True, text=True, check=True)
    return set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE)) - {"all", "figures", "total"}


def test_nothing_is_left_to_do() -> None:
    assert planned() == set()


def test_deleting_an_evaluation_reruns_it_the_analysis_and_the_figures() -> None:
    scores = RESULTS / "evaluation/tuned/full/qwen2.5-vl-7b/uniform-8/seed-1/image/frames-1/scores.json"
    kept = scores.with_name("scores.kept")
    scores.rename(kept)
    try:
        rules = planned()
    finally:
        kept.rename(scores)
    assert {"evaluate", "overview", "frames", "trade_off", "hybrid"} <= rules
    assert not rules & {"train", "spec", "store", "manifest", "world", "training_data"}


def test_broken_videos_are_named_with_their_reason() -> None:
    quarantine = pd.read_csv(RESULTS / "curation/quarantine.csv")
    assert set(quarantine.reason) == {"empty", "missing", "not-a-video", "truncated"}
    manifest = pd.read_parquet(RESULTS / "curation/manifest.parquet")
    assert len(manifest) == 24
    assert not set(manifest.video) & set(quarantine.video)


def test_the_model_loads_with_auto_classes() -> None:
    model = AutoModelForImageTextToText.from_pretrained(RUN / "model")
    base = AutoModelForImageTextToText.from_pretrained("resources/miniature/qwen2.5-vl-7b", dtype=model.dtype)
    moved = [name for name, weight in model.state_dict().items() if not weight.equal(base.state_dict()[name])]
    assert len(moved) > 0.9 * len(base.state_dict())
    assert AutoProcessor.from_pretrained(RUN / "model").chat_template


def test_every_sample_was_trained_on_once() -> None:
    summary = json.loads((RUN / "summary.json").read_text())
    assert (summary["samples"], summary["steps"], summary["frames"]) == (24, 3, 24 * 8)


def test_every_score_has_its_interval_its_questions_and_its_blind_score() -> None:
    scores = pd.read_csv(RESULTS / "analysis/scores.csv")
    whole = scores[scores.category == "all"]
    assert set(whole.benchmark) >= {
        "mme", "mmstar", "mmbench", "pope", "videomme", "mvbench", "tempcompass", "video_mmmu"
    }  # fmt: skip
    assert whole.ci_low.notna().all()
    # a category of one picture or video has no interval
    bounded = scores.dropna(subset=["ci_low", "ci_high"])
    assert (bounded.ci_low <= bounded.value).all()
    assert (bounded.value <= bounded.ci_high).all()
    assert (whole[~whole.benchmark.isin(["image", "video"])].n_questions == 24).all()
    assert whole.blind.notna().all()


@pytest.mark.parametrize("name", [*FIGURES, *TABLES])
def test_figures_have_their_numbers_beside_them(name: str) -> None:
    for suffix in ("pdf", "svg", "png") if name in FIGURES else ("md", "tex", "html"):
        assert (RESULTS / f"figures/{name}.{suffix}").stat().st_size > 200
    with (RESULTS / f"figures/{name}.csv").open() as file:
        assert len(list(csv.reader(file))) > 1


def test_the_report_has_every_figure_with_its_picture_and_caption() -> None:
    report = (RESULTS / "report.html").read_text()
    for name in [f"{figure}.png" for figure in FIGURES] + [f"{table}.html" for table in TABLES]:
        entry = re.search(rf'"results/smoke/figures/{name}": (\{{.*?"caption": "[^"]{{40,}})', report, re.DOTALL)
        assert entry, name
        assert re.search(r'"data_uri": "data:[^"]{400,}', report[entry.start() :]), name
    assert not re.search(r'(src|href)="https?://[^"]+\.(js|css)"', report)


def test_the_report_has_the_lineage_of_every_figure() -> None:
    report = (RESULTS / "report.html").read_text()
    for name in (*FIGURES, *TABLES):
        assert f'"results/smoke/provenance/lineage/{name}.html"' in report, name
        assert "<svg" in (RESULTS / f"provenance/lineage/{name}.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the report was not opened in a browser")
def test_the_report_opens_in_a_browser(tmp_path: Path) -> None:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [str(CHROMIUM), *flags, "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=15000", "--dump-dom"]
    done = subprocess.run(
        [*command, (RESULTS / "report.html").resolve().as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    errors = [
        line for line in done.stderr.splitlines() if "CONSOLE" in line and re.search("Uncaught|Failed|SEVERE", line)
    ]
    assert not errors
    visible = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert "Figures" in visible
    assert "Tables" in visible
