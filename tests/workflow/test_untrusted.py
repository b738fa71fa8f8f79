"""What comes from outside reaches no shell, leaves no folder, is no formula and breaks no page."""

import csv
import io
import json
import re
import shutil
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.footage import X264, write_video
from workflow_scripts.content.cells import harmless
from workflow_scripts.curation.quarantine import read_quarantine, write_quarantine
from workflow_scripts.figures.save import save_csv, save_table
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.hub.archive import tar_members
from workflow_scripts.settings.files import read_parquet

from .conftest import Snakemake

SUBSET = "0_30_s_academic_v0_1"
FOLDER = "academic_source/Charades"
NAMES = [
    "$(touch pwned).mp4",
    "`touch pwned`.mp4",
    "a; touch pwned #.mp4",
    "a' && touch pwned && '.mp4",
    'b" || touch pwned || ".mp4',
    "-rf.mp4",
    "two\nlines.mp4",
    "tab\there.mp4",
    "{wildcards.shard}{0}%s.mp4",
    "*?[a].mp4",
    "=HYPERLINK(1).mp4",
    "</script><script>alert(1)</script>",
    "ünïcødé 日本語 💥.mp4",
]
BROKEN = {"=cmd|' calc'!A0.mp4": b"", "<img src=x onerror=alert(1)>.mp4": b"no video"}
ESCAPES = ["../../../outside.mp4", "/etc/passwd", f"{FOLDER}/../../../../outside.mp4", "null\x00byte.mp4", "", 7, None]
TEXT = "=1+1$(touch pwned)`touch pwned`</td><script>alert(1)</script>\n{wildcards.x}"


def turns(text: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{text}"}, {"from": "gpt", "value": text}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subset whose videos have such names, in a folder that has one."""
    root = tmp_path_factory.mktemp("untrusted") / "the $(touch pwned) 'data' \"set\""
    original = write_video(root / "original.mp4", options=X264, times_ms=range(0, 400, 40))
    videos = [f"{FOLDER}/{name}" for name in NAMES if "/" not in name]
    videos += [f"{FOLDER}/{name}" for name in NAMES if "/" in name]
    for number, video in enumerate(videos):
        path = root / SUBSET / video
        path.parent.mkdir(parents=True, exist_ok=True)
        # no two with the same bytes: a box without meaning at the end
        path.write_bytes(original.read_bytes() + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big"))
    for name, content in BROKEN.items():
        videos.append(f"{FOLDER}/{name}")
        (root / SUBSET / FOLDER / name).write_bytes(content)
    records: list[Any] = [
        {"id": f"{TEXT} {number}", "conversations": turns(TEXT), "data_source": TEXT, "video": video}
        for number, video in enumerate([*videos, *ESCAPES])
    ]
    shutil.copy(original, root.parent / "outside.mp4")
    original.unlink()
    question = "Which?\nA. One.\nB. Two.\nPlease respond with only the letter of the correct answer."
    choice = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": "B."}]
    contents = {
        "0_30_s_academic_v0_1_cap": records[: len(videos)],
        "0_30_s_academic_oe_v0_1_qa": records,
        "0_30_s_academic_mc_v0_1_qa": [{**records[0], "conversations": choice}],
    }
    for name, content in contents.items():
        (root / SUBSET / f"{name}_processed.json").write_text(json.dumps(content))
    return root


def test_a_hostile_data_set_is_curated_and_stored(dataset: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    overlay = {
        "study": "hostile",
        "dataset": {"root": str(dataset), "subsets": [SUBSET], "reserve": 1},
        "curation": {"videos": 8, "probe_shards": 1, "probe_timeout_s": 30},
        "frames": {"shards": 1},
    }
    results = tmp_path / "results" / "hostile"
    targets = [results / "frames/shard-0.arrow", results / "figures/training_data.png"]
    names = [path.relative_to(tmp_path).as_posix() for path in targets]
    done = snakemake(*names, overlay=yaml.safe_dump(overlay, allow_unicode=True))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for place in (tmp_path, dataset.parent):
        assert not [path for path in place.rglob("pwned*") if path.name == "pwned"]
    manifest = read_parquet(results / "curation/manifest.parquet")
    known = {f"{SUBSET}/{FOLDER}/{name}" for name in NAMES}
    assert len(manifest) == 8
    assert set(manifest.video) <= known
    assert FrameStore([results / "frames/shard-0.arrow"]).videos == set(manifest.video)
    malformed = (results / "curation/malformed.csv").read_text()
    assert len(list(csv.reader(io.StringIO(malformed)))) == 1 + len(ESCAPES)
    for path in results.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert [cell for cell in cells if cell != harmless(cell)] == [], path


@pytest.mark.parametrize("value", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "-x"])
def test_what_a_spreadsheet_would_run_is_text(tmp_path: Path, value: str) -> None:
    write_quarantine([(value, "empty", value)], tmp_path / "quarantine.csv")
    ((video, _, detail),) = read_quarantine(tmp_path / "quarantine.csv")
    assert (video, detail) == (f"'{value}", f"'{value}")
    save_csv(pd.DataFrame({"category": [value, "plain"], "delta": [-1.5, 2.0]}), tmp_path / "figure")
    table = pd.read_csv(tmp_path / "figure.csv", quoting=csv.QUOTE_MINIMAL)
    assert table.category[0].startswith("'")
    assert list(table.delta) == [-1.5, 2.0]


@pytest.mark.parametrize(
    "value", ["-1.5", "+3", "-1.5 [-2.0, -1.0]", "-", "- 4 %", "mme", "a=b", "", "-1e-05", 3, None]
)
def test_numbers_and_names_stay_as_they_are(value: object) -> None:
    assert harmless(value) == value


def test_a_carriage_return_breaks_no_row(tmp_path: Path) -> None:
    write_quarantine([("a\rb.mp4", "empty", "\r=1"), ("c\nd.mp4", "empty", "")], tmp_path / "quarantine.csv")
    rows = read_quarantine(tmp_path / "quarantine.csv")
    assert [row[0] for row in rows] == ["a\\rb.mp4", "c\nd.mp4"]


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_a_table_in_the_report_shows_names_as_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    save_table(["model", hostile], [[hostile, f"**{hostile}**"]], hostile, tmp_path / "table")
    tags = Tags()
    tags.feed((tmp_path / "table.html").read_text())
    assert not tags.seen & {"script", "img"}
    save_table(["a"], [["\\input{/etc/passwd} $x$ & % #"]], "", tmp_path / "tex")
    body = (tmp_path / "tex.tex").read_text().split("\\midrule")[1]
    assert "\\input{" not in body
    assert not re.search(r"(?<!\\)[#%]", body)


def test_members_of_archives_stay_in_their_folder(tmp_path: Path) -> None:
    data = io.BytesIO()
    names = ["../out", "/abs", "a/../../out", "a\nb", "ok/$(touch pwned).mp4", "ok/-rf", "..", "a\\..\\b"]
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"x"))
    size = data.tell()
    data.seek(0)
    kept = []
    for member, write in tar_members(data, size, "an archive"):
        if not member.refused:
            write_to = tmp_path / "folder" / member.name
            write_to.parent.mkdir(parents=True, exist_ok=True)
            write(write_to)
            kept.append(member.name)
    assert kept == ["ok/$(touch pwned).mp4", "ok/-rf"]
    assert {path.name for path in tmp_path.iterdir()} == {"folder"}
