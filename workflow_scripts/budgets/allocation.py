"""The file `budgets/<allocation>.parquet`: its schema, its writer, its reader and its checks.

A row a sample, in the manifest's order: sample_id (string), budget (int32, number of frames), evidence (string, a JSON
object: what the predictor saw, `{}` for a uniform allocation).

An allocation covers its manifest exactly, no sample missing, none besides, none twice, and every budget is admissible.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet, write_parquet

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("budget", pa.int32(), nullable=False),
        pa.field("evidence", pa.string(), nullable=False),
    ]
)


def write_allocation(
    path: Path, sample_ids: Sequence[str], decisions: Sequence[Decision], *, admissible: Iterable[int]
) -> None:
    """Write the decisions, one a sample of the manifest, after the checks. Atomic, and byte for byte repeatable."""
    frame = pd.DataFrame(
        {
            "sample_id": list(sample_ids),
            "budget": [decision.budget for decision in decisions],
            "evidence": [json.dumps(decision.evidence, sort_keys=True) for decision in decisions],
        }
    )
    check_allocation(frame, sample_ids, admissible=admissible, where=path)
    write_parquet(pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False), path)


def read_allocation(
    path: Path, *, sample_ids: Sequence[str] | None = None, admissible: Iterable[int] | None = None
) -> pd.DataFrame:
    """The allocation as written; checked against the manifest's samples and the admissible budgets where given.

    Raises InputError if the file is missing, is not an allocation, or fails a check.
    """
    frame: pd.DataFrame = read_parquet(path, columns=SCHEMA.names)
    if frame["budget"].dtype != "int32":
        raise InputError(f"file {path}: column budget is {frame['budget'].dtype}; expected int32")
    check_allocation(frame, sample_ids, admissible=admissible, where=path)
    return frame


def check_allocation(
    frame: pd.DataFrame, sample_ids: Sequence[str] | None, *, admissible: Iterable[int] | None, where: Path
) -> None:
    """Raise InputError unless `frame` covers `sample_ids` exactly and every budget is admissible."""
    twice = [sample for sample, count in Counter(frame["sample_id"]).items() if count > 1]
    if twice:
        raise InputError(f"file {where}: sample {twice[0]} occurs more than once; expected one row a sample")
    if sample_ids is not None:
        present, wanted = set(frame["sample_id"]), set(sample_ids)
        if missing := sorted(wanted - present):
            raise InputError(
                f"file {where}: sample {missing[0]} of the manifest has no budget ({len(missing)} missing); "
                "expected a row for every sample"
            )
        if besides := sorted(present - wanted):
            raise InputError(
                f"file {where}: sample {besides[0]} is not in the manifest ({len(besides)} such); "
                "expected only samples of the manifest"
            )
    if admissible is not None:
        allowed = sorted(set(admissible))
        wrong = frame[~frame["budget"].isin(allowed)]
        if len(wrong):
            row = wrong.iloc[0]
            raise InputError(
                f"file {where}: sample {row['sample_id']} has budget {row['budget']}; "
                f"expected one of {', '.join(map(str, allowed))}"
            )
