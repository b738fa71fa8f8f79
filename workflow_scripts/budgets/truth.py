"""The true minimal sufficient budgets, where a study knows them: a row a record, found for each sample."""

from pathlib import Path

import pandas as pd

from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet

COLUMNS = ["subset", "record_id", "format", "budget"]


def read_truth(path: Path, samples: pd.DataFrame) -> pd.Series:
    """The minimal sufficient budget of each sample (frames), in the order of `samples`: sample_id, subset, format.

    A sample is found by its subset, its format and its record's id, which stands in its sample_id between the subset
    and the last hyphen. Raises InputError for a record that stands twice, and a sample that has none.
    """
    truth: pd.DataFrame = read_parquet(path, COLUMNS)
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
