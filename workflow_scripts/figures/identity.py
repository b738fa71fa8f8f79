"""What a figure carries of its making in the metadata of PNG, PDF and SVG: study, commit and digest.

    study=paper commit=0123456789abcdef0123456789abcdef01234567 record=0123456789abcdef0123456789abcdef

The digest is of the command, of what the files it reads hold, and of the code that is loaded: equal making, equal
digest, on any machine. The job's record holds it too (workflow_scripts/provenance), so that a figure that was copied,
renamed or saved again by another program leads back to its record. `+` after the commit: the code was not the commit's.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from workflow_scripts.content.checksums import file_sha256
from workflow_scripts.notes import job

DIGITS = 32
FIGURES = "figures"


def identity(stem: Path) -> str | None:
    """What the figure `results/<study>/figures/<name>` carries; None for another stem, and where no command draws.

    stem: the figure's path without the ending.
    """
    module = job.command()
    if module is None or stem.parent.name != FIGURES:
        return None
    digest = _digest(module, tuple(sys.argv[1:]))
    job.tell("identity", digest)
    return f"study={'_'.join(stem.parent.parent.name.split())} commit={_commit()} record={digest}"


@cache
def _digest(module: str, arguments: tuple[str, ...]) -> str:
    made_of = {
        "command": [module, *arguments],
        "files": {name: file_sha256(Path(name)) for name in _files(arguments)},
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _files(arguments: Sequence[str]) -> list[str]:
    """The arguments that are files: what the command reads. What it writes is given as a stem, which is none."""
    # settings as JSON are too long for a file's name
    return sorted({one for one in arguments if not one.startswith(("{", "[")) and Path(one).is_file()})


def _code() -> dict[str, str]:
    """Git's names of the contents of the files of this repository that are loaded, without what only notes."""
    return {path: name for path, name in job.modules().items() if not path.startswith(f"{job.PACKAGE}/notes/")}


@cache
def _commit() -> str:
    """The commit, with `+` where a file that is loaded is not the commit's; `none` outside git."""
    commit = job.commit()
    if commit is None:
        return "none"
    command = ["git", "-C", str(job.ROOT), "ls-tree", "-r", "--format=%(objectname) %(path)", commit, "--", job.PACKAGE]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    committed = {path: name for name, _, path in (line.partition(" ") for line in listed)}
    return commit if all(committed.get(path) == name for path, name in _code().items()) else f"{commit}+"
