"""What the commands share that make a table from evaluations."""

import argparse
from pathlib import Path

import pandas as pd

from workflow_scripts.settings.files import atomic_path


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser for such a command, documented by its module: --evaluations, --resamples, --seed, --output."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--evaluations", nargs="+", type=Path, required=True, metavar="DIR")
    made.add_argument("--resamples", type=int, default=2000)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--output", type=Path, required=True)
    return made


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV, atomically."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
