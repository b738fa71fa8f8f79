"""Every figure from made-up tables: files, the numbers behind, equal bytes."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer

from workflow_scripts.figures import (
    architectures,
    frames,
    overview,
    predictors,
    scale,
    style,
    trade_off,
    training_data,
)
from workflow_scripts.figures.selection import Selection, select
from workflow_scripts.settings import InputError

Tables = Callable[..., list[str]]
FOUR = tuple(f"qwen2.5-vl-{size}b" for size in (3, 7, 32, 72))
THREE = ("qwen2.5-vl-7b", "llava-next-video-7b", "llava-1.5-7b")


def command(name: str, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *flags])
    importlib.import_module(f"workflow_scripts.figures.{name}").main()


def selection(flags: list[str], settings: object = None) -> Selection:
    values = dict(zip(flags[::2], flags[1::2], strict=True))
    arguments = type(
        "A", (), {"scores": Path(values["--scores"]), "deltas": Path(values["--deltas"]), "settings": settings}
    )
    return select(arguments)  # type: ignore[arg-type]


@pytest.fixture
def samples(tmp_path: Path) -> list[str]:
    """Flags of a manifest of 40 samples, budgets of every allocation of the tables, and the truth."""
    ids, kinds = [f"{i:03d}-x" for i in range(40)], ["caption", "open_ended", "multiple_choice", "open_ended"] * 10
    manifest = pd.DataFrame(
        {
            "sample_id": [f"s/{name}-{i:08x}" for i, name in enumerate(ids)],
            "video": [f"s/{i}.mp4" for i in range(40)],
            "subset": "s",
            "format": kinds,
            "source": ["VidOR", "Ego4D"] * 20,
            "duration_s": np.linspace(4, 40, 40),
        }
    )
    manifest.to_parquet(tmp_path / "manifest.parquet")
    truth = np.array([8] * 20 + [16] * 10 + [64] * 10)
    about = pd.DataFrame({"subset": "s", "record_id": ids, "format": kinds, "video": "", "budget": truth})
    about.sample(frac=1, random_state=0).to_parquet(tmp_path / "truth.parquet")
    given = {
        "uniform-8": np.full(40, 8),
        "uniform-16": np.full(40, 16),
        "uniform-32": np.full(40, 32),
        "uniform-64": np.full(40, 64),
        "hybrid-dinov2": np.array([8] * 30 + [64] * 10),
        "hybrid-qwen2.5-vl-3b": truth,
        "hybrid-qwen3-vl-8b": np.array([16] * 20 + [16] * 10 + [64] * 10),
    }
    for name, budgets in given.items():
        frame = pd.DataFrame({"sample_id": manifest["sample_id"], "budget": budgets.astype("int32"), "evidence": "{}"})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    places = [str(tmp_path / f"{name}.parquet") for name in given]
    return ["--manifest", str(tmp_path / "manifest.parquet"), "--budgets", *places]


@pytest.mark.parametrize(
    ("name", "models", "allocations", "seeds"),
    [
        ("overview", FOUR[:2], ("uniform-8", "hybrid-dinov2"), (1,)),
        ("frames", FOUR[:1], None, (1, 2, 3)),
        ("trade_off", FOUR[:1], None, (1, 2, 3)),
        ("architectures", THREE, ("uniform-16",), (1, 2, 3)),
        ("scale", FOUR, ("uniform-16",), (1,)),
    ],
)
def test_figures_have_all_files_and_equal_bytes(
    name: str,
    models: tuple[str, ...],
    allocations: tuple[str, ...] | None,
    seeds: tuple[int, ...],
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = tables(models, *([allocations] if allocations else []), seeds=seeds)
    found = []
    for turn in ("one", "two"):
        # the resolution is low to be quick
        command(name, [*flags, "--dpi", "40", "--output-stem", str(tmp_path / turn / "v1.0-figure")], monkeypatch)
        files = sorted((tmp_path / turn).iterdir())
        assert [file.name for file in files] == [f"v1.0-figure.{kind}" for kind in ("csv", "pdf", "png", "svg")]
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    assert b"TrueType" in found[0][1] or b"FontFile2" in found[0][1]


def test_overview_draws_what_its_csv_says(tables: Tables) -> None:
    chosen = selection(tables(seeds=(1, 2, 3)))
    axes = overview.draw(chosen).axes[0]
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "os" and line.get_markersize() > 4]
    behind = chosen.changes[chosen.changes["benchmark"].isin(["image", "video"])]
    assert sorted(means) == pytest.approx(sorted(behind["delta"]))
    ends = [
        tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "None" and line.get_linewidth() == 1.2
    ]
    expected = sorted(zip(behind["ci_low"], behind["ci_high"], strict=True))
    assert np.array(sorted(ends)) == pytest.approx(np.array(expected))


def test_frames_draws_scores_base_and_blind(tables: Tables) -> None:
    chosen = selection(tables())
    table = frames.drawn(chosen)
    assert set(table["frames"]) == {8, 16, 32, 64}
    for axes, name in zip(frames.draw(chosen).axes, chosen.benchmarks, strict=False):
        rows = table[table["benchmark"] == name]
        assert axes.lines[0].get_ydata().tolist() == pytest.approx(rows["tuned"].tolist())
        assert axes.lines[0].get_xdata().tolist() == pytest.approx([8, 16, 32, 64])
        assert any(line.get_ydata()[0] == pytest.approx(rows["base"].iloc[0]) for line in axes.lines[1:])
        assert f"n = {rows['n_questions'].iloc[0]}" in axes.get_title()


def test_scores_are_put_in_percent_of_the_maximum(tables: Tables) -> None:
    chosen = selection(tables())
    deltas = pd.read_csv(tables()[3])
    raw = deltas[(deltas["benchmark"] == "mme") & (deltas["allocation"] == "uniform-8")].iloc[0]
    assert raw["maximum"] == 800
    assert chosen.change("qwen2.5-vl-7b", "uniform-8", "mme")["delta"] == pytest.approx(raw["delta"] / 8)


def test_pareto_front() -> None:
    x, y = pd.Series([-3.0, -1.0, -2.0, -1.0]), pd.Series([9.0, 8.0, 8.5, 7.0])
    assert trade_off.pareto(x, y).tolist() == [True, True, True, False]


def test_hybrid_marks_only_a_best_beyond_the_intervals(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = tables()
    deltas = pd.read_csv(flags[3])
    rows = deltas["benchmark"] == "mvbench"
    winner = rows & (deltas["allocation"] == "uniform-32")
    deltas.loc[winner, ["tuned", "delta", "ci_low", "ci_high"]] = [90.0, 50.0, 48.0, 52.0]
    level = deltas["benchmark"] == "pope"
    deltas.loc[level, ["tuned", "delta", "ci_low", "ci_high"]] = [0.8, 0.0, -0.03, 0.03]
    deltas.to_csv(flags[3], index=False)
    command("hybrid", [*flags, "--output-stem", str(tmp_path / "out" / "hybrid")], monkeypatch)
    assert sorted(file.suffix for file in (tmp_path / "out").iterdir()) == [".csv", ".html", ".md", ".tex"]
    table = pd.read_csv(tmp_path / "out" / "hybrid.csv")
    best = table[table["best"]]
    assert best.loc[best["benchmark"] == "mvbench", "allocation"].tolist() == ["uniform-32"]
    assert "pope" not in set(best["benchmark"])
    assert "**" in (tmp_path / "out" / "hybrid.md").read_text()
    assert (tmp_path / "out" / "hybrid.tex").read_text().count(r"\textbf") == len(best)
    assert "n = 240" in (tmp_path / "out" / "hybrid.html").read_text()


def test_predictors_against_truth_counted_by_hand(
    tables: Tables, samples: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = ["--truth", str(tmp_path / "truth.parquet"), "--dpi", "40", "--admissible", "8", "16", "32", "64", "128"]
    command("predictors", [*tables(), *samples, *truth, "--output-stem", str(tmp_path / "out" / "p")], monkeypatch)
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {
        f".{k}" for k in ["csv", "html", "md", "pdf", "png", "svg", "tex"]
    }
    table = pd.read_csv(tmp_path / "out" / "p.csv").set_index("allocation")
    dino = table.loc["hybrid-dinov2"]
    assert (dino["mean_budget"], dino["exact"], dino["too_few"]) == (22.0, 0.75, 0.25)
    assert dino["saved"] == pytest.approx(1 - 22 / 128)
    assert (dino["cell_16_8"], dino["cell_8_8"], dino["share_8"]) == (10, 20, 0.75)
    assert table.loc["hybrid-qwen2.5-vl-3b", "exact"] == 1
    assert table.loc["hybrid-qwen3-vl-8b", "too_many"] == 0.5
    assert table.loc["uniform-64", "saved"] == 0.5
    assert table.loc["uniform-64", "share_128"] == 0
    assert table["image_blind"].eq(31).all()
    assert "64 evaluation frames" in (tmp_path / "out" / "p.md").read_text()
    assert (
        f"Video change<br>base {table['video_base'].iloc[0]:.1f}, blind 31.0" in (tmp_path / "out" / "p.md").read_text()
    )
    assert "<svg" in (tmp_path / "out" / "p.html").read_text()


def test_predictors_without_truth_say_so_and_costs_are_a_samples(
    tables: Tables, samples: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = tmp_path / "hybrid-dinov2.jsonl"
    costs.write_text('{"s": 12.0, "max_rss": 1}\n{"s": 20.0, "max_rss": 1}\n')
    contrasts = pd.DataFrame(
        [
            {"allocation": "hybrid-qwen3-vl-8b", "against": "hybrid-dinov2", "suite": suite}
            | {"recipe": "full", "against_recipe": "full"}
            | {"model": "qwen2.5-vl-7b", "eval_frames": 64, "benchmark": name, "metric": "m", "maximum": 100.0}
            | {"n_questions": 240, "before": 70.0, "after": 70.0 + delta, "delta": delta, "ci_low": delta - 1}
            | {"ci_high": delta + 1, "p_value": 0.02, "n_seeds": 1, "n_clusters": 240, "se_questions": 0.5}
            | {"se_seeds": np.nan, "mdd": 1.4}
            for suite, name, delta in (("image", "mme", 9.0), ("image", "image", 1.5), ("video", "video", -2.25))
        ]
    )
    contrasts.to_csv(tmp_path / "contrasts.csv", index=False)
    flags = ["--dpi", "40", "--admissible", "8", "16", "32", "64", "--costs", str(costs)]
    flags += ["--contrasts", str(tmp_path / "contrasts.csv"), "--output-stem", str(tmp_path / "out" / "p")]
    command("predictors", [*tables(), *samples, *flags], monkeypatch)
    page = (tmp_path / "out" / "p.md").read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    rows = {first: rest for first, *rest in lines}
    assert rows["hybrid DINOv2"][2] == "0.5", "the last attempt's 20 s over 40 samples"
    assert rows["hybrid Qwen3-VL-8B"][2] == "–"
    assert all(row[-2:] == ["–", "–"] for name, row in rows.items() if name.startswith(("hybrid", "uniform")))
    assert "not known, as the study names no true budgets" in page
    difference = rows["Δ hybrid Qwen3-VL-8B<br>− hybrid DINOv2"]
    assert difference[3:5] == ["+1.5<br>[+0.5, +2.5], p = 0.02", "−2.2<br>[−3.2, −1.2], p = 0.02"]
    table = pd.read_csv(tmp_path / "out" / "p.csv")
    assert table["against"].notna().sum() == 2
    dino = table.set_index("allocation").loc["hybrid-dinov2"]
    given = np.array([8] * 30 + [64] * 10)
    half = 2.0227 * given.std(ddof=1) / np.sqrt(40)
    assert dino["mean_budget_low"] == pytest.approx(given.mean() - half, abs=1e-3)
    assert dino["saved_high"] == pytest.approx(1 - (given.mean() - half) / 64, abs=1e-4)
    (tmp_path / "hybrid-dinov2.jsonl").write_text("")
    with pytest.raises(InputError, match=r"hybrid-dinov2.jsonl: .*expected a benchmark file"):
        command("predictors", [*tables(), *samples, *flags], monkeypatch)


def test_predictors_are_of_one_model_and_admissible_budgets(
    tables: Tables, samples: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["--output-stem", str(tmp_path / "p")]
    with pytest.raises(InputError, match=r"64 frames; expected one of 8, 16, 32"):
        command("predictors", [*tables(), *samples, "--admissible", "8", "16", "32", *place], monkeypatch)
    with pytest.raises(InputError, match="of one model"):
        command("predictors", [*tables(FOUR[:2]), *samples, "--admissible", "8", *place], monkeypatch)


def test_frames_of_evaluation_are_named_and_one(tables: Tables) -> None:
    chosen = selection(tables(FOUR[:2]))
    drawings = [overview.draw(chosen).axes[0].get_xlabel()]
    drawings += [str(module.draw(chosen).get_supxlabel()) for module in (frames, trade_off, architectures, scale)]
    assert all("64 evaluation frames" in text for text in drawings)
    flags = tables()
    deltas = pd.read_csv(flags[3])
    pd.concat([deltas, deltas[deltas["suite"] == "video"].assign(eval_frames=8)]).to_csv(flags[3], index=False)
    with pytest.raises(InputError, match="eval_frames is 8, 64"):
        selection(flags)


def test_scale_draws_the_blind_score(tables: Tables) -> None:
    chosen = selection(tables(FOUR, ("uniform-16",)))
    table = scale.drawn(chosen)
    assert table.loc[table["benchmark"] == "pope", "blind"].eq(50).all()
    for axes, name in zip(scale.draw(chosen).axes, chosen.benchmarks, strict=False):
        blind = float(table.loc[table["benchmark"] == name, "blind"].iloc[0])
        lines = any((line.get_ydata() == blind).all() for line in axes.lines)
        assert lines or any(f"{blind:.1f}" in text.get_text() for text in axes.texts)


def test_detectable_changes_are_medians_over_a_models_runs(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = tables(FOUR[:2], ("uniform-8", "uniform-16", "uniform-32"))
    deltas = pd.read_csv(flags[3])
    rows = (deltas["benchmark"] == "mme") & (deltas["model"] == FOUR[0])
    deltas.loc[rows, "mdd"] = [16.0, 80.0, 24.0]
    deltas.to_csv(flags[3], index=False)
    command("detectable", [*flags, "--output-stem", str(tmp_path / "out" / "d")], monkeypatch)
    table = pd.read_csv(tmp_path / "out" / "d.csv").set_index(["model", "benchmark"])
    found = table.loc[(FOUR[0], "mme")]
    # 800 points are 100 percent
    assert found[["median", "least", "most", "n_runs", "blind"]].tolist() == [3, 2, 10, 3, 25]
    page = (tmp_path / "out" / "d.md").read_text()
    assert f"3.0<br>[2.0, 10.0], 3 runs<br>base {found['base']:.1f}, blind 25.0" in page
    assert [line.split("|")[1].strip() for line in page.splitlines() if "Video" in line][-1] == "Video mean"


def test_wilson_by_hand() -> None:
    """Newcombe (1998), table I: 81 of 263."""
    assert predictors.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_training_data_counts(samples: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = tmp_path / "statistics.csv"
    rows = [{"dimension": "quarantined", "value": "missing", "available": 2}, {"dimension": "total", "value": "all"}]
    pd.DataFrame(rows).to_csv(statistics, index=False)
    flags = [*samples[:2], "--statistics", str(statistics), "--dpi", "40"]
    command("training_data", [*flags, "--output-stem", str(tmp_path / "out" / "t")], monkeypatch)
    table = pd.read_csv(tmp_path / "out" / "t.csv")
    counts = table[table["panel"] == "samples"]
    assert counts["value"].sum() == 40
    assert counts[(counts["source"] == "VidOR") & (counts["name"] == "caption")]["value"].item() == 10
    assert table[table["panel"] == "quarantined"]["value"].tolist() == [2]
    bars = [c for c in training_data.draw(table, 40).axes[0].containers if isinstance(c, BarContainer)]
    assert sum(bar.get_width() for container in bars for bar in container) == 40
    quarantine = tmp_path / "quarantine.csv"
    pd.DataFrame({"video": ["a"], "reason": ["missing"], "detail": [""]}).to_csv(quarantine, index=False)
    with pytest.raises(InputError, match="quarantined are"):
        command(
            "training_data",
            [*flags, "--quarantine", str(quarantine), "--output-stem", str(tmp_path / "t")],
            monkeypatch,
        )


def test_a_run_that_the_experiment_lacks_is_named(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = {
        "figure": "overview",
        "recipe": "full",
        "models": ["qwen2.5-vl-7b", "llava-1.5-7b"],
        "allocations": ["uniform-8"],
        "seeds": [1],
        "eval_frames": [64],
    }
    flags = [*tables(), "--settings", json.dumps(experiment), "--output-stem", str(tmp_path / "o")]
    with pytest.raises(InputError, match=r"no row of .*llava-1\.5-7b"):
        command("overview", flags, monkeypatch)
    experiment["models"], experiment["seeds"] = ["qwen2.5-vl-7b"], [1, 2, 3]
    flags[5] = json.dumps(experiment)
    with pytest.raises(InputError, match="has 1 seeds"):
        command("overview", flags, monkeypatch)


def test_every_figure_has_a_caption_that_explains_its_intervals() -> None:
    folder = Path(style.__file__).parent / "captions"
    names = {"overview", "frames", "trade_off", "architectures", "scale", "hybrid", "predictors", "training_data"}
    names |= {"abilities", "budget_map", "claims", "detectable"}
    assert {path.stem for path in folder.glob("*.rst")} >= names
    for name in names:
        assert "interval" in (folder / f"{name}.rst").read_text().lower()


def test_label_colours_are_readable_on_white() -> None:
    """Contrast of at least 3 to 1 (WCAG, relative luminance)."""
    for mark in (style.UNIFORM, *style.MARKS.values()):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(style.darker(mark.colour))
        ]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 3
