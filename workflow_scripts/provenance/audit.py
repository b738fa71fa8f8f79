"""Where does a result come from, and is it what it claims to be?

    python -m workflow_scripts.provenance.audit results/paper/figures/frames.pdf
    python -m workflow_scripts.provenance.audit ~/Downloads/frames.png --results results
    python -m workflow_scripts.provenance.audit --diff results/paper/figures/frames.pdf other/figures/frames.pdf
    python -m workflow_scripts.provenance.audit results/paper/figures/frames.pdf --repair

Prints the jobs behind a result as a tree, down to annotations, videos and base weights, and reads every file again.
Exit status: 0 all is as recorded; else the sum of 4 stale (made from other files, code or settings than are here now),
8 edited, 16 made by uncommitted code, 32 mixed versions, 64 missing (files, records, notes). 2: a wrong command line.
With --diff: 0 nothing differs, 1 something does. With --repair: Snakemake's.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.provenance import repair
from workflow_scripts.provenance.closure import Repository
from workflow_scripts.provenance.commits import absent
from workflow_scripts.provenance.compare import compare
from workflow_scripts.provenance.findings import (
    Checked,
    Finding,
    Kind,
    check_code,
    check_files,
    check_records,
    check_settings,
    check_versions,
    commits,
)
from workflow_scripts.provenance.gather import MEMORY
from workflow_scripts.provenance.invocation import Invocation, read_invocation
from workflow_scripts.provenance.loose import Found, carried, find
from workflow_scripts.provenance.records import Record, Records
from workflow_scripts.provenance.tree import describe, draw, plain
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="a result, or a figure anywhere; with --diff two")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where studies are; default results/")
    parser.add_argument("--diff", action="store_true", help="say where two results' makings part")
    parser.add_argument("--full", action="store_true", help="name every file with its checksum, and every command")
    parser.add_argument("--quick", action="store_true", help="read no file again whose size, times and inode are known")
    parser.add_argument("--repair", action="store_true", help="remove what was edited, and run what is broken again")
    parser.add_argument("--configfile", nargs="+", help="the study's overlays; default those of its last start")
    parser.add_argument("--profile", default="profiles/local", help="Snakemake's, for --repair")
    options = parser.parse_args(arguments)
    if options.diff:
        if len(options.files) != 2:
            raise InputError(f"--diff got {len(options.files)} files; expected two")
        sys.exit(_diff(options.files[0], options.files[1], options))
    if len(options.files) != 1:
        raise InputError(f"{len(options.files)} files are named; expected one, or two with --diff")
    sys.exit(_audit(options.files[0], options))


def _audit(path: Path, options: argparse.Namespace) -> int:
    found = find(path, options.results)
    if found is None:
        _say(f"{path} has no record in {options.results}{_claim(path)}")
        return int(Kind.MISSING)
    records, record = found.records, found.record
    lineage = records.lineage([record])
    checksums = Checksums(records.folder / MEMORY if options.quick else None)
    findings, checked = check_files(records, lineage, checksums)
    findings += _of_the_file(path, found)
    repository = Repository()
    findings += check_records(records, lineage) + check_code(lineage, repository)
    untold = None
    try:
        findings += check_settings(records, record, lineage, repository, _called(records, options))
    except InputError as error:
        untold = str(error)
    mixed = check_versions(lineage)
    where = "" if Path(records.root).resolve() == records.folder.resolve() else f", in {records.folder}"
    _say(f"{path}: {found.path} of study {record.study}{where}")
    _say(*draw(records, record, findings, full=options.full))
    findings += mixed
    _summarise(lineage, findings, checked, untold)
    if options.repair:
        return repair.repair(records, record, findings, _called(records, options), options.profile)
    status = sum({finding.kind for finding in findings}, Kind(0))
    if repair.broken(records, findings):
        print(f"To make it right: python -m workflow_scripts.provenance.audit {path} --repair")
    return int(status)


def _say(*lines: str) -> None:
    print(*map(plain, lines), sep="\n")


def _called(records: Records, options: argparse.Namespace) -> Invocation:
    """How Snakemake is to be called: with the overlays that are named here, else as it was at last."""
    if options.configfile is not None:
        return Invocation(configfiles=tuple(options.configfile), config={})
    return read_invocation(records.folder)


def _of_the_file(path: Path, found: Found) -> list[Finding]:
    """Whether a file from elsewhere is the one on record."""
    inside = found.records.locate(found.path)
    if found.same or not path.exists() or (inside.exists() and inside.samefile(path)):
        return []
    text = f"{path} carries the identity of {found.path} and not its content: it was edited, or made again since"
    return [Finding(Kind.EDITED, found.record.key, text)]


def _claim(path: Path) -> str:
    known = carried(path)
    if known is None:
        return ", and carries nothing of its making"
    return f"; it says of itself: study {known.study}, commit {known.commit}, record {known.record}"


def _summarise(lineage: Sequence[Record], findings: Sequence[Finding], checked: Checked, untold: str | None) -> None:
    """What was found, a line each. untold: why settings were not compared; None where they were."""
    _say(f"{len(lineage)} jobs, {checked.files} files of {checked.bytes / 1e6:.1f} MB compared with their records")
    for source in checked.elsewhere:
        _say(f"not on this machine: {describe(source)}")
    at = commits(lineage)
    for commit in absent(at):
        _say(f"not in this repository: commit {commit[:8]}, so its code cannot be shown")
    if untold is not None:
        _say(f"settings were not compared with the configuration: {untold}")
    if len(at) > 1:
        _say(f"made at {len(at)} commits: {', '.join(commit[:8] for commit in at)}")
    found: dict[tuple[Kind, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda one: one.kind):
        found.setdefault((finding.kind, finding.text), []).append(finding)
    for (kind, text), same in found.items():
        by = "" if same[0].record is None or same[0].path else f"{same[0].record}: " if len(same) == 1 else ""
        more = f" ({len(same)} jobs)" if len(same) > 1 else ""
        _say(f"{str(kind.name).lower()}: {by}{text}{more}")
    _say("all is as recorded" if not findings else f"{len(findings)} findings")


def _diff(first: Path, second: Path, options: argparse.Namespace) -> int:
    sides = []
    wrong = []
    for path, side in ((first, "first"), (second, "second")):
        found = find(path, options.results)
        if found is None:
            raise InputError(f"file {path} has no record in {options.results}{_claim(path)}")
        records, record = found.records, found.record
        sides.append((records, record))
        checksums = Checksums(records.folder / MEMORY if options.quick else None)
        findings, _ = check_files(records, records.lineage([record]), checksums)
        wrong += [f"{side}: {one.text}" for one in findings + _of_the_file(path, found)]
    comparison = compare(sides[0], sides[1])
    for number, parting in enumerate(comparison.partings):
        _say(f"{'it begins at ' if number == 0 else 'and '}{parting.name}")
        _say(*(f"    {cause}" for cause in parting.causes))
    if comparison.following:
        _say(f"{len(comparison.following)} jobs differ only because files they read do: {comparison.following[0]} ...")
    _say(f"{comparison.equal} jobs made equal files")
    if wrong:
        _say("the files are not what the records say, which are compared here:", *dict.fromkeys(wrong))
    return int(bool(comparison.partings or comparison.following or wrong))


if __name__ == "__main__":
    run(main)
