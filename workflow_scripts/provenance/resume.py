"""Go on with a study whose Snakemake was killed: take its lock away if its owner is proven dead, and start Snakemake.

    python -m workflow_scripts.provenance.resume --profile profiles/local --configfile presets/miniature.yaml

All arguments are Snakemake's. A lock goes only if the process that made it is known by host, number and time of its
start, and is not there any more (workflow_scripts/provenance/starts.py). A lock whose owner lives, or cannot be asked
from this machine, stays, and it is said whose it is; Snakemake then refuses to work on the same files. Jobs that were
cut short run again: their outputs appear whole or not at all, and a training run goes on from its last checkpoint.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.provenance.closure import ROOT
from workflow_scripts.provenance.starts import STARTS, judge, locks, starts
from workflow_scripts.settings.cli import run

LOCKED = 3


def wanted(arguments: Sequence[str]) -> tuple[str, Path]:
    """The study that Snakemake's arguments are about, and the folder it works in."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="+", default=[])
    parser.add_argument("--directory", "-d", type=Path, default=Path())
    known, _ = parser.parse_known_args(arguments)
    study = "paper"
    for path in (ROOT / "config.yaml", *map(Path, known.configfile)):
        study = _mapping(path).get("study", study)
    for entry in known.config:
        key, _, value = entry.partition("=")
        study = value if key == "study" else study
    return study, known.directory


def clear(study: str, folder: Path) -> str | None:
    """Take a study's lock away if its owner is proven dead; why, in words. None: there is no lock.

    Raises PermissionError, with why, where the lock stays.
    """
    paths = locks(folder).get(study, [])
    if not paths:
        return None
    known = starts(folder)
    gone, why = judge(study, known)
    if not gone:
        raise PermissionError(why)
    for path in paths:
        path.unlink(missing_ok=True)
    for start in known:
        if start.study == study:
            (folder / STARTS / f"{start.holder.token}.json").unlink(missing_ok=True)
    return why


def _mapping(path: Path) -> dict[str, Any]:
    """What a configuration file says; nothing where it says nothing that Snakemake would take."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def main() -> None:
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    try:
        why = clear(*wanted(sys.argv[1:]))
    except PermissionError as stays:
        print(f"error: {stays}", file=sys.stderr)
        sys.exit(LOCKED)
    if why:
        print(f"{why}; its lock is removed", file=sys.stderr, flush=True)
    snakemake = Path(sys.executable).parent / "snakemake"
    os.execv(snakemake, [str(snakemake), *sys.argv[1:]])


if __name__ == "__main__":
    run(main)
