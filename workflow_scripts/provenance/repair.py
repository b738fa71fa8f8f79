"""Make again what an audit found broken: remove files that are not as recorded, and let Snakemake run their jobs."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.provenance.findings import Finding, Kind
from workflow_scripts.provenance.invocation import Invocation
from workflow_scripts.provenance.records import Record, Records
from workflow_scripts.settings import InputError


def broken(records: Records, findings: Sequence[Finding]) -> list[Record]:
    """The records whose jobs have to run again: files edited or missing, or made from what is not there any more."""
    keys = []
    for finding in findings:
        if finding.kind in (Kind.EDITED, Kind.MISSING) and finding.path is not None:
            maker = records.of(finding.path)
            keys += [maker.key] if maker is not None else []
        elif finding.kind == Kind.STALE and finding.record is not None:
            keys.append(finding.record)
    return [record for key in dict.fromkeys(keys) if (record := records.by_key(key)) is not None]


def repair(records: Records, target: Record, findings: Sequence[Finding], called: Invocation, profile: str) -> int:
    """Run the broken jobs again, and all that depends on them for `target`. Returns Snakemake's exit status.

    called: how Snakemake is to be called. Raises InputError where the study is not in its place below the working
    directory, or a source is broken.
    """
    if not records.folder.is_dir() or Path(records.root).resolve() != records.folder.resolve():
        raise InputError(f"{records.folder} is not {records.root} here; expected the study in its own place")
    for finding in findings:
        if finding.kind == Kind.EDITED and finding.path is not None and records.of(finding.path) is None:
            raise InputError(f"{finding.path} was made by no job of the study; put back what it was, or start anew")
    jobs = broken(records, findings)
    if not jobs:
        print("nothing that a job could make right")
        return 0
    for finding in findings:
        if finding.kind == Kind.EDITED and finding.path is not None:
            records.locate(finding.path).unlink(missing_ok=True)
            print(f"removed {finding.path}")
    command = [str(Path(sys.executable).parent / "snakemake"), target.key, *called.flags]
    command += ["--profile", profile, "--forcerun", *(record.key for record in jobs)]
    print(" ".join(command), flush=True)
    return subprocess.run(command, check=False).returncode
