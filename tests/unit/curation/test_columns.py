"""Columns made by hand against those that pyarrow makes."""

from typing import Any

import pyarrow as pa
import pytest

from workflow_scripts.curation import columns

TEXTS = ["", "a", "é“😀", "a", "x\x00y"]
CASES: list[tuple[pa.Array, pa.Array]] = [
    (columns.texts(TEXTS), pa.array(TEXTS, pa.string())),
    (columns.names(TEXTS), pa.array(TEXTS, pa.string()).dictionary_encode().cast(columns.NAME)),
    (columns.flags([True, False, False] * 7), pa.array([True, False, False] * 7, pa.bool_())),
    *((columns.numbers([0, -5, 9], kind), pa.array([0, -5, 9], kind)) for kind in (pa.int16(), pa.int32(), pa.int64())),
]


@pytest.mark.parametrize(("made", "right"), CASES)
def test_the_same_as_pyarrow_makes(made: Any, right: Any) -> None:
    made.validate(full=True)
    assert made.equals(right)
    parts = [made, made.slice(1, 2), made.slice(2, 0), made.slice(2)]
    assert columns.values(pa.chunked_array(parts)) == [value for part in parts for value in part.to_pylist()]


def test_nothing() -> None:
    for made in (columns.texts([]), columns.names([]), columns.flags([]), columns.numbers([], pa.int32())):
        made.validate(full=True)
        assert len(made) == 0
        assert columns.values(pa.chunked_array([made])) == []


def test_names_of_several_parts() -> None:
    parts = pa.chunked_array([columns.names(["b", "a"]), columns.names(["c", "a", "a"])])
    assert columns.values(parts) == ["b", "a", "c", "a", "a"]
    found, known = columns.codes(parts)
    assert [known[code] for code in found] == columns.values(parts)
    assert sorted(known) == ["a", "b", "c"]
