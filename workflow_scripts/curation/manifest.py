"""Rule `manifest`: draw the sample among what was probed, and replace unusable videos from the same stratum.

In: what the rule inventory wrote, the tables of probes, and the data set's folder; where the reserve runs out, further
videos are probed. Out, in the order of drawing (the first k rows are the sample of k): `manifest.parquet` with SCHEMA;
`quarantine.csv` with video, reason, detail; `statistics.csv` with dimension (source, format, duration, subset,
quarantined, total), value, and counts: annotation records, videos available, videos sampled, turns sampled, seconds
sampled. A source `unplaced:<folder>` counts what the table of sources does not place.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.curation import fetched
from workflow_scripts.curation.annotations import Record
from workflow_scripts.curation.population import Population, read_chosen, read_index, sample_id
from workflow_scripts.curation.probing import FOUND, Probe, probe_all, read_probes
from workflow_scripts.curation.quarantine import Row, read_quarantine, write_quarantine
from workflow_scripts.curation.sampling import Stratum, Video, draw, stratify, weights
from workflow_scripts.curation.shortlist import add_draw_arguments, with_reserve
from workflow_scripts.settings import InputError, cli, files
from workflow_scripts.video.container import Unusable

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("video", pa.string()),  # relative to the data set's root
        ("subset", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        *FOUND,
    ]
)
STATISTICS = ("dimension", "value", "records", "available", "sampled", "turns", "seconds")
Probes = dict[str, Probe | Unusable]


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
    strata: Mapping[Stratum, Sequence[Video]],
    weight: Mapping[Stratum, float],
    count: int,
    probes: Probes,
    probe_more: Callable[[Sequence[str]], Probes],
    reserve: float = 0.02,
) -> tuple[list[tuple[Stratum, Video]], list[Row]]:
    """Draw `count` usable videos, no two with the same content; also the quarantine rows.

    probes: what was found so far; added to. The draw is repeated until it meets no video that was not probed, so that
    the result is that of probing one after the other. Each time it does, a larger reserve is probed at once. Raises
    InputError where fewer than `count` are usable.
    """
    wanted = with_reserve(count, reserve)
    while True:
        gate = _Gate(probes)
        picks = draw(strata, weight, count, gate.accept)
        if not gate.unknown:
            break
        ahead = _Gate(probes)
        draw(strata, weight, wanted, ahead.accept)
        unknown = list(dict.fromkeys(gate.unknown + ahead.unknown))
        print(f"{len(unknown)} further videos are probed as replacements", file=sys.stderr)
        probes.update(probe_more(unknown))
        wanted += wanted - count
    unusable = {path: result for path, result in probes.items() if isinstance(result, Unusable)}
    rows = gate.duplicates + [(path, result.reason, result.detail) for path, result in unusable.items()]
    if len(picks) < count:
        counts = Counter(reason for _, reason, _ in rows)
        reasons = ", ".join(f"{reason} {number}" for reason, number in counts.most_common()) or "none rejected"
        raise InputError(f"curation.videos is {count}; the chosen subsets hold {len(picks)} usable videos ({reasons})")
    return picks, sorted(rows)


def manifest_table(
    picks: Sequence[tuple[Stratum, Video]], records: Mapping[str, Record], probes: Mapping[str, Probe | Unusable]
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
    for (source, format_, duration, subset), number in population.records.items():
        for place in (
            ("source", source),
            ("format", format_),
            ("duration", duration),
            ("subset", subset),
            ("total", "all"),
        ):
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
        | {name: counts[name][place] for name in counts}
        | {"seconds": round(seconds[place], 3)}
        for place in places
    ]
    for reason, number in sorted(Counter(reason for _, reason, _ in quarantine).items()):
        result.append({"dimension": "quarantined", "value": reason, "available": number})
    return result


def _write_statistics(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    with files.atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(STATISTICS)
        writer.writerows([row.get(name) for name in STATISTICS] for row in rows)


def _check_inventory(path: Path, dataset: Path, seed: int) -> None:
    try:
        inventory: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = [entry for subset in inventory["subsets"] for entry in subset["annotations"]]
        sizes, seeded = {entry["file"]: entry["bytes"] for entry in entries}, inventory["seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"file {path} is not an inventory ({error}); expected what the rule inventory writes"
        ) from None
    for name, size in sizes.items():
        if not (dataset / name).is_file() or (dataset / name).stat().st_size != size:
            raise InputError(
                f"file {dataset / name} is not the one of the inventory ({size} bytes); run inventory again"
            )
    if seeded != seed:
        raise InputError(f"file {path} was made with seed {seeded}; expected {seed}: run inventory again")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_draw_arguments(parser)
    parser.add_argument("--inventory", type=Path, required=True, help="JSON of the rule inventory")
    parser.add_argument("--malformed", type=Path, required=True, help="malformed.csv of the rule inventory")
    parser.add_argument("--dataset", type=Path, required=True, help="folder that holds the subset folders")
    parser.add_argument("--probes", type=Path, nargs="*", default=[], help="tables of the rule probe")
    parser.add_argument("--workers", type=int, default=1, help="processes that probe further replacements")
    parser.add_argument("--probe-timeout", type=float, default=60.0, help="seconds after which a probe is killed")
    parser.add_argument("--output", type=Path, required=True, help="manifest.parquet")
    parser.add_argument("--quarantine", type=Path, required=True, help="quarantine.csv")
    parser.add_argument("--statistics", type=Path, required=True, help="statistics.csv")
    arguments = parser.parse_args()

    _check_inventory(arguments.inventory, arguments.dataset, arguments.seed)
    index = read_index(arguments.index)
    population = Population.of(index)
    strata = stratify(arguments.seed, population.videos.values(), arguments.shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, arguments.shares)
    fetch = fetched.read(arguments.fetched) if arguments.fetched else None
    probes = read_probes(arguments.probes)

    def probe_more(paths: Sequence[str]) -> Probes:
        return probe_all(arguments.dataset, paths, workers=arguments.workers, timeout_s=arguments.probe_timeout)

    picks, rejected = choose(
        fetch.restrict(strata) if fetch else strata, weight, arguments.videos, probes, probe_more, arguments.reserve
    )
    if fetch:
        fetch.check(strata, weight, picks, {path for path, *_ in rejected})
    records = read_chosen(index, arguments.dataset, [(stratum[1], video) for stratum, video in picks])
    table = manifest_table(picks, records, probes)
    quarantine = read_quarantine(arguments.malformed) + rejected

    write_quarantine(quarantine, arguments.quarantine)
    _write_statistics(statistics(population, table, quarantine), arguments.statistics)
    files.write_parquet(table, arguments.output)
    print(f"{table.num_rows} videos sampled of {len(population.videos)}; {len(quarantine)} quarantined")


if __name__ == "__main__":
    cli.run(main)
