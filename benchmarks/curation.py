"""Curation at the paper's size: 1.34 million records, from the annotation files to the drawn candidates.

Ours is the two commands of the workflow, `inventory` and `shortlist`, on one core. The peer reads the same files with
json.load and does the same with pandas: count and check the records, let a record stand for each video and format, and
draw 20,000 videos over source, format and duration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import pyarrow.parquet as pq

from workflow_scripts.curation.registry import registry

# Videos and records of the data set: 178,510 captions, 960,792 open-ended, 196,198 multiple-choice.
VIDEOS = {
    "0_30_s_academic_v0_1": 12_000,
    "30_60_s_academic_v0_1": 10_000,
    "1_2_m_academic_v0_1": 12_000,
    "2_3_m_academic_v0_1": 4_500,
    "0_30_s_youtube_v0_1": 39_000,
    "30_60_s_youtube_v0_1": 24_000,
    "1_2_m_youtube_v0_1": 40_000,
    "2_3_m_youtube_v0_1": 37_010,
    "0_30_s_activitynetqa": 900,
    "30_60_s_activitynetqa": 1_000,
    "1_2_m_activitynetqa": 1_500,
    "2_3_m_activitynetqa": 1_600,
    "0_30_s_nextqa": 1_800,
    "30_60_s_nextqa": 1_400,
    "1_2_m_nextqa": 700,
    "2_3_m_nextqa": 200,
    "0_30_s_perceptiontest": 1_400,
    "30_60_s_perceptiontest": 900,
}
RECORDS = {"caption": 178_510, "open_ended": 960_792, "multiple_choice": 196_198}
OPEN_ENDED_OF_THE_SMALL = {"activitynetqa": 23_530, "nextqa": 44_712}
MULTIPLE_CHOICE_OF_THE_SMALL = {"nextqa": 34_132, "perceptiontest": 7_400}
MALFORMED_EVERY = 10_000
VIDEOS_DRAWN = 20_000
ROOTS = {
    "academic": [
        f"academic_source/{path}.mp4"
        for path in ("Charades/{}", "activitynet/v_{}", "ego4d/{}", "youcook2/101/{}/split_2", "NextQA/1202/{}")
    ],
    "youtube": [f"liwei_youtube_videos/videos/{path}" for path in ("youtube_video_2024/ytb_{}.mp4", "hdvila/{}.mkv")],
    "activitynetqa": ["ActivityNet-QA/activitynet/train/v1-3/train_val/v_{}.mp4"],
    "nextqa": ["NextQA/NExTVideo/1202/{}.mp4"],
    "perceptiontest": ["perception_test/videos/video_{}.mp4"],
}
TEXT = (
    "the a person man woman child dog camera room table door street kitchen hand left right walks holds opens turns "
    "looks moves while then slowly toward away from behind beside wearing red blue white black shirt jacket scene "
    "begins ends with several people talking about background sunlight café naïve “text” screen shows number of two"
)
WORDS = TEXT.split()


def generate(root: Path, share: float = 1.0, seed: int = 0) -> int:
    """Write the annotation files of all 18 subsets; returns the number of records. share: of the paper's size."""
    rng = random.Random(seed)
    sentences = [_sentence(rng) for _ in range(4096)]
    written = 0
    for subset, entry in registry().subsets.items():
        family = _family(subset)
        videos = [
            f"{_family(subset)[0]}{i:05d}{rng.getrandbits(24):06x}" for i in range(max(4, int(VIDEOS[subset] * share)))
        ]
        folder = root / entry.folders[0]
        folder.mkdir(parents=True)
        for format_, names in entry.annotations.items():
            count = max(8, round(_records(subset, format_) * share))
            indented = family == "youtube"
            with (folder / names[0]).open("w", encoding="utf-8") as handle:
                start = "[\n    " if indented else "["
                between = ",\n    " if indented else ", "
                for index, record in enumerate(_file(rng, sentences, subset, format_, videos, count, indented)):
                    handle.write(between if index else start)
                    handle.write(record)
                handle.write("\n]" if indented else "]")
            written += count
    return written


