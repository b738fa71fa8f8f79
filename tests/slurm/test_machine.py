"""What starting a SLURM for the tests, and ending it, leaves alone."""

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, slurm

HERE = Path(__file__).parent
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")


def state() -> object:
    """The SLURM that runs, which to a start at another place is a foreign one."""
    controller = Path(ROOT, "run", "slurmctld.pid").read_text()
    links = {name: (os.readlink(f"/etc/slurm/{name}"), Path("/etc/slurm", name).read_text()) for name in FILES}
    return controller, links, slurm("sinfo", "-h", "-p", "gpu", "-o", "%D"), sorted(os.listdir("/etc/slurm"))


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (None, "/etc/slurm/slurm.conf is of another SLURM; not touched"),
        ("/elsewhere/slurm.conf", "SLURM_CONF names another SLURM, /elsewhere/slurm.conf"),
    ],
    ids=["at the default place", "in the environment"],
)
def test_another_slurm_is_not_touched(tmp_path: Path, configuration: str | None, reason: str) -> None:
    before = state()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    if configuration:
        environment["SLURM_CONF"] = configuration
    other = tmp_path / "other"
    up, down = (
        subprocess.run(
            ["bash", str(HERE / script), str(other)], env=environment, capture_output=True, text=True, check=False
        )
        for script in ("up.sh", "down.sh")
    )
    assert (up.returncode, up.stderr) == (3, f"slurm: {reason}\n")
    assert (down.returncode, down.stderr) == (0, "")
    assert not other.exists()
    assert state() == before
