"""The two commands of the stage on a small data set of real files in the layout of LLaVA-Video-178K."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.commands import Finished, run
from tests.footage import X264, write_video
from workflow_scripts.curation import inventory, manifest, probe, shortlist
from workflow_scripts.curation.manifest import SCHEMA
from workflow_scripts.curation.population import Population, read_annotations

SUBSETS = ("0_30_s_academic_v0_1", "30_60_s_youtube_v0_1", "0_30_s_activitynetqa")
CHOICES = "What is it?\nA. A cat.\nB. A dog.\nPlease respond with only the letter of the correct answer."


def entry(identifier: str, video: str, question: str, answer: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
    return {"id": identifier, "conversations": turns, "data_source": "any", "video": video}


def build(root: Path) -> Path:
    """36 videos in three subsets; six are broken or duplicates, four records are malformed."""
    number = 0
    for subset, root_path, per_format in (
        (SUBSETS[0], "academic_source/Charades", ("cap", "oe", "mc")),
        (SUBSETS[1], "liwei_youtube_videos/videos/hdvila", ("cap", "oe", "mc")),
        ("0_30_s_activitynet", "ActivityNet-QA/activitynet", ("oe",)),
    ):
        folder = root / subset
        duration, family = subset.split("_s_")[0] + "_s", subset.split("_s_")[1].removesuffix("_v0_1")
        records: dict[str, list[Any]] = {name: [] for name in per_format}
        for i in range(12):
            video = f"{root_path}/v{i:02d}.mp4"
            number += 1
            write_video(folder / video, options=X264, times_ms=range(0, 400, 40), first_number=number)
            for name in per_format:
                question, answer = (CHOICES, "B.") if name == "mc" else ("What happens?", f"Number {number}.")
                records[name].append(entry(f"{name}-{i}", video, question, answer))
        if family == "youtube":
            records["mc"] += [entry("bad-1", f"{root_path}/v00.mp4", CHOICES, "E."), {"id": "bad-2"}, 7]
            records["oe"].append(entry("bad-3", "../../escape.mp4", "q", "a"))
        names = {
            "cap": f"{duration}_{family}_v0_1_cap_processed.json",
            "oe": f"{duration}_{family}_oe_v0_1_qa_processed.json",
            "mc": f"{duration}_{family}_mc_v0_1_qa_processed.json",
        }
        if len(per_format) == 1:
            names = {"oe": f"{duration}_activitynetqa_oe_qa_processed.json"}
        for name, content in records.items():
            (folder / names[name]).write_text(json.dumps(content))
    charades = root / SUBSETS[0] / "academic_source/Charades"
    (charades / "v01.mp4").write_bytes(b"")
    (charades / "v05.mp4").unlink()
    (charades / "v07.mp4").write_text("gone")
    hdvila = root / SUBSETS[1] / "liwei_youtube_videos/videos/hdvila"
    (hdvila / "v02.mp4").write_bytes((hdvila / "v02.mp4").read_bytes()[:1500])
    shutil.copy(hdvila / "v03.mp4", hdvila / "v04.mp4")
    shutil.copy(hdvila / "v03.mp4", charades / "v08.mp4")
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def listed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("curation") / "inventory.json"
    result = take_inventory(dataset, output)
    assert result.returncode == 0, result.stderr
    return output


def take_inventory(dataset: Path, output: Path, *subsets: str) -> Finished:
    more = ("--index", output.parent / "index.parquet", "--malformed", output.parent / "malformed.csv")
    return run(inventory.main, "--dataset", dataset, "--subsets", *(subsets or SUBSETS), "--output", output, *more)


def draw(listed: Path, dataset: Path, folder: Path, videos: int, *more: object, shards: int = 0) -> Finished:
    """Shortlist and manifest; with shards, probes between the two, else the manifest probes everything itself."""
    index = ("--index", listed.parent / "index.parquet", "--videos", videos, *more)
    probes = [folder / f"probes-{shard}.parquet" for shard in range(shards)]
    if shards:
        drawn = run(shortlist.main, *index, "--output", folder / "shortlist.parquet")
        if drawn.returncode:
            return drawn
    for shard, path in enumerate(probes):
        which = ("--shard", shard, "--shards", shards, "--dataset", dataset, "--workers", 2, "--output", path)
        probed = run(probe.main, "--shortlist", folder / "shortlist.parquet", *which)
        assert probed.returncode == 0, probed.stderr
    outputs = ("--output", folder / "m.parquet", "--quarantine", folder / "q.csv", "--statistics", folder / "s.csv")
    inputs = ("--inventory", listed, "--malformed", listed.parent / "malformed.csv", "--dataset", dataset)
    return run(manifest.main, *inputs, *index, "--probes", *probes, *outputs)


@pytest.fixture(scope="module")
def everything(listed: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all")
    result = draw(listed, dataset, folder, 30, shards=3)
    assert result.returncode == 0, result.stderr
    assert "further" not in result.stderr
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_inventory(listed: Path, dataset: Path) -> None:
    found = json.loads(listed.read_text())
    assert [subset["subset"] for subset in found["subsets"]] == list(SUBSETS)
    assert found["subsets"][2]["folder"] == "0_30_s_activitynet"
    counts = {a["file"]: a["records"] for subset in found["subsets"] for a in subset["annotations"]}
    assert len(counts) == 7
    assert counts["30_60_s_youtube_v0_1/30_60_s_youtube_mc_v0_1_qa_processed.json"] == 15
    assert all((dataset / name).is_file() for name in counts)


def test_manifest_columns_and_contents(everything: Path, dataset: Path) -> None:
    table = pq.read_table(everything / "m.parquet")
    assert table.schema.equals(SCHEMA)
    samples = table.to_pylist()
    assert len({sample["sample_id"] for sample in samples}) == len({sample["video"] for sample in samples}) == 30
    for sample in samples:
        assert (dataset / sample["video"]).is_file()
        subset, _, rest = sample["sample_id"].partition("/")
        assert subset == sample["subset"]
        identifier, _, digits = rest.rpartition("-")
        assert len(digits) == 8
        name = {"caption": "cap", "open_ended": "oe", "multiple_choice": "mc"}[sample["format"]]
        assert identifier.partition("-")[0] == name
        assert Path(sample["video"]).stem == f"v{int(identifier.partition('-')[2]):02d}"
        human, gpt = sample["conversations"]
        assert human["from"] == "human"
        assert gpt["from"] == "gpt"
        assert human["value"] == (CHOICES if name == "mc" else "What happens?")
        assert (sample["n_frames"], sample["width"], sample["height"]) == (10, 160, 120)
        assert sample["duration_s"] == pytest.approx(0.4, abs=0.02)
    assert {(sample["subset"], sample["source"]) for sample in samples} == {
        (SUBSETS[0], "charades"),
        (SUBSETS[1], "hd_vila"),
        (SUBSETS[2], "activitynet_qa"),
    }


def test_quarantine_names_every_bad_one(everything: Path) -> None:
    listed_rows = rows(everything / "q.csv")
    reasons = {Path(row["video"]).name: row["reason"] for row in listed_rows if row["reason"] != "malformed-record"}
    charades = {"v01.mp4": "empty", "v05.mp4": "missing", "v07.mp4": "not-a-video", "v02.mp4": "truncated"}
    assert charades.items() <= reasons.items()
    assert Counter(row["reason"] for row in listed_rows) == {
        "empty": 1,
        "missing": 1,
        "not-a-video": 1,
        "truncated": 1,
        "duplicate": 2,
        "malformed-record": 4,
    }
    malformed = [row["detail"] for row in listed_rows if row["reason"] == "malformed-record"]
    assert any("30_60_s_youtube_mc_v0_1_qa_processed.json record 12: the answer" in detail for detail in malformed)
    assert any("30_60_s_youtube_oe_v0_1_qa_processed.json record 12: video is" in detail for detail in malformed)


def test_statistics_add_up(everything: Path) -> None:
    table = rows(everything / "s.csv")
    sums: dict[str, Counter[str]] = {}
    for row in table:
        for column in ("available", "sampled", "turns"):
            sums.setdefault(row["dimension"], Counter())[column] += int(row[column] or 0)
    for dimension in ("source", "format", "duration", "subset", "total"):
        assert (sums[dimension]["sampled"], sums[dimension]["turns"]) == (30, 30)
    assert sums["source"]["available"] == sums["duration"]["available"] == sums["total"]["available"] == 36
    total = next(row for row in table if row["dimension"] == "total")
    assert float(total["seconds"]) == pytest.approx(30 * 0.4, abs=0.5)
    assert int(total["records"]) == 36 + 36 + 12
    quarantined = {row["value"]: int(row["available"]) for row in table if row["dimension"] == "quarantined"}
    assert quarantined["duplicate"] == 2


def test_samples_nest_and_repeat(everything: Path, listed: Path, dataset: Path, tmp_path: Path) -> None:
    large = pq.read_table(everything / "m.parquet")["sample_id"].to_pylist()
    assert draw(listed, dataset, tmp_path, 12, shards=2).returncode == 0
    assert pq.read_table(tmp_path / "m.parquet")["sample_id"].to_pylist() == large[:12]
    first = (tmp_path / "m.parquet").read_bytes()
    assert draw(listed, dataset, tmp_path, 12).returncode == 0
    assert (tmp_path / "m.parquet").read_bytes() == first


def test_where_the_reserve_runs_out_further_videos_are_probed(
    everything: Path, listed: Path, dataset: Path, tmp_path: Path
) -> None:
    result = draw(listed, dataset, tmp_path, 30, "--reserve", 0, shards=2)
    assert result.returncode == 0, result.stderr
    assert "further videos are probed" in result.stderr
    assert (tmp_path / "m.parquet").read_bytes() == (everything / "m.parquet").read_bytes()


def test_the_shortlist_is_the_draw_before_probing(everything: Path) -> None:
    table = pq.read_table(everything / "shortlist.parquet").to_pylist()
    assert len({row["video"] for row in table}) == len(table) == 36
    assert [row["reserve"] for row in table] == [False] * 30 + [True] * 6
    listed_videos = [row["video"] for row in table]
    sample = pq.read_table(everything / "m.parquet")["video"].to_pylist()
    assert set(sample) <= set(listed_videos)


def test_shares_reach_the_draw(listed: Path, dataset: Path, tmp_path: Path) -> None:
    shares = {"format": {"caption": 0.5, "multiple_choice": 0.5}, "duration": {"0_30_s": 0.5, "30_60_s": 0.5}}
    result = draw(listed, dataset, tmp_path, 8, "--shares", json.dumps(shares))
    assert result.returncode == 0, result.stderr
    samples = pq.read_table(tmp_path / "m.parquet").to_pylist()
    assert Counter(sample["format"] for sample in samples) == {"caption": 4, "multiple_choice": 4}
    assert Counter(sample["source"] for sample in samples) == {"charades": 4, "hd_vila": 4}


def test_too_few_videos(listed: Path, dataset: Path, tmp_path: Path) -> None:
    result = draw(listed, dataset, tmp_path, 31)
    assert result.returncode == 2
    assert "hold 30 usable videos" in result.stderr
    assert "duplicate 2" in result.stderr
    assert list(tmp_path.iterdir()) == []
    result = draw(listed, dataset, tmp_path, 37, shards=1)
    assert result.returncode == 2
    assert "there are 36 videos to draw from" in result.stderr


def test_an_inventory_of_other_files(listed: Path, dataset: Path, tmp_path: Path) -> None:
    result = draw(listed, tmp_path / "elsewhere", tmp_path, 3)
    assert result.returncode == 2
    assert "run inventory again" in result.stderr
    for path in listed.parent.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "inventory.json").write_text("{}")
    result = draw(tmp_path / "inventory.json", dataset, tmp_path, 3)
    assert result.returncode == 2
    assert "is not an inventory" in result.stderr
    result = draw(listed, dataset, tmp_path, 3, "--seed", 5)
    assert result.returncode == 2
    assert "was made with seed 0; expected 5" in result.stderr


def test_bad_data_sets_fail_at_once(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "inventory.json"
    assert "/nowhere is missing" in take_inventory(Path("/nowhere"), output).stderr
    assert "'kinetics' is unknown" in take_inventory(dataset, output, "kinetics").stderr
    assert "named twice" in take_inventory(dataset, output, "0_30_s_activitynet", "0_30_s_activitynetqa").stderr
    missing = take_inventory(dataset, output, "1_2_m_nextqa")
    assert missing.returncode == 2
    assert "subset 1_2_m_nextqa is missing" in missing.stderr
    copy = tmp_path / "dataset"
    folder = copy / SUBSETS[0]
    shutil.copytree(dataset / SUBSETS[0], folder, ignore=shutil.ignore_patterns("*.mp4"))
    broken = folder / "0_30_s_academic_oe_v0_1_qa_processed.json"
    broken.write_text(broken.read_text()[:-100])
    result = take_inventory(copy, output, SUBSETS[0])
    assert result.returncode == 2
    assert str(broken) in result.stderr
    assert "expected a JSON array of records" in result.stderr
    broken.unlink()
    assert f"{broken} is missing" in take_inventory(copy, output, SUBSETS[0]).stderr
    assert not output.exists()


def test_what_cannot_be_placed_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "0_30_s_nextqa"
    folder.mkdir()
    videos = ["NextQA/1.mp4", "elsewhere/1.mp4", "elsewhere/2.mp4", "other.mp4", "elsewhere/2.mp4"]
    records = [entry(str(number), video, "q", "a") for number, video in enumerate(videos)]
    (folder / "a.json").write_text(json.dumps(records))
    index = read_annotations(tmp_path, "0_30_s_nextqa/a.json", "0_30_s_nextqa", "open_ended", 0).index
    table = manifest.statistics(Population.of(index), SCHEMA.empty_table(), [])
    counts = {row["value"]: (row["records"], row["available"]) for row in table if row["dimension"] == "source"}
    assert counts == {"nextqa": (1, 1), "unplaced:elsewhere": (3, 2), "unplaced:.": (1, 1)}
