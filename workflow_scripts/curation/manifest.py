"""Rule `manifest`: draw the sample, probe its videos, replace the unusable ones from the same stratum.

In: the inventory and the data set's folder. Out, in the order of drawing (the first k rows are the sample of k):
`manifest.parquet` with SCHEMA; `quarantine.csv` with video, reason, detail; `statistics.csv` with dimension (source,
format, duration, subset, quarantined, total), value, and counts: annotation records, videos available, videos sampled,
turns sampled, seconds sampled.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.curation.annotations import Record
from workflow_scripts.curation.population import Population, gather, read_chosen, sample_id
from workflow_scripts.curation.probe import Probe, probe_in
from workflow_scripts.curation.sampling import Stratum, Video, draw, stratify, weights
from workflow_scripts.settings import InputError, Shares, cli, files
from workflow_scripts.settings.workers import Outcome, each
from workflow_scripts.video.container import Unusable

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("video", pa.string()),  # relative to the data set's root
        ("subset", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),
        ("n_frames", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
    ]
)
STATISTICS = ("dimension", "value", "records", "available", "sampled", "turns", "seconds")
Row = tuple[str, str, str]  # video, reason, detail
RESERVE = 16


class Prober:
    """Probes videos in parallel, once each, and says which may enter the sample."""

    def __init__(self, dataset: Path, workers: int, timeout_s: float) -> None:
        self.dataset, self.workers, self.timeout_s = dataset, workers, timeout_s
        self.results: dict[str, Probe | Unusable] = {}

    def run(self, paths: Sequence[str]) -> None:
        """Probe the files and keep what was found."""
        with cli.progress(len(paths), "videos probed") as advance:
            outcomes = each(
                partial(probe_in, self.dataset),
                paths,
                workers=self.workers,
                timeout_s=self.timeout_s,
                lookahead=64,
                preload=["pyarrow", "workflow_scripts.curation.probe"],
            )
            for path, outcome in zip(paths, outcomes, strict=True):
                self.results[path] = self._judge(outcome)
                advance()

    def _judge(self, outcome: Outcome[Probe | Unusable]) -> Probe | Unusable:
        if outcome.hung:
            return Unusable("hang", f"no answer within {self.timeout_s:g} s")
        if outcome.exit_code is not None:
            return Unusable("crash", f"the probing process ended with {outcome.exit_code}")
        if outcome.value is None:
            return Unusable("undecodable", f"{type(outcome.error).__name__}: {outcome.error}")
        return outcome.value


class _Gate:
    """Who may enter the sample, by what the probes found so far; who was not probed is let in and noted."""

    def __init__(self, results: Mapping[str, Probe | Unusable]) -> None:
        self.results = results
        self.unknown: list[str] = []
        self.duplicates: list[Row] = []
        self.first: dict[str, str] = {}  # content -> the video that came first

    def accept(self, video: Video) -> bool:
        result = self.results.get(video.path)
        if result is None:
            self.unknown.append(video.path)
            return True
        if isinstance(result, Unusable):
            return False
        kept = self.first.setdefault(result.sha256, video.path)
        if kept != video.path:
            self.duplicates.append((video.path, "duplicate", f"same content as {kept}"))
        return kept == video.path


def choose(
    strata: dict[Stratum, list[Video]], weight: dict[Stratum, float], count: int, prober: Prober
) -> tuple[list[tuple[Stratum, Video]], list[Row]]:
    """Draw `count` usable videos, no two with the same content; also the quarantine rows.

    A few more than asked for are probed at once, to be replacements. The draw is repeated with what the probes found
    until it meets no video that was not probed, so that the result is that of probing one after the other. Raises
    InputError where fewer than `count` are usable.
    """
    picks: list[tuple[Stratum, Video]] = []
    gate = _Gate(prober.results)
    draw(strata, weight, count + max(RESERVE, count // 50), gate.accept)
    while gate.unknown:
        prober.run(gate.unknown)
        gate = _Gate(prober.results)
        picks = draw(strata, weight, count, gate.accept)
    unusable = {path: result for path, result in prober.results.items() if isinstance(result, Unusable)}
    rows = gate.duplicates + [(path, result.reason, result.detail) for path, result in unusable.items()]
    if len(picks) < count:
        counts = Counter(reason for _, reason, _ in rows)
        reasons = ", ".join(f"{reason} {number}" for reason, number in counts.most_common()) or "none rejected"
        raise InputError(
            f"curation.videos is {count}; the chosen subsets in {prober.dataset} "
            f"hold {len(picks)} usable videos ({reasons})"
        )
    return picks, sorted(rows)


def manifest_table(
    picks: Sequence[tuple[Stratum, Video]], records: dict[str, Record], probes: dict[str, Probe | Unusable]
) -> pa.Table:
    """The manifest, a row a pick, with SCHEMA."""
    rows = []
    for (source, format_, _), video in picks:
        record, found = records[video.path], probes[video.path]
        assert isinstance(found, Probe)
        turns = [
            {"from": speaker, "value": value}
            for turn in record.turns
            for speaker, value in zip(("human", "gpt"), turn, strict=True)
        ]
        rows.append(
            {
                "sample_id": sample_id(video.subset, format_, record),
                "video": video.path,
                "subset": video.subset,
                "source": source,
                "format": format_,
                "conversations": turns,
                "duration_s": found.duration_s,
                "fps": found.fps,
                "n_frames": found.n_frames,
                "width": found.width,
                "height": found.height,
                "sha256": found.sha256,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def statistics(population: Population, table: pa.Table, quarantine: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the statistics table. A video counts as available in each format that it has records of."""
    samples = table.select(["video", "subset", "source", "format", "duration_s", "conversations"]).to_pylist()
    seconds: Counter[tuple[str, str]] = Counter()
    counts: dict[str, Counter[tuple[str, str]]] = {
        name: Counter() for name in ("records", "available", "sampled", "turns")
    }
    for (source, format_, duration), number in population.records.items():
        for place in (("source", source), ("format", format_), ("duration", duration), ("total", "all")):
            counts["records"][place] += number
    for video in population.videos.values():
        places = [("source", video.source), ("duration", video.duration), ("subset", video.subset), ("total", "all")]
        for place in places + [("format", name) for name in video.records]:
            counts["available"][place] += 1
    for sample in samples:
        duration = population.videos[sample["video"]].duration
        for place in (
            ("source", sample["source"]),
            ("format", sample["format"]),
            ("duration", duration),
            ("subset", sample["subset"]),
            ("total", "all"),
        ):
            counts["sampled"][place] += 1
            counts["turns"][place] += len(sample["conversations"]) // 2
            seconds[place] += sample["duration_s"]
    dimensions = ("source", "format", "duration", "subset", "total")
    places = sorted(counts["available"], key=lambda place: (dimensions.index(place[0]), place[1]))
    result = [
        {"dimension": place[0], "value": place[1]}
        | {name: (None if name == "records" and place[0] == "subset" else counts[name][place]) for name in counts}
        | {"seconds": round(seconds[place], 3)}
        for place in places
    ]
    for reason, number in sorted(Counter(reason for _, reason, _ in quarantine).items()):
        result.append({"dimension": "quarantined", "value": reason, "available": number})
    return result


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with files.atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _read_inventory(path: Path, dataset: Path) -> dict[str, Any]:
    try:
        inventory: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = [entry for subset in inventory["subsets"] for entry in subset["annotations"]]
        sizes = {entry["file"]: entry["bytes"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"file {path} is not an inventory ({error}); expected what the rule inventory writes"
        ) from None
    for name, size in sizes.items():
        if not (dataset / name).is_file() or (dataset / name).stat().st_size != size:
            raise InputError(
                f"file {dataset / name} is not the one of the inventory ({size} bytes); run inventory again"
            )
    return inventory


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inventory", type=Path, required=True, help="JSON of the rule inventory")
    parser.add_argument("--dataset", type=Path, required=True, help="folder that holds the subset folders")
    parser.add_argument("--videos", type=int, required=True, help="number of videos to draw")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument(
        "--shares", type=cli.json_of(Shares), default=Shares(), help='JSON {"format": {}, "duration": {}}'
    )
    parser.add_argument("--workers", type=int, default=1, help="probing processes")
    parser.add_argument("--probe-timeout", type=float, default=60.0, help="seconds after which a probe is killed")
    parser.add_argument("--output", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--quarantine", type=Path, required=True, help="quarantine.csv")
    parser.add_argument("--statistics", type=Path, required=True, help="statistics.csv")
    arguments = parser.parse_args()

    inventory = _read_inventory(arguments.inventory, arguments.dataset)
    total = sum(entry["records"] for subset in inventory["subsets"] for entry in subset["annotations"])
    with cli.progress(total, "records read") as advance:
        population = gather(inventory, arguments.dataset, arguments.seed, advance)
    strata = stratify(arguments.seed, population.videos.values(), arguments.shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, arguments.shares)
    prober = Prober(arguments.dataset, arguments.workers, arguments.probe_timeout)
    picks, rejected = choose(strata, weight, arguments.videos, prober)
    records = read_chosen(population, arguments.dataset, [(stratum[1], video) for stratum, video in picks])
    table = manifest_table(picks, records, prober.results)
    quarantine = population.malformed + rejected

    _write_csv(arguments.quarantine, ("video", "reason", "detail"), quarantine)
    rows = statistics(population, table, quarantine)
    _write_csv(arguments.statistics, STATISTICS, [[row.get(name) for name in STATISTICS] for row in rows])
    files.write_parquet(table, arguments.output)
    print(f"{table.num_rows} videos sampled of {len(population.videos)}; {len(quarantine)} quarantined")


if __name__ == "__main__":
    cli.run(main)
