"""Rule `plan_data`: what fetching a study's data, models and benchmarks will cost, printed before anything is fetched.

In: the study's settings and the pins. Out, on the screen: files, bytes over the network, bytes and files kept, for
annotations, videos, models and benchmarks. A repository with a pinned commit is asked for the sizes of its files; for
others, or where no hub can be reached, the numbers are estimates from the registry of archives and the models' sizes.

    python -m workflow_scripts.curation.plan_data --study '{...}'
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.curation.archives import ARCHIVE_BYTES, Archive, annotation_files, archives_of, choose
from workflow_scripts.curation.fetch_images import wanted as wanted_images
from workflow_scripts.curation.registry import registry
from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.client import Hub, RemoteFile
from workflow_scripts.hub.fetch_models import wanted
from workflow_scripts.settings import ImagesSettings, InputError, StudySettings, cli

VIDEOS = 178_510  # captions of the data set, one a video
ARCHIVES = 250  # of all subsets
BYTES_PER_PARAMETER = 2


@dataclass(frozen=True)
class Line:
    """One line of the plan. None: not known here. files and kept_files: numbers; the rest in bytes."""

    what: str
    files: int | None
    network: float | None
    kept: float | None
    kept_files: int | None
    note: str


def plan(study: StudySettings, pins: pinning.Pins, hub: Hub) -> list[Line]:
    """The lines. What cannot be asked is estimated, and the note says so."""
    found = []
    videos = pinning.dataset(study)
    if videos is not None:
        found += _dataset(study, _listing(hub, videos, pins))
    models = [entry for entry in pinning.repositories(study) if entry.kind == "models"]
    found += [_model(study, entry, pins, hub) for entry in models]
    images = pinning.images(study)
    if study.images is not None and images is not None:
        found.append(_images(study.images, images, pins, hub))
    boxes = pinning.boxes(study)
    for entry in pinning.repositories(study):
        if entry.kind == "datasets" and entry not in (videos, images):
            listing, note = _listing(hub, entry, pins, (study.attention.pattern,) if entry == boxes else ("*",))
            size = None if listing is None else sum(file.size for file in listing.values())
            number = None if listing is None else len(listing)
            what = "questions with boxes" if entry == boxes else f"benchmark {entry.name}"
            found.append(Line(what, number, size, size, None, note))
    return found


def _listing(
    hub: Hub, repository: pinning.Repository, pins: pinning.Pins, patterns: Sequence[str] = ("*",)
) -> tuple[dict[str, RemoteFile] | None, str]:
    """The files of a repository that match one of the patterns, or all; and a note on its commit."""
    revision = pinning.commit(repository, pins)
    if revision is None:
        return None, "estimate: not pinned" if repository.kind == "models" else "not pinned"
    try:
        return hub.files(repository.type, repository.name, revision, patterns), f"at {revision[:12]}"
    except InputError as error:
        return None, f"not asked: {error}"


def _dataset(study: StudySettings, answer: tuple[dict[str, RemoteFile] | None, str]) -> list[Line]:
    listing, note = answer
    subsets = [registry().subset(name) for name in study.dataset.subsets]
    annotations, size = sum(len(registry().subsets[name].annotations) for name in subsets), None
    if listing is not None:
        files = [file for kinds in annotation_files(listing, subsets).values() for file in kinds.values()]
        size, archives = sum(file.size for file in files), archives_of(listing, subsets)
    else:
        note = f"estimate ({note}): archives of {ARCHIVE_BYTES / 1e9:.1f} GB"
        archives = [
            Archive(
                name, name, number, RemoteFile(f"{name}_videos_{number}.tar.gz", int(ARCHIVE_BYTES), "", None, None)
            )
            for name in subsets
            for number in range(1, (registry().subsets[name].archives or 2) + 1)
        ]
    chosen = choose(archives, study.dataset.archives, study.curation.seed)
    read = [archive for archive in chosen if archive.record(Path(study.dataset.root)).is_file()]
    network = sum(archive.file.size for archive in chosen if archive not in read)
    whole = sum(archive.file.size for archive in chosen)
    videos = math.ceil(study.curation.videos * (1 + study.dataset.reserve))
    there = round(len(chosen) * VIDEOS / ARCHIVES)
    note += f"; {len(chosen)} of {len(archives)} archives, about {there} videos"
    if there < study.curation.videos:
        note += f", TOO FEW for a sample of {study.curation.videos}"
    if read:
        note += f"; {len(read)} of them read before"
    kept = min(1.0, videos / there)
    return [
        Line("annotations", annotations, size, size, annotations, note.split(";")[0]),
        Line("videos", len(chosen) - len(read), network, whole * kept, min(videos, there), note),
    ]


def _images(settings: ImagesSettings, repository: pinning.Repository, pins: pinning.Pins, hub: Hub) -> Line:
    what, revision = "conversations about images", pinning.commit(repository, pins)
    note = "only for what needs them, by `snakemake fetch_images`; not pinned"
    if revision is not None:
        try:
            files = wanted_images(hub, settings, revision)
            size = sum(file.size for file in files)
            return Line(what, len(files), size, size, len(files), note.replace("not pinned", f"at {revision[:12]}"))
        except InputError as error:
            note = note.replace("not pinned", f"not asked: {error}")
    return Line(what, settings.files, None, None, settings.files, note)


def _model(study: StudySettings, repository: pinning.Repository, pins: pinning.Pins, hub: Hub) -> Line:
    what = f"model {repository.name}"
    revision, note = pinning.commit(repository, pins), "estimate: not pinned"
    if revision is not None:
        try:
            files = wanted(hub, repository, revision)
            size = sum(file.size for file in files)
            return Line(what, len(files), size, size, len(files), f"at {revision[:12]}")
        except InputError as error:
            note = f"estimate: not asked: {error}"
    models = [*study.models.values(), *(entry.model for entry in study.budgets.predictors.values())]
    sizes = [entry.size_b for entry in models if entry.source == repository.name]
    estimate = sizes[0] * 1e9 * BYTES_PER_PARAMETER if sizes else None
    return Line(what, None, estimate, estimate, None, note)


def text(lines: list[Line]) -> str:
    """The plan as a table, with a sum of what is known."""

    def cells(line: Line) -> list[str]:
        return [line.what, _number(line.files), _bytes(line.network), _bytes(line.kept), _number(line.kept_files)]

    unknown = sum(line.network is None for line in lines)
    total = Line(
        "sum",
        _sum(lines, lambda line: line.files),
        sum(line.network or 0.0 for line in lines),
        sum(line.kept or 0.0 for line in lines),
        _sum(lines, lambda line: line.kept_files),
        f"without {unknown} that are not known" if unknown else "",
    )
    rows = [["", "files", "over the network", "kept", "files kept"], *map(cells, [*lines, total])]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    notes = ["", *(line.note for line in [*lines, total])]
    aligned = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    ]
    return "\n".join("  ".join([*row, note]).rstrip() for row, note in zip(aligned, notes, strict=True))


def _sum(lines: list[Line], value: Callable[[Line], int | None]) -> int:
    return sum(value(line) or 0 for line in lines)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _bytes(value: float | None) -> str:
    return "?" if value is None else f"{value / 1e9:,.1f} GB"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    arguments = parser.parse_args()
    study: StudySettings = arguments.study
    lines = plan(study, pinning.read(arguments.pins), Hub(study.hub.endpoint))
    print(text(lines) if lines else "nothing of this study is fetched: its data and models are on this machine")


if __name__ == "__main__":
    cli.run(main)
