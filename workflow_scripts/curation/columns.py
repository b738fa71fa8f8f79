"""Columns of Arrow tables from and to Python's values, without missing ones, by way of their buffers.

`pyarrow.array` and `to_numpy` do the same, but load pandas first, which takes longer than most of what is done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

NAME = pa.dictionary(pa.int16(), pa.string())
_NUMBERS = {pa.int16(): np.int16, pa.int32(): np.int32, pa.int64(): np.int64}


def numbers(values: Iterable[int], type_: pa.DataType) -> pa.Array:
    """Whole numbers. type_: int16, int32 or int64."""
    found = np.fromiter(values, _NUMBERS[type_])
    return pa.Array.from_buffers(type_, len(found), [None, pa.py_buffer(found)])


def flags(values: Iterable[bool]) -> pa.BooleanArray:
    """Truth values."""
    found = np.fromiter(values, bool)
    return pa.Array.from_buffers(pa.bool_(), len(found), [None, pa.py_buffer(np.packbits(found, bitorder="little"))])


def texts(values: Iterable[str]) -> pa.StringArray:
    """Texts, of less than 2 GiB in all."""
    encoded = [value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    ends[1:] = np.cumsum(np.fromiter(map(len, encoded), np.int32))
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def names(values: Iterable[str]) -> pa.DictionaryArray:
    """Texts of which there are few different ones, by these in order of appearance."""
    codes: dict[str, int] = {}
    indices = numbers([codes.setdefault(value, len(codes)) for value in values], pa.int16())
    return pa.DictionaryArray.from_arrays(indices, texts(codes))


def values(column: pa.ChunkedArray) -> list[Any]:
    """Values of a column of one of these types."""
    if pa.types.is_dictionary(column.type):
        found, known = codes(column)
        return [known[code] for code in found.tolist()]
    return [value for chunk in column.chunks for value in _values(chunk)]


def codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """A column of names: for each row the place of its name, int16 [rows], and the names."""
    whole = column.unify_dictionaries().combine_chunks()
    return _numbers(whole.indices), whole.dictionary.to_pylist()


def _values(array: pa.Array) -> list[Any]:
    _, *buffers = array.buffers()
    if pa.types.is_string(array.type):
        ends = np.frombuffer(buffers[0], np.int32)[array.offset : array.offset + len(array) + 1].tolist()
        data = buffers[1].to_pybytes() if buffers[1] is not None else b""
        if data.isascii():
            text = data.decode()
            return [text[start:end] for start, end in pairwise(ends)]
        return [data[start:end].decode() for start, end in pairwise(ends)]
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(buffers[0], np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)].astype(bool).tolist()
    return _numbers(array).tolist()


def _numbers(array: pa.Array) -> np.ndarray:
    return np.frombuffer(array.buffers()[1], _NUMBERS[array.type])[array.offset : array.offset + len(array)]
