"""The command fetch against a hub on loopback that holds a small data set in archives."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.commands import Finished, run
from tests.hub_server import COMMIT, FakeHub, serve
from workflow_scripts.curation import fetch
from workflow_scripts.curation.inventory import survey
from workflow_scripts.curation.population import Population
from workflow_scripts.curation.sampling import draw, stratify, weights
from workflow_scripts.settings import Shares, load_study, to_json

ROOT = Path(__file__).parents[3]
ACADEMIC, NEXTQA = "0_30_s_academic_v0_1", "0_30_s_nextqa"
CHOICES = "What is it?\nA. A cat.\nB. A dog.\nPlease respond with only the letter of the correct answer."
ARCHIVES, EACH = 8, 12
Members = list[tuple[tarfile.TarInfo, bytes]]


def plain(name: str, data: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    return entry, data


def pack(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for entry, data in members:
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def content(path: str) -> bytes:
    return random.Random(path).randbytes(2000 + len(path) * 37 % 500)


def records(videos: list[str], kind: str) -> bytes:
    question, answer = (CHOICES, "B.") if kind == "mc" else ("What happens?", "Much.")
    return json.dumps(
        [
            {
                "id": f"{kind}-{number}",
                "conversations": [
                    {"from": "human", "value": f"<image>\n{question}"},
                    {"from": "gpt", "value": answer},
                ],
                "data_source": "any",
                "video": video,
            }
            for number, video in enumerate(videos)
        ]
    ).encode()


def data_set() -> tuple[dict[str, bytes], dict[str, Members]]:
    """Files of the repository but the archives, and the archives' members."""
    academic = [f"academic_source/Charades/v{number:03d}.mp4" for number in range(ARCHIVES * EACH)]
    nextqa = [f"NextQA/NExTVideo/1/{number:03d}.mp4" for number in range(20)]
    annotations = {
        f"{ACADEMIC}/0_30_s_academic_v0_1_cap_processed.json": records(academic, "cap"),
        f"{ACADEMIC}/0_30_s_academic_oe_v0_1_qa_processed.json": records(academic[::2], "oe"),
        f"{ACADEMIC}/0_30_s_academic_mc_v0_1_qa_processed.json": records(academic[::3], "mc"),
        f"{NEXTQA}/0_30_s_nextqa_oe_qa_processed.json": records(nextqa, "oe"),
        f"{NEXTQA}/0_30_s_nextqa_mc_qa_processed.json": records(nextqa, "mc"),
        "README.md": b"A data set.",
    }
    shuffled = random.Random(1).sample(academic, len(academic))
    archives: dict[str, Members] = {
        f"{ACADEMIC}/{ACADEMIC}_videos_{i + 1}.tar.gz": [
            plain(f"./{path}", content(path)) for path in shuffled[i * EACH : (i + 1) * EACH]
        ]
        for i in range(ARCHIVES)
    }
    archives[f"{NEXTQA}/{NEXTQA}_videos_1.tar.gz"] = [plain(path, content(path)) for path in nextqa]
    return annotations, archives


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_scripts.hub.stream.FIRST_WAIT_S", 0.0)
    monkeypatch.setattr("workflow_scripts.hub.stream.ATTEMPTS", 3)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    annotations, archives = data_set()
    files = {**annotations, **{path: pack(members) for path, members in archives.items()}}
    with serve(FakeHub({("datasets", "o/videos"): files})) as served:
        yield served


def repack(hub: FakeHub, path: str, extra: Members) -> None:
    _, archives = data_set()
    hub.repositories["datasets", "o/videos"][path] = pack([*archives[path], *extra])


def arguments(hub: FakeHub, folder: Path, **changes: Any) -> list[str]:
    """Flags of fetch into a folder; changes: of sections dataset and curation."""
    settings = {
        "videos": 40,
        "archives": None,
        "reserve": 0.1,
        "revision": COMMIT,
        "subsets": [ACADEMIC, NEXTQA],
        "connections": 1,
        **changes,
    }
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["hub"] |= {"endpoint": hub.endpoint, "connections": settings["connections"]}
    config["dataset"] |= {
        "root": str(folder / "data"),
        "repository": "o/videos",
        **{key: settings[key] for key in ("archives", "reserve", "revision", "subsets")},
    }
    config["curation"]["videos"] = settings["videos"]
    return ["--study", to_json(load_study(config)), "--output", str(folder / "fetched.parquet")]