def _file(
    rng: random.Random, sentences: list[str], subset: str, format_: str, videos: list[str], count: int, indented: bool
) -> Iterator[str]:
    roots = ROOTS[_family(subset)]
    turn = (
        '\n            {\n                "from": "human",\n                "value": "%s"\n            },'
        '\n            {\n                "from": "gpt",\n                "value": "%s"\n            }'
        if indented
        else '{"from": "human", "value": "%s"}, {"from": "gpt", "value": "%s"}'
    )
    record = (
        '{\n        "id": "%s",\n        "conversations": [%s\n        ],\n        "data_source": "%s",'
        '\n        "video": "%s"\n    }'
        if indented
        else '{"id": "%s", "conversations": [%s], "data_source": "%s", "video": "%s"}'
    )
    for index in range(count):
        number = index % len(videos)
        name = videos[number]
        draw = rng.random()
        n_turns = 1 if format_ == "caption" or draw < 0.7 else 2 if draw < 0.85 else 3 if draw < 0.95 else 5
        turns = []
        for position in range(n_turns):
            start = "" if position else "<image>\\n"
            one, two = rng.randrange(4000), rng.randrange(4000)
            if format_ == "caption":
                question = "Please provide a detailed description of the video, focusing on the main subjects."
                answer = " ".join(sentences[one : one + rng.randrange(12, 28)])
            elif format_ == "open_ended":
                question, answer = sentences[one] + "?", " ".join(sentences[two : two + rng.randrange(1, 4)])
            else:
                options = "\\n".join(f"{letter}. {sentences[two + k]}" for k, letter in enumerate("ABCD"))
                full = one % 2
                instruction = (
                    "stating the letter followed by the full option" if full else "only the letter of the answer"
                )
                question = f"{sentences[one]}?\\n{options}\\nPlease respond by {instruction}."
                letter = one % 4
                answer = f"{'ABCD'[letter]}. {sentences[two + letter]}" if full else f"{'ABCD'[letter]}."
            if index % MALFORMED_EVERY == 77:
                answer = ""
            turns.append(turn % (start + question, answer))
        separator = "," if indented else ", "
        video = roots[number % len(roots)].format(name)
        yield record % (f"{name}_{index}", separator.join(turns), subset, video)


def _sentence(rng: random.Random) -> str:
    """Eight to twenty words, escaped as JSON writes them."""
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(8, 21))).capitalize() + "."
    return text.replace("number", '\\"number\\"').replace("é", "\\u00e9")


def _family(subset: str) -> str:
    return next(name for name in ROOTS if f"_{name}" in subset)


def _records(subset: str, format_: str) -> float:
    """Records of one file at the paper's size."""
    family = _family(subset)
    if format_ == "caption":
        return VIDEOS[subset]
    small = OPEN_ENDED_OF_THE_SMALL if format_ == "open_ended" else MULTIPLE_CHOICE_OF_THE_SMALL
    if family in small:
        return small[family] * VIDEOS[subset] / sum(VIDEOS[name] for name in VIDEOS if _family(name) == family)
    return (RECORDS[format_] - sum(small.values())) * VIDEOS[subset] / RECORDS["caption"]


def peer(root: Path, count: int) -> dict[str, int]:
    """The same by json.load and pandas: read, check, let a record stand for each video and format, draw."""
    import pandas as pd

    tables, records, malformed = [], 0, 0
    for subset, entry in registry().subsets.items():
        for format_, names in entry.annotations.items():
            path = root / entry.folders[0] / names[0]
            with path.open("rb") as handle:
                hashlib.file_digest(handle, "sha256").hexdigest()
            with path.open(encoding="utf-8") as text:
                frame = pd.DataFrame(json.load(text))
            records += len(frame)
            frame["good"] = _peer_good(frame, format_)
            malformed += int((~frame["good"]).sum())
            frame = frame[frame["good"]]
            frame["question"] = frame["conversations"].map(lambda turns: turns[0]["value"])
            frame["order"] = pd.util.hash_pandas_object(frame[["id", "video", "question"]], index=False)
            frame = frame.sort_values("order").drop_duplicates("video")[["id", "video", "order"]]
            frame["source"] = frame["video"].str.extract(r"^((?:academic_source|liwei_youtube_videos/videos)?/?[^/]+)")[
                0
            ]
            frame["video"] = f"{entry.folders[0]}/" + frame["video"]
            tables.append(frame.assign(format=format_, duration=entry.duration, subset=subset))
    everything = pd.concat(tables, ignore_index=True)
    everything["choice"] = pd.util.hash_pandas_object(everything[["video", "format"]], index=False)
    everything = everything.sort_values("choice").drop_duplicates("video")
    everything["order"] = pd.util.hash_pandas_object(everything["video"], index=False)
    strata = everything.sort_values("order").groupby(["source", "format", "duration"])
    share = strata.size() / len(everything) * count
    places = share.astype(int)
    places[(share - places).nlargest(count - int(places.sum())).index] += 1
    ranks = strata.cumcount()
    wanted = everything.set_index(["source", "format", "duration"]).index.map(places)
    drawn = everything[ranks.reindex(everything.index) < wanted]
    return {"records": records, "malformed": malformed, "videos": len(everything), "drawn": len(drawn)}


