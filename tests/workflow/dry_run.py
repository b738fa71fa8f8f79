"""Snakemake in a child of a process that has imported it: seconds less a call, for tests that make many."""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["snakemake.cli", "snakemake.api", "snakemake.workflow", "pydantic", "yaml"])


def snakemake(folder: Path, *flags: str) -> str:
    """What `snakemake <flags>` says in a folder. Raises AssertionError with the end of it where it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        said = Path(scratch) / "said"
        child = _CONTEXT.Process(target=_run, args=(folder, flags, said))
        child.start()
        child.join()
        text = said.read_text()
        assert child.exitcode == 0, text[-3000:]
        return text


def _run(folder: Path, flags: tuple[str, ...], said: Path) -> None:
    os.chdir(folder)
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # A process has one fork server: another test's may hold this repository's modules, and the folder has its own.
    for module in [name for name in sys.modules if name.partition(".")[0] == "workflow_scripts"]:
        del sys.modules[module]
    from snakemake.cli import main

    sys.argv = ["snakemake", *flags]
    main(list(flags))
