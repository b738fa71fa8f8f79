"""Rule `fetch`: bring the annotations and the sample's videos, from the hub, to the data set's folder.

In: the study's settings and the pins. The annotations come first; they give the order of drawing. Then the chosen
archives are read from the network as a stream, and of their members only those are kept that the sample needs, with a
reserve. Videos of an archive appear once all of it was read and its checksum was right. Started again after a kill, the
command reads only archives that it has not read to their end.

Out: `<dataset.root>/<subset>/...`; a record of each archive's members in `<dataset.root>/.fetch/`; `fetched.parquet` as
in workflow_scripts/curation/fetched.py, and beside it `fetch.json`: commit, archives with their checksums, weights.

    python -m workflow_scripts.curation.fetch --study '{...}' --output results/paper/curation/fetched.parquet
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.curation.archives import (
    Archive,
    Held,
    annotation_files,
    archives_of,
    choose,
    read_record,
    stage_weights,
    video_path,
    write_record,
)
from workflow_scripts.curation.candidates import Selection, first, quotas
from workflow_scripts.curation.fetched import SCHEMA
from workflow_scripts.curation.inventory import survey
from workflow_scripts.curation.population import Population
from workflow_scripts.curation.registry import registry
from workflow_scripts.curation.sampling import Stratum, Video, stratify, weights
from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.archive import Member, tar_members
from workflow_scripts.hub.client import Hub
from workflow_scripts.hub.download import alone, download_all, each, megabytes
from workflow_scripts.hub.stream import Damaged, Stream
from workflow_scripts.settings import InputError, StudySettings, cli, files

Strata = dict[Stratum, list[Video]]
INCOMING = ".incoming"
ATTEMPTS = 2  # to read an archive whose bytes are not those that the repository lists


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    parser.add_argument("--output", type=Path, required=True, help="fetched.parquet")
    arguments = parser.parse_args()
    study: StudySettings = arguments.study
    revision = pinning.required(repository(study), pinning.read(arguments.pins))
    with alone(Path(study.dataset.root)):
        fetch(study, revision, arguments.output)


def repository(study: StudySettings) -> pinning.Repository:
    """The data set's repository. Raises InputError where the study's data are not on a hub."""
    found = pinning.dataset(study)
    if found is None:
        raise InputError(
            f"dataset.repository is {study.dataset.repository!r}; expected <owner>/<name> on the hub: "
            "this study's data are not fetched"
        )
    return found


def fetch(study: StudySettings, revision: str, output: Path) -> None:
    """Bring everything, and write what was brought."""
    root = Path(study.dataset.root)
    subsets = [registry().subset(name) for name in study.dataset.subsets]
    listing = Hub(study.hub.endpoint).files("dataset", study.dataset.repository, revision)
    annotations = [file for kinds in annotation_files(listing, subsets).values() for file in kinds.values()]
    archives = archives_of(listing, subsets)
    for folder in {archive.folder for archive in archives}:
        shutil.rmtree(root / folder / INCOMING, ignore_errors=True)  # what a killed fetch left
    chosen = choose(archives, study.dataset.archives, study.curation.seed)
    brought = download_all(
        [(file, root / file.path) for file in annotations],
        connections=study.hub.connections,
        label="annotations",
        by_content=True,
    )
    strata, weight = _strata(study, root, subsets)
    shelf = Shelf(root, archives, chosen, {video.path for members in strata.values() for video in members})
    brought += _archives(study, shelf, strata, weight)

    files.write_json(_summary(study, revision, shelf), output.parent / "fetch.json")
    files.write_parquet(_table(shelf), output)
    kept = [held.size for path, held in shelf.held.items() if shelf.on_disk(path)]
    print(
        f"{len(kept)} videos, {sum(kept) / 1e9:.2f} GB, in {root}; {len(chosen)} of {len(archives)} archives read; "
        f"{brought / 1e9:.2f} GB came over the network; {len(shelf.refused)} members of archives refused"
    )
    for name, member in shelf.refused[:10]:
        print(f"refused: {member.name!r} of {name}: {member.refused}")


def _strata(study: StudySettings, root: Path, subsets: list[str]) -> tuple[Strata, dict[Stratum, float]]:
    """The order of drawing and the weights, as the rule manifest has them."""
    population = Population.of(survey(root, subsets, study.curation.seed).index)
    strata = stratify(study.curation.seed, population.videos.values(), study.curation.shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, study.curation.shares)
    return strata, weight


class Shelf:
    """What is known of the chosen archives, and what of them lies on disk."""

    def __init__(
        self, root: Path, archives: Sequence[Archive], chosen: Sequence[Archive], videos: Collection[str]
    ) -> None:
        self.root, self.archives, self.chosen, self._videos = root, archives, chosen, videos
        self.held: dict[str, Held] = {}
        self.refused: list[tuple[str, Member]] = []
        self.pending: list[Archive] = []
        for archive in chosen:
            members = read_record(archive, root)
            if members is None:
                self.pending.append(archive)
            else:
                self.learn(archive, members)

    def learn(self, archive: Archive, members: Sequence[Member]) -> None:
        """Take in the members of an archive."""
        for member in members:
            if member.refused:
                self.refused.append((archive.name, member))
            elif (path := video_path(archive, member.name)) in self._videos:
                held = self.held.get(path)
                if held is None or archive.file.path < held.archive.file.path:
                    self.held[path] = Held(archive, member.size)

    def on_disk(self, path: str) -> bool:
        """Whether a video of a chosen archive was kept, whole."""
        target = self.root / path
        return target.is_file() and target.stat().st_size == self.held[path].size

    def chance(self) -> Callable[[Video], float]:
        """For a video, how likely it is in a chosen archive, as far as they are known."""
        waiting = {archive.subset: 0 for archive in self.archives}
        hidden = dict(waiting)
        for archive in self.archives:
            hidden[archive.subset] += 1
        for archive in self.chosen:
            hidden[archive.subset] -= 1
        for archive in self.pending:
            waiting[archive.subset] += 1
            hidden[archive.subset] += 1
        share = {subset: waiting[subset] / hidden[subset] if hidden[subset] else 0.0 for subset in waiting}
        return lambda video: 1.0 if video.path in self.held else share[video.subset]


def _archives(study: StudySettings, shelf: Shelf, strata: Strata, weight: dict[Stratum, float]) -> int:
    """Read archives until the sample is on disk. Returns the bytes read."""
    count, reserve, read = study.curation.videos, study.dataset.reserve, 0
    while True:
        chance = shelf.chance()
        possible = {stratum: [v for v in members if chance(v) > 0] for stratum, members in strata.items()}
        quota = quotas(possible, weight, count, reserve, chance)
        _check_size(study, shelf, sum(quotas(possible, weight, count, 0.0, chance).values()))
        if shelf.pending:
            whole = study.dataset.archives is None
            selection = Selection(possible, quota, shelf.held, whole=whole)
            read += _read(study, shelf, shelf.pending, selection, sum(quota.values()))
            shelf.pending = []
            continue
        needed = first(possible, quotas(possible, weight, count, 0.0, chance))
        if all(shelf.on_disk(video.path) for video in needed):
            return read
        missing = [video.path for video in needed if not shelf.on_disk(video.path)]
        again = list(dict.fromkeys(shelf.held[path].archive for path in missing))
        # Of the reserve only what lies in these archives: for a few spare videos no further one is read.
        wanted = {*missing, *(v.path for v in first(possible, quota) if not shelf.on_disk(v.path))}
        read += _read(study, shelf, again, wanted, len(wanted))
        lacking = [video.path for video in needed if not shelf.on_disk(video.path)]
        if lacking:
            raise InputError(f"video {lacking[0]} did not come out of {shelf.held[lacking[0]].archive.name}")


def _check_size(study: StudySettings, shelf: Shelf, expected: int) -> None:
    if expected >= study.curation.videos:
        return
    raise InputError(
        f"curation.videos is {study.curation.videos}; the {len(shelf.chosen)} archives chosen hold about {expected} "
        f"that can be drawn; raise dataset.archives ({len(shelf.archives)} archives in all; null: all)"
    )


def _read(study: StudySettings, shelf: Shelf, archives: Sequence[Archive], selection: Any, videos: int) -> int:
    """Read archives, several at a time, and keep what is selected. Returns their bytes."""
    total = sum(archive.file.size for archive in archives)
    _check_disk(shelf, total, videos)
    with megabytes(total, f"{len(archives)} archives") as advance:
        keeper = Keeper(shelf, selection, advance)
        each(archives, keeper.read, study.hub.connections)
    return total


def _check_disk(shelf: Shelf, total: int, videos: int) -> None:
    """Refuse to start what will not fit: a share of the archives, by the number of videos."""
    free = shutil.disk_usage(shelf.root).free
    share = min(1.0, videos / max(1, len(shelf._videos)) * len(shelf.archives) / max(1, len(shelf.chosen)))
    if total * share > free:
        raise InputError(
            f"folder {shelf.root} has {free / 1e9:.1f} GB free; about {total * share / 1e9:.1f} GB are to be kept"
        )


@dataclass
class Keeper:
    """Reads archives and keeps the selected members. One for all threads that read."""

    shelf: Shelf
    selection: Any  # a Selection, or a set of paths
    advance: Callable[[int], None]

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._published: set[str] = set()

    def read(self, archive: Archive, stop: threading.Event) -> None:
        """Read one archive to its end. Raises InputError where that cannot be done; nothing of it is kept then."""
        incoming = self.shelf.root / archive.folder / INCOMING / archive.name
        for attempt in range(1, ATTEMPTS + 1):
            shutil.rmtree(incoming, ignore_errors=True)
            with Stream(archive.file, advance=self.advance, stop=stop) as stream:
                try:
                    members, staged = self._unpack(archive, stream, incoming)
                    stream.finish()
                    self._publish(archive, members, staged)
                    return
                except Damaged as error:
                    if attempt == ATTEMPTS:
                        raise InputError(f"{error}; nothing was kept of {archive.name}") from None
                    self.advance(-stream.position)
                except OSError as error:
                    if error.errno is None:
                        raise
                    raise InputError(f"archive {archive.name} cannot be unpacked: {error}") from None
                finally:
                    shutil.rmtree(incoming, ignore_errors=True)

    def _unpack(self, archive: Archive, stream: Stream, incoming: Path) -> tuple[list[Member], dict[str, Path]]:
        """All members, and where the selected ones lie for now."""
        members: list[Member] = []
        staged: dict[str, Path] = {}
        known = 0
        for member, write in tar_members(stream, archive.file.size, archive.file.where):
            members.append(member)
            if member.refused:
                continue
            path = video_path(archive, member.name)
            known += path in self.shelf._videos
            with self._lock:
                taken, evicted = self._offer(path)
                if evicted in self._published:
                    self._published.discard(evicted)
                    (self.shelf.root / evicted).unlink(missing_ok=True)
            if taken and path not in staged:
                staged[path] = incoming / str(len(staged))
                write(staged[path])
        if members and not known:
            raise InputError(
                f"archive {archive.name} holds no video that the annotations name; its first member is "
                f"{members[0].name!r}"
            )
        return members, staged

    def _offer(self, path: str) -> tuple[bool, str]:
        if isinstance(self.selection, Selection):
            taken, evicted = self.selection.offer(path)
            return taken, evicted or ""
        return path in self.selection, ""

    def _publish(self, archive: Archive, members: list[Member], staged: dict[str, Path]) -> None:
        """Move what is still selected to its place, then record the archive."""
        with self._lock:
            for path, place in staged.items():
                if path in self.selection:
                    target = self.shelf.root / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(place, target)
                    self._published.add(path)
            write_record(archive, self.shelf.root, members)
            if archive in self.shelf.pending:
                self.shelf.learn(archive, members)


def _table(shelf: Shelf) -> pa.Table:
    weight = stage_weights(shelf.archives, shelf.chosen)
    rows = [
        {
            "video": path,
            "archive": held.archive.name,
            "bytes": held.size,
            "kept": shelf.on_disk(path),
            "stage_weight": weight[held.archive.subset],
        }
        for path, held in sorted(shelf.held.items())
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _summary(study: StudySettings, revision: str, shelf: Shelf) -> dict[str, Any]:
    return {
        "repository": study.dataset.repository,
        "revision": revision,
        "archives": [
            {"file": archive.file.path, "bytes": archive.file.size, "sha256": archive.file.sha256}
            for archive in shelf.chosen
        ],
        "archives_in_all": len(shelf.archives),
        "stage_weights": stage_weights(shelf.archives, shelf.chosen),
        "refused": [
            {"archive": name, "member": member.name, "reason": member.refused} for name, member in shelf.refused
        ],
    }


if __name__ == "__main__":
    cli.run(main)