def _peer_good(frame: Any, format_: str) -> Any:
    """Which records can be used, column by column; multiple choice by a count of its option lines."""
    import pandas as pd

    good = frame["id"].notna() & (frame["id"].astype(str) != "") & frame["video"].notna()
    good &= ~frame["video"].str.startswith("/") & ~frame["video"].str.contains("..", regex=False)
    good &= frame["conversations"].str.len().gt(0) & (frame["conversations"].str.len() % 2 == 0)
    exploded = frame["conversations"].explode()
    turns = pd.DataFrame(exploded.tolist(), index=exploded.index)
    place = turns.groupby(level=0).cumcount()
    value = turns["value"].str.replace(r"<(?:image|video)>[ \t]*\n?", "", regex=True).str.strip()
    fine = (turns["from"] == place.map(lambda number: "gpt" if number % 2 else "human")) & (value != "")
    good &= fine.groupby(level=0).all()
    if format_ == "multiple_choice":
        asked = turns["from"] == "human"
        options = value[asked].str.count(r"(?m)^\(?[A-Z][.)]\s+\S")
        letter = value[~asked].str.extract(r"^\(?([A-Z])(?:[.):]|$)")[0].map(ord, na_action="ignore") - ord("A")
        good &= (options > 1).groupby(level=0).any()
        good &= pd.Series((letter.to_numpy() < options.to_numpy()), index=options.index).groupby(level=0).all()
    return good


def main() -> None:
    """Command line."""
    arguments = harness.arguments(
        __doc__,
        ("--folder", {"type": Path, "help": "where the generated annotations are, or go to be kept"}),
        ("--peer", {"type": Path, "help": argparse.SUPPRESS}),
        ("--share", {"type": float, "help": "of the paper's size; 1, or 0.1 with --quick"}),
    )
    if arguments.peer:
        print(json.dumps(peer(arguments.peer, int(VIDEOS_DRAWN * arguments.share))))
        return
    share = arguments.share or (0.1 if arguments.quick else 1.0)
    results = harness.Results("curation", arguments.quick, ("msgspec", "pandas", "pyarrow", "numpy"))
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary) / "annotations"
        if not root.exists():
            generate(root, share)
        compare(results, root, share, Path(temporary))
    results.finish()


def compare(results: harness.Results, root: Path, share: float, folder: Path) -> None:
    """Run both on one core, and add the rows."""
    files = [path for path in root.rglob("*.json") if path.is_file()]
    for path in files:  # both find the files in memory
        path.read_bytes()
    count = int(VIDEOS_DRAWN * share)
    python, module = sys.executable, "workflow_scripts.curation"
    index = folder / "index.parquet"
    inventory = harness.measure(
        [python, "-m", f"{module}.inventory", "--dataset", root, "--subsets", *registry().subsets, "--output",
         folder / "inventory.json", "--index", index, "--malformed", folder / "malformed.csv"], cores=1,
    )  # fmt: skip
    shortlist = harness.measure(
        [python, "-m", f"{module}.shortlist", "--index", index, "--videos", str(count), "--reserve", "0", "--output",
         folder / "shortlist.parquet"], cores=1,
    )  # fmt: skip
    theirs = harness.measure([python, __file__, "--peer", root, "--share", str(share)], cores=1)

    listed = json.loads((folder / "inventory.json").read_text(encoding="utf-8"))
    entries = [entry for subset in listed["subsets"] for entry in subset["annotations"]]
    records = sum(entry["records"] for entry in entries)
    found = json.loads(theirs.output.splitlines()[-1])
    drawn = pq.read_metadata(folder / "shortlist.parquet").num_rows
    ours = {"records": records, "malformed": sum(entry["malformed"] for entry in entries), "drawn": drawn}
    if any(found[name] != value for name, value in ours.items()):
        raise RuntimeError(f"the two do not agree: {ours}, peer {found}")
    case, name = f"{records:,} records, {len(files)} files", "json.load + pandas"
    cpu = inventory.cpu_s + shortlist.cpu_s
    results.add(case, "processor time to the drawn videos", "s", cpu, theirs.cpu_s, name)
    results.add(case, "wall time to the drawn videos", "s", inventory.wall_s + shortlist.wall_s, theirs.wall_s, name)
    results.add(case, "peak memory", "MiB", max(inventory.peak_mib, shortlist.peak_mib), theirs.peak_mib, name)
    results.add(case, "of ours, inventory (reading, checking)", "s of processor", inventory.cpu_s)
    results.add(case, "of ours, shortlist (drawing)", "s of processor", shortlist.cpu_s)
    results.notes |= {"annotation bytes": sum(path.stat().st_size for path in files), "videos drawn": drawn}


if __name__ == "__main__":
    main()
