"""The budgets that allocations gave to the training samples."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings.files import read_parquet

MANIFEST = ["sample_id", "video", "subset", "format"]


def add_arguments(parser: argparse.ArgumentParser, required: bool) -> None:
    """The flags of a table that speaks of samples."""
    parser.add_argument("--manifest", type=Path, required=required, help="curation/manifest.parquet")
    parser.add_argument(
        "--budgets", nargs="+", default=[], required=required, metavar="[ALLOCATION=]PATH", help="budgets/*.parquet"
    )


def read_budgets(manifest: Path, places: Sequence[str]) -> pd.DataFrame:
    """The manifest's samples, one row each, with a column of budgets (frames) for every allocation."""
    table: pd.DataFrame = read_parquet(manifest, MANIFEST)
    for place in places:
        name, _, path = place.rpartition("=")
        allocation = name or Path(path).name.removesuffix(".parquet")
        found = read_allocation(Path(path), sample_ids=table["sample_id"].tolist())
        table[allocation] = table["sample_id"].map(found.set_index("sample_id")["budget"])
    return table