def call(hub: FakeHub, folder: Path, **changes: Any) -> Finished:
    """Run fetch into a folder."""
    return run(fetch.main, *arguments(hub, folder, **changes))


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "fetched.parquet").set_index("video")


def on_disk(folder: Path) -> set[str]:
    root = folder / "data"
    return {path.relative_to(root).as_posix() for path in root.rglob("*.mp4")}


def sample(folder: Path, count: int, among: set[str] | None = None) -> list[str]:
    """The first videos of the draw, written down independently of fetch."""
    root = folder / "data"
    population = Population.of(survey(root, [ACADEMIC, NEXTQA], 0).index)
    strata = stratify(0, population.videos.values(), Shares())
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, Shares())
    if among is not None:
        strata = {stratum: [v for v in members if v.path in among] for stratum, members in strata.items()}
    return [video.path for _, video in draw(strata, weight, count, lambda video: True)]


def test_the_sample_and_a_reserve_are_kept_and_no_more(hub: FakeHub, tmp_path: Path) -> None:
    done = call(hub, tmp_path, connections=3)
    assert done.returncode == 0, done.stderr
    kept = on_disk(tmp_path)
    assert set(sample(tmp_path, 44)) <= kept
    assert 44 <= len(kept) <= 44 + 5 * 2  # two more of each of the five strata
    for path in kept:
        assert (tmp_path / "data" / path).read_bytes() == content(path.split("/", 1)[1])
    frame = table(tmp_path)
    assert len(frame) == ARCHIVES * EACH + 20
    assert set(frame.index[frame.kept]) == kept
    assert set(frame.stage_weight) == {1.0}
    summary = json.loads((tmp_path / "fetch.json").read_text())
    assert (summary["revision"], len(summary["archives"]), summary["refused"]) == (COMMIT, 9, [])
    assert not list(tmp_path.rglob(".incoming/*"))
    assert not list(tmp_path.rglob("*.partial"))
    assert f"{len(kept)} videos" in done.stdout


def test_what_is_there_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    assert call(hub, tmp_path).returncode == 0
    sent, kept = hub.sent, on_disk(tmp_path)
    done = call(hub, tmp_path)
    assert (done.returncode, hub.sent, on_disk(tmp_path)) == (0, sent, kept)
    assert "0.00 GB came over the network" in done.stdout
    # A larger sample needs archives again, but none to learn what they hold; a smaller one needs nothing.
    done = call(hub, tmp_path, videos=60)
    assert done.returncode == 0
    assert set(sample(tmp_path, 60)) <= on_disk(tmp_path)
    sent = hub.sent
    assert call(hub, tmp_path, videos=10).returncode == 0
    assert hub.sent == sent


def test_archives_are_chosen_before_videos(hub: FakeHub, tmp_path: Path) -> None:
    done = call(hub, tmp_path, archives=4, videos=30)
    assert done.returncode == 0, done.stderr
    frame = table(tmp_path)
    read = {path for method, path, _ in hub.asked if method == "GET" and path.endswith(".tar.gz")}
    assert len(read) == 4
    academic, nextqa = (frame[frame.index.str.startswith(subset)] for subset in (ACADEMIC, NEXTQA))
    assert academic.archive.nunique() == 3
    assert nextqa.archive.nunique() == 1
    assert set(academic.stage_weight) == {8 / 3}
    assert set(nextqa.stage_weight) == {1.0}
    assert set(sample(tmp_path, 30, set(frame.index))) <= set(frame.index[frame.kept]) == on_disk(tmp_path)
    # Within more archives, the sample is another one; within the same, it nests.
    assert set(sample(tmp_path, 12, set(frame.index))) <= set(sample(tmp_path, 30, set(frame.index)))
    more = call(hub, tmp_path / "more", archives=6, videos=30)
    assert more.returncode == 0
    assert set(frame.archive) < set(table(tmp_path / "more").archive)


def test_too_few_archives_are_refused_before_they_are_read(hub: FakeHub, tmp_path: Path) -> None:
    done = call(hub, tmp_path, archives=2, videos=60)
    assert done.returncode == 2
    assert "curation.videos is 60; the 2 archives chosen hold about 34" in done.stderr
    assert not [path for _, path, _ in hub.asked if path.endswith(".tar.gz") and "resolve" in path]
    assert "expected at least 2, one of each subset" in call(hub, tmp_path, archives=1).stderr


