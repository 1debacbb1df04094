from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.data.jsonlist import read_list
from gradstore.errors import DataError

PATH = Path("a.json")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LISTS = st.lists(VALUES, max_size=6)
LAYOUTS = st.sampled_from([None, 0, 2, "\t"])


def written(values: list[Any], indent: int | str | None, ascii_only: bool) -> str:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    return json.dumps(values, indent=indent) if "\ud800" <= max(text) <= "\udfff" else text


@given(values=LISTS, indent=LAYOUTS, ascii_only=st.booleans(), piece=st.integers(1, 40))
def test_elements_are_those_of_the_list_however_it_is_laid_out_and_read(
    values: list[Any], indent: int | str | None, ascii_only: bool, piece: int
) -> None:
    data = written(values, indent, ascii_only).encode()
    assert repr(list(read_list(io.BytesIO(data), PATH, piece))) == repr(values)


@given(
    values=LISTS,
    indent=LAYOUTS,
    piece=st.integers(1, 40),
    edit=st.tuples(
        st.integers(0, 400), st.integers(0, 3), st.sampled_from(["", ",", "]", '"', "x", "\n", "{", "\\"])
    ),
)
def test_a_broken_list_is_told_by_the_line_and_column_that_json_tells(
    values: list[Any], indent: int | str | None, piece: int, edit: tuple[int, int, str]
) -> None:
    text = json.dumps(values, indent=indent)
    place, cut, inserted = 1 + edit[0] % (len(text) - 1), edit[1], edit[2]
    text = text[:place] + inserted + text[place + cut :]
    try:
        expected = json.loads(text)
    except json.JSONDecodeError as error:
        message = rf"a\.json:{error.lineno}: broken JSON: .* at column {error.colno}; repair"
        with pytest.raises(DataError, match=message):
            list(read_list(io.BytesIO(text.encode()), PATH, piece))
    else:
        assert repr(list(read_list(io.BytesIO(text.encode()), PATH, piece))) == repr(expected)


def test_broken_bytes_are_told_by_line(tmp_path: Path) -> None:
    for piece in (1, 7, 100):
        with pytest.raises(DataError, match=r"a\.json:2: not UTF-8 \(byte 0xe9\)"):
            list(read_list(io.BytesIO(b'[{"a": "\xc3\xa9"},\n{"a": "caf\xe9"}]'), PATH, piece))


def test_a_broken_element_is_told_before_the_rest_is_read() -> None:
    stream = io.BytesIO(b'[{"a": 1}, {"b" 2}' + b', {"a": 1}' * 10_000 + b"]")
    elements = read_list(stream, PATH, 100)
    assert next(elements) == {"a": 1}
    with pytest.raises(DataError, match="column 17"):
        next(elements)
    assert stream.tell() < 1000
