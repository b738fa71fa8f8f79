"""Files appear whole or not at all."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import atomic_path, read_parquet, write_json, write_parquet, write_yaml


def test_replaces_on_success(tmp_path: Path) -> None:
    target = tmp_path / "new" / "qwen2.5-vl.json"
    for text in ("one", "two"):
        with atomic_path(target) as partial:
            partial.write_text(text)
            assert partial.parent == target.parent
        assert target.read_text() == text
    assert [path.name for path in target.parent.iterdir()] == ["qwen2.5-vl.json"]


def test_leaves_the_old_file_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_writer_believed_dead_does_not_put_a_half_file_in_place(tmp_path: Path) -> None:
    target = tmp_path / "shard-0.arrow"
    (tmp_path / "shard-0.arrow.0.partial").write_text("left by a killed job")
    (tmp_path / "shard-0.arrow.rows.arrow").write_text("another file")
    old, new = atomic_path(target), atomic_path(target)
    old.__enter__().write_text("old")
    new.__enter__().write_text("half")
    with pytest.raises(FileNotFoundError):
        old.__exit__(None, None, None)
    assert not target.exists()
    new.__exit__(None, None, None)
    assert target.read_text() == "half"
    assert {path.name for path in tmp_path.iterdir()} == {"shard-0.arrow", "shard-0.arrow.rows.arrow"}


def test_replaces_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    (target / "stale").mkdir(parents=True)
    with atomic_path(target) as partial:
        partial.mkdir()
        (partial / "config.json").write_text("{}")
    assert [path.name for path in target.iterdir()] == ["config.json"]


def test_json_refuses_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"loss": float("nan")}, tmp_path / "summary.json")
    assert not (tmp_path / "summary.json").exists()


def test_yaml_keeps_the_order(tmp_path: Path) -> None:
    write_yaml({"b": 1, "a": [1, 2]}, tmp_path / "spec.yaml")
    assert (tmp_path / "spec.yaml").read_text() == "b: 1\na:\n- 1\n- 2\n"


def test_parquet_round_trip(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sample_id": ["a", "b"], "budget": pd.array([8, 64], dtype="int32")})
    write_parquet(frame, tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "b.parquet"), frame, check_dtype=False)
    nested = pa.table({"conversations": [[{"from": "human", "value": "Why?"}]]})
    write_parquet(nested, tmp_path / "n.parquet")
    assert read_parquet(tmp_path / "n.parquet")["conversations"][0][0]["value"] == "Why?"


def test_parquet_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.parquet is missing"):
        read_parquet(tmp_path / "missing.parquet")
    (tmp_path / "broken.parquet").write_text("not parquet")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        read_parquet(tmp_path / "broken.parquet")
    write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column budget is missing"):
        read_parquet(tmp_path / "a.parquet", ["a", "budget"])