def test_videos_that_no_archive_holds_are_replaced(hub: FakeHub, tmp_path: Path) -> None:
    _, archives = data_set()
    first = f"{ACADEMIC}/{ACADEMIC}_videos_1.tar.gz"
    hub.repositories["datasets", "o/videos"][first] = pack(archives[first][:1])
    assert call(hub, tmp_path).returncode == 0
    held = set(table(tmp_path).index)
    assert len(held) == ARCHIVES * EACH + 20 - 11
    assert set(sample(tmp_path, 40, held)) <= on_disk(tmp_path)


def test_a_fetch_without_a_pin_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    done = call(hub, tmp_path, revision=None)
    assert done.returncode == 2
    assert "repository o/videos has no revision" in done.stderr
    assert "snakemake --cores 1 pin" in done.stderr
    assert hub.asked == []
    assert "revision is 'main'; expected a commit" in call(hub, tmp_path, revision="main").stderr


def test_a_missing_archive_is_named_before_anything_is_read(hub: FakeHub, tmp_path: Path) -> None:
    del hub.repositories["datasets", "o/videos"][f"{ACADEMIC}/{ACADEMIC}_videos_3.tar.gz"]
    done = call(hub, tmp_path)
    assert done.returncode == 2
    assert f"archive {ACADEMIC}_videos_3.tar.gz is missing in the repository; expected 8" in done.stderr
    assert hub.sent == 0


