"""The data set's video archives: which there are, which of them are chosen, and what was found in those that were read.

No annotation says which archive holds a video. It is learnt while an archive is read, and kept on disk as a record, one
CSV (video, bytes, refused) an archive, named by the archive's checksum, so that no archive is read twice to learn it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.curation.registry import PATH, Format, registry
from workflow_scripts.curation.sampling import key
from workflow_scripts.hub.archive import Member
from workflow_scripts.hub.client import RemoteFile
from workflow_scripts.settings import InputError, files

ARCHIVE = re.compile(r"(?P<folder>[^/]+)/[^/]+_videos_(?P<number>\d+)\.tar\.gz")
ARCHIVE_BYTES = 5.3e9  # of one archive, on average, where the hub was not asked
HEADER = ("video", "bytes", "refused")


@dataclass(frozen=True)
class Archive:
    """One archive of a subset's videos. Its members' names are relative to the subset's folder."""

    subset: str
    folder: str
    number: int
    file: RemoteFile

    @property
    def name(self) -> str:
        """The archive's file name."""
        return self.file.path.rsplit("/", 1)[-1]

    def record(self, root: Path) -> Path:
        """Where its record lies."""
        return root / ".fetch" / f"{self.name}-{(self.file.sha256 or self.file.blob_id or '')[:16]}.csv"


@dataclass(frozen=True)
class Held:
    """A video, and the archive that holds it."""

    archive: Archive
    size: int


def annotation_files(listing: Mapping[str, RemoteFile], subsets: Iterable[str]) -> dict[str, dict[Format, RemoteFile]]:
    """The annotation files of the subsets, by subset and format. Raises InputError naming one that the hub lacks."""
    found: dict[str, dict[Format, RemoteFile]] = {}
    for subset in subsets:
        entry = registry().subsets[subset]
        found[subset] = {}
        for format_, names in entry.annotations.items():
            spelled = [f"{folder}/{name}" for folder in entry.folders for name in names]
            present = [path for path in spelled if path in listing]
            if not present:
                raise InputError(f"file {spelled[0]} is missing in the repository; expected the {format_} annotations")
            found[subset][format_] = listing[present[0]]
    return found


def archives_of(listing: Mapping[str, RemoteFile], subsets: Iterable[str]) -> list[Archive]:
    """All archives of the subsets, by subset and number. Raises InputError naming one that the hub lacks."""
    found = []
    for subset in subsets:
        entry = registry().subsets[subset]
        there: dict[int, Archive] = {}
        for path, file in listing.items():
            match = ARCHIVE.fullmatch(path)
            if match and match["folder"] in entry.folders:
                there[int(match["number"])] = Archive(subset, match["folder"], int(match["number"]), file)
        expected = range(1, max([*there, entry.archives or 1]) + 1)
        if missing := [number for number in expected if number not in there]:
            raise InputError(
                f"archive {subset}_videos_{missing[0]}.tar.gz is missing in the repository; expected "
                f"{len(expected)} archives of subset {subset}, as {PATH.name} says"
            )
        found += [there[number] for number in sorted(there)]
    return found


def choose(archives: Sequence[Archive], limit: int | None, seed: int) -> list[Archive]:
    """The archives to read: all, or `limit` of them, of each subset in proportion to how many it has, at least one.

    The number of a subset follows Adams's method, and which they are a hash, so that the choice of a smaller limit lies
    inside that of a larger one. Raises InputError where the limit is below the number of subsets.
    """
    if limit is None or limit >= len(archives):
        return list(archives)
    sizes = Counter(archive.subset for archive in archives)
    if limit < len(sizes):
        raise InputError(
            f"dataset.archives is {limit}; expected at least {len(sizes)}, one of each subset (dataset.subsets)"
        )
    order = sorted(archives, key=lambda archive: key(seed, "archive", archive.name))
    turn: Counter[str] = Counter()
    ranked = []
    for archive in order:
        ranked.append((turn[archive.subset] / sizes[archive.subset], -sizes[archive.subset], archive.name, archive))
        turn[archive.subset] += 1
    chosen = {archive for *_, archive in sorted(ranked, key=lambda entry: entry[:3])[:limit]}
    return [archive for archive in archives if archive in chosen]


def stage_weights(archives: Sequence[Archive], chosen: Sequence[Archive]) -> dict[str, float]:
    """By subset: of how many archives each chosen one stands for. The first stage's weight of each of its videos."""
    sizes, taken = (Counter(archive.subset for archive in group) for group in (archives, chosen))
    return {subset: sizes[subset] / count for subset, count in taken.items()}


def write_record(archive: Archive, root: Path, members: Iterable[Member]) -> None:
    """Keep what was found in an archive."""
    with files.atomic_path(archive.record(root)) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(
            (member.name.encode("utf-8", "backslashreplace").decode(), member.size, member.refused)
            for member in members
        )


def read_record(archive: Archive, root: Path) -> list[Member] | None:
    """What was found in an archive; None where it was not read yet."""
    path = archive.record(root)
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as handle:
        rows = csv.reader(handle)
        if tuple(next(rows, ())) != HEADER:
            raise InputError(f"file {path} is not the record of an archive; delete it and fetch again")
        return [Member(name, int(size), refused) for name, size, refused in rows]


def video_path(archive: Archive, member: str) -> str:
    """A member's path relative to the data set's root; archives may or may not hold the subset's folder."""
    return member if member.startswith(f"{archive.folder}/") else f"{archive.folder}/{member}"
