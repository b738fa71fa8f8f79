"""The smoke study done in a copy of the repository: its files stood in for, with Snakemake's records and ours."""

from pathlib import Path

from .dry_run import snakemake

STUDY = "results/smoke"
FLAGS = ("--cores", "2", "--max-checksum-file-size", "100000000")
PRESETS = ("--configfile", "presets/miniature.yaml", "presets/smoke.yaml")


def done(folder: Path) -> Path:
    """The study, done in a clone."""
    for name in files(folder):
        _stand_in(folder / name)
    said = snakemake(folder, *FLAGS, "--touch", "--forceall", *PRESETS)
    assert "records written" in said, said[-2000:]
    return folder


def files(folder: Path) -> list[str]:
    """All files that the study makes."""
    said = snakemake(folder, *FLAGS, "--summary", *PRESETS)
    return [line.split("\t")[0] for line in said.splitlines() if line.startswith(f"{STUDY}/")]


def _stand_in(path: Path) -> None:
    """A file of the study; those that records are made from have the form that it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "inventory.json":
        path.write_text('{"dataset": "drawn", "subsets": []}')
    elif path.name == "manifest.parquet":
        import pandas as pd

        pd.DataFrame({"video": ["a.mp4"], "sha256": ["0" * 64]}).to_parquet(path)
    elif path.suffix == ".csv":
        path.write_text("video\n")
    else:
        path.write_text(f"stands in for {path.name}\n")
