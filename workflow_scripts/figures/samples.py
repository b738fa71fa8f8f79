"""The budgets that allocations gave to the training samples, and the true ones where a study knows them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet

MANIFEST = ["sample_id", "video", "subset", "format"]
TRUTH = ["subset", "record_id", "format", "budget"]


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


def read_truth(path: Path, samples: pd.DataFrame) -> pd.Series:
    """The minimal sufficient budget of each sample (frames), in the order of `samples`.

    A sample is found by its subset, its format and its record's id, which stands in its sample_id between the subset
    and the last hyphen.
    """
    truth: pd.DataFrame = read_parquet(path, TRUTH)
    keys = ["subset", "record_id", "format"]
    if truth.duplicated(keys).any():
        row = truth[truth.duplicated(keys)].iloc[0]
        raise InputError(f"file {path}: record {row['record_id']} of {row['subset']} stands twice; expected once")
    ids = [
        s.removeprefix(f"{subset}/").rpartition("-")[0]
        for s, subset in zip(samples["sample_id"], samples["subset"], strict=True)
    ]
    wanted = pd.DataFrame({"subset": samples["subset"], "record_id": ids, "format": samples["format"]})
    found = wanted.merge(truth, on=keys, how="left")["budget"]
    if found.isna().any():
        sample = samples["sample_id"].iloc[int(found.isna().to_numpy().argmax())]
        raise InputError(f"file {path}: no row of sample {sample}; expected one")
    return found.astype(int).set_axis(samples.index)