def test_an_archive_that_cannot_be_had_does_not_keep_the_others(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{ACADEMIC}/{ACADEMIC}_videos_3.tar.gz"
    hub.gone.add(path)
    done = call(hub, tmp_path)
    assert done.returncode == 2
    assert f"{path} of o/videos at {COMMIT} is missing on the hub" in done.stderr
    assert len(list((tmp_path / "data" / ".fetch").glob("*.csv"))) == 8
    assert not (tmp_path / "fetched.parquet").exists()
    hub.gone.clear()
    hub.asked.clear()
    assert call(hub, tmp_path).returncode == 0
    read = {asked for method, asked, _ in hub.asked if method == "GET" and asked.endswith(".tar.gz")}
    assert [asked.rsplit("/", 1)[1] for asked in read] == [path.rsplit("/", 1)[1]]
    assert set(sample(tmp_path, 44)) <= on_disk(tmp_path)


def test_a_connection_that_breaks_goes_on_in_the_archive(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{ACADEMIC}/{ACADEMIC}_videos_2.tar.gz"
    hub.cuts[path] = [10_000, 5_000]
    assert call(hub, tmp_path).returncode == 0
    assert hub.requests(path)[:3] == ["", "bytes=10000-", "bytes=15000-"]
    assert set(sample(tmp_path, 44)) <= on_disk(tmp_path)


def test_a_changed_checksum_keeps_nothing_of_the_archive(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{ACADEMIC}/{ACADEMIC}_videos_2.tar.gz"
    data = hub.repositories["datasets", "o/videos"][path]
    hub.lies[path] = data[:-4] + b"\0\0\0\0"  # the length at the end: everything unpacks all the same
    done = call(hub, tmp_path)
    assert done.returncode == 2
    assert "the checksum is" in done.stderr
    _, archives = data_set()
    inside = {f"{ACADEMIC}/{entry.name.removeprefix('./')}" for entry, _ in archives[path]}
    assert not inside & on_disk(tmp_path)
    assert not list(tmp_path.rglob(".incoming/*"))
    hub.lies[path] = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    assert "nothing was kept of" in call(hub, tmp_path).stderr


def test_members_are_trusted_with_nothing(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{ACADEMIC}/{ACADEMIC}_videos_1.tar.gz"
    wanted = "academic_source/Charades/v000.mp4"
    extra = [plain("../../escaped.mp4", b"x"), plain("/tmp/escaped-by-temporal-trap.mp4", b"x"), plain("a\nb", b"x")]
    for kind, name in ((tarfile.SYMTYPE, "s.mp4"), (tarfile.LNKTYPE, "h.mp4"), (tarfile.CHRTYPE, "c.mp4")):
        entry = tarfile.TarInfo(f"academic_source/Charades/{name}")
        entry.type, entry.linkname = kind, "/etc/passwd"
        extra.append((entry, b""))
    fifo = tarfile.TarInfo("academic_source/Charades/f.mp4")
    fifo.type = tarfile.FIFOTYPE
    link = tarfile.TarInfo("academic_source/Charades")  # a link in the way of what comes after it
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
    _, archives = data_set()
    members = [(entry, data) for entry, data in archives[path]]
    for entry, _ in members:
        entry.mode = 0o6777
    hub.repositories["datasets", "o/videos"][path] = pack([(link, b""), *extra, (fifo, b""), *members])
    done = call(hub, tmp_path, videos=100, reserve=0)
    assert done.returncode == 0, done.stderr
    assert "8 members of archives refused" in done.stdout
    assert "'../../escaped.mp4'" in done.stdout
    reasons = {
        entry["member"]: entry["reason"] for entry in json.loads((tmp_path / "fetch.json").read_text())["refused"]
    }
    assert reasons["../../escaped.mp4"] == "a path out of the folder"
    assert reasons["academic_source/Charades/s.mp4"] == "a link to '/etc/passwd'"
    assert reasons["academic_source/Charades/c.mp4"].startswith("a device")
    assert not Path("/tmp/escaped-by-temporal-trap.mp4").exists()
    assert {place.name for place in tmp_path.iterdir()} == {"data", "fetched.parquet", "fetch.json"}
    assert not [place for place in tmp_path.rglob("*") if place.is_symlink()]
    assert f"{ACADEMIC}/{wanted}" in on_disk(tmp_path) or len(on_disk(tmp_path)) == 100
    assert {place.stat().st_mode & 0o7111 for place in (tmp_path / "data").rglob("*.mp4")} == {0}


def test_an_archive_of_something_else_is_said(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{NEXTQA}/{NEXTQA}_videos_1.tar.gz"
    hub.repositories["datasets", "o/videos"][path] = pack([plain("videos/1.mp4", b"x")])
    done = call(hub, tmp_path)
    assert done.returncode == 2
    assert "holds no video that the annotations name; its first member is 'videos/1.mp4'" in done.stderr


def test_archives_may_hold_the_subset_folder(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{NEXTQA}/{NEXTQA}_videos_1.tar.gz"
    _, archives = data_set()
    for entry, _ in archives[path]:
        entry.name = f"{NEXTQA}/{entry.name}"
    hub.repositories["datasets", "o/videos"][path] = pack(archives[path])
    assert call(hub, tmp_path).returncode == 0
    assert set(sample(tmp_path, 44)) <= on_disk(tmp_path)


def test_a_killed_fetch_leaves_nothing_half_written_and_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    path = f"{ACADEMIC}/{ACADEMIC}_videos_5.tar.gz"
    repack(hub, path, [plain("notes.bin", random.Random(5).randbytes(3_000_000))])
    hub.stalls[path] = 2_000_000
    command = [sys.executable, "-m", "workflow_scripts.curation.fetch", *arguments(hub, tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        assert hub.stalled.wait(120)
        deadline = time.monotonic() + 60
        while not list((tmp_path / "data").rglob(".incoming/*/*")):  # members come out behind what is read
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    hub.resume.set()
    for place in on_disk(tmp_path):
        assert (tmp_path / "data" / place).read_bytes() == content(place.split("/", 1)[1])
    hub.asked.clear()
    assert call(hub, tmp_path).returncode == 0
    read = [asked.rsplit("_", 1)[1] for method, asked, _ in hub.asked if method == "GET" and asked.endswith(".tar.gz")]
    assert read == ["5.tar.gz", "6.tar.gz", "7.tar.gz", "8.tar.gz", "1.tar.gz"]
    assert set(sample(tmp_path, 44)) <= on_disk(tmp_path)
    assert not list((tmp_path / "data").rglob(".incoming/*"))


def test_a_study_with_data_of_its_own_is_not_fetched(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["dataset"]["repository"] = "drawn by rules/miniature.smk"
    done = run(fetch.main, "--study", to_json(load_study(config)), "--output", tmp_path / "fetched.parquet")
    assert done.returncode == 2
    assert "this study's data are not fetched" in done.stderr
