"""The allocation file: it covers its manifest exactly, and every budget is admissible."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from workflow_scripts.budgets.allocation import read_allocation, write_allocation
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import InputError

IDS = ["a", "b", "c"]


def decisions(*budgets: int) -> list[Decision]:
    return [Decision(budget, {"why": budget}) for budget in budgets]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hybrid-qwen2.5-vl-3b.parquet"
    write_allocation(path, IDS, decisions(8, 64, 16), admissible=[8, 16, 64])
    assert [str(field.type) for field in pq.read_schema(path)] == ["string", "int32", "string"]
    frame = read_allocation(path, sample_ids=IDS, admissible=[8, 16, 64])
    assert frame["sample_id"].tolist() == IDS
    assert frame["budget"].tolist() == [8, 64, 16]
    assert json.loads(frame["evidence"][1]) == {"why": 64}
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


def test_an_inadmissible_budget_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(InputError, match="sample b has budget 12; expected one of 8, 16"):
        write_allocation(path, IDS, decisions(8, 12, 16), admissible=[8, 16])
    assert not path.exists()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (["a", "b", "c", "d"], r"sample d of the manifest has no budget \(1 missing\)"),
        (["a", "b"], r"sample c is not in the manifest \(1 such\)"),
    ],
)
def test_an_allocation_of_another_manifest_is_refused(tmp_path: Path, manifest: list[str], message: str) -> None:
    path = tmp_path / "x.parquet"
    write_allocation(path, IDS, decisions(8, 8, 8), admissible=[8])
    with pytest.raises(InputError, match=message):
        read_allocation(path, sample_ids=manifest)


def test_a_sample_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample a occurs more than once"):
        write_allocation(tmp_path / "x.parquet", ["a", "a"], decisions(8, 8), admissible=[8])


def test_other_files_are_refused(tmp_path: Path) -> None:
    missing, broken, other = tmp_path / "missing.parquet", tmp_path / "broken.parquet", tmp_path / "other.parquet"
    broken.write_text("not parquet")
    pd.DataFrame({"sample_id": ["a"], "budget": [8]}).to_parquet(other)
    for path, message in ((missing, "missing"), (broken, "not readable"), (other, "evidence")):
        with pytest.raises(InputError, match=message):
            read_allocation(path)


def test_uniform_gives_every_sample_the_same(tmp_path: Path, write_manifest) -> None:
    manifest = write_manifest([("s1", "v", ["What?"]), ("s2", "v", ["Who?"])])
    output = tmp_path / "uniform-16.parquet"
    command = ["-m", "workflow_scripts.budgets.uniform", "--manifest", manifest, "--frames", "16", "--output", output]
    subprocess.run([sys.executable, *map(str, command)], check=True)
    frame = read_allocation(output, sample_ids=["s1", "s2"], admissible=[16])
    assert frame["budget"].tolist() == [16, 16]
    assert frame["evidence"].tolist() == ["{}", "{}"]


def test_uniform_names_a_missing_manifest(tmp_path: Path) -> None:
    command = ["-m", "workflow_scripts.budgets.uniform", "--manifest", "no.parquet", "--frames", "8", "--output", "o"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: file no.parquet is missing; expected a Parquet file\n"
