"""Run Snakemake as a user does, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# As it was before any test: evaluations take their process off the network for good.
ENVIRONMENT = dict(os.environ)
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
Done = subprocess.CompletedProcess[str]
Snakemake = Callable[..., Done]


def snakemake_in(folder: Path) -> Snakemake:
    """A call of `snakemake` in a folder, on presets by name and an overlay as text."""

    def call(*arguments: str, presets: tuple[str, ...] = (), overlay: str = "") -> Done:
        files = [ROOT / "config.yaml", *(ROOT / "presets" / f"{name}.yaml" for name in presets)]
        if overlay:
            (folder / "overlay.yaml").write_text(overlay)
            files.append(folder / "overlay.yaml")
        command = [SNAKEMAKE, "--snakefile", ROOT / "Snakefile", "--cores", "2", *arguments, "--configfile", *files]
        return subprocess.run(
            list(map(str, command)), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture
def snakemake(tmp_path: Path) -> Snakemake:
    """`snakemake` in an empty folder."""
    return snakemake_in(tmp_path)
