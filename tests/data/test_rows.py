"""What it means that rows stay on disk."""

from __future__ import annotations

import gzip
import json
import os
import resource
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.data import load_rows
from gradstore.data.identity import content_hash
from gradstore.errors import DataError
from gradstore.records import digest

RECORDS: list[dict[str, Any]] = [
    {"id": "x", "text": "Größe"},
    {"text": "b"},
    {"text": "b", "source": "web"},
    {"id": "x", "text": "Größe"},
    {"text": "b"},
    {"text": "b"},
]


def lines(records: list[dict[str, Any]], path: Path) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def packed(records: list[dict[str, Any]], path: Path) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode(), 1))
    return path


def listed(records: list[dict[str, Any]], path: Path) -> Path:
    path.write_text(json.dumps(records))
    return path


def parquet(records: list[dict[str, Any]], path: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    names = {name for record in records for name in record}
    pq.write_table(pa.table({name: [record.get(name) for record in records] for name in sorted(names)}), path)
    return path


Writer = Callable[[list[dict[str, Any]], Path], Path]
KINDS = pytest.mark.parametrize("write", [lines, packed, listed, parquet])


@KINDS
def test_memory_does_not_grow_with_the_data(write: Writer, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        text = "".join(chr(97 + i % 23) for i in range(1900))
        path = write([{"id": f"pool_{i}", "text": f"{i}{text}"} for i in range(count)], tmp_path / str(count))
        tracemalloc.start()
        file = load_rows(path)
        assert sum(len(row.record["text"]) > 1900 for row in file.rows) == count
        file.subset(range(0, count, 2))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # modules imported on the way
    # 150 bytes a row, of which the data has 2000
    assert peak(8000) - peak(2000) < 6000 * 150 + 2**19


@KINDS
def test_many_threads_read_at_once(write: Writer, tmp_path: Path) -> None:
    count = 500
    path = write([{"text": f"{i} " * (i % 50)} for i in range(count)], tmp_path / "a")
    rows = load_rows(path).rows
    order = np.random.default_rng(0).integers(0, count, 4000).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: rows[i].record["text"], order))
    assert found == [f"{i} " * (i % 50) for i in order]


def test_rows_are_a_sequence(tmp_path: Path) -> None:
    rows = load_rows(lines(RECORDS, tmp_path / "a.jsonl")).rows
    ids = [row.id for row in rows]
    assert (len(rows), rows[-1], rows[np.int64(2)]) == (6, rows[5], rows[2])
    assert [row.id for row in rows[4:0:-2]] == ids[4:0:-2]
    assert isinstance(rows[:3], list)
    for index in (6, -7):
        with pytest.raises(IndexError):
            rows[index]


@pytest.mark.parametrize("change", ["longer", "as long"])
def test_a_file_that_changes_after_it_was_read_is_refused(change: str, tmp_path: Path) -> None:
    path = lines(RECORDS, tmp_path / "a.jsonl")
    rows = load_rows(path).rows
    if change == "longer":
        with path.open("a") as file:
            file.write('{"text": "more"}\n')
    else:
        state = path.stat()
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    with pytest.raises(
        DataError, match=r"a\.jsonl: has changed since its rows were checked.*; run the command"
    ):
        rows[0]


def test_other_kinds_of_files_may_vanish_once_they_are_read(tmp_path: Path) -> None:
    path = packed(RECORDS, tmp_path / "a.jsonl.gz")
    rows = load_rows(path).rows
    path.unlink()
    assert [row.record for row in rows] == RECORDS


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("count", [50, 5000])
def test_a_full_temporary_disk_is_told_with_the_way_out(count: int, tmp_path: Path) -> None:
    path = packed([{"text": f"{i}" * 100} for i in range(count)], tmp_path / "a.jsonl.gz")
    with (
        longest_file(4096),
        pytest.raises(DataError, match=r"a\.jsonl\.gz: its rows do not fit .*TMPDIR") as caught,
    ):
        load_rows(path)
    assert "\n" not in str(caught.value)


@given(indices=st.lists(st.integers(-6, 5), max_size=8))
def test_a_subset_has_the_rows_the_ids_and_its_own_digest(
    indices: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = load_rows(packed(RECORDS, tmp_path_factory.mktemp("subset") / "a.jsonl.gz"))
    part = whole.subset(indices)
    rows = list(whole.rows)
    assert list(part.rows) == [rows[i] for i in indices]
    assert list(part.ids) == [rows[i].id for i in indices]
    assert np.array_equal(part.contents, whole.contents[indices].reshape(-1, 12))
    assert np.array_equal(part.sizes, whole.sizes[np.asarray(indices, int)])
    assert part.duplicates == len(indices) - len({content.tobytes() for content in part.contents})
    assert (part.digest == whole.digest) == ([i % 6 for i in indices] == list(range(6)))
    assert (part.fmt, part.path, part.detected) == (whole.fmt, whole.path, whole.detected)


def test_a_subset_of_a_subset_is_told_by_truth_values_too(tmp_path: Path) -> None:
    whole = load_rows(lines(RECORDS, tmp_path / "a.jsonl"))
    part = whole.subset(np.arange(6) % 2 == 1).subset([2, 0])
    assert [row.where for row in part.rows] == [f"{whole.path}:6", f"{whole.path}:2"]
    assert list(part.ids) == [whole.ids[5], whole.ids[1]]


@KINDS
def test_contents_sizes_and_digest_are_those_of_the_rows(write: Writer, tmp_path: Path) -> None:
    file = load_rows(write(RECORDS, tmp_path / "a"))
    hashes = [content_hash(row.record, "") for row in file.rows]
    assert [content.tobytes().hex() for content in file.contents] == hashes
    parts = [part.encode() for pair in zip(file.ids, hashes, strict=True) for part in pair]
    assert file.digest == digest(file.fmt.encode(), *parts)
    assert file.ids[:] == list(file.ids) == [row.id for row in file.rows]
    escaped = write in (lines, packed)  # there the text is that of the file
    assert file.sizes.tolist() == [
        len(json.dumps(record, ensure_ascii=escaped).encode()) for record in RECORDS
    ]


def test_all_copies_of_one_row_have_ids_of_their_own_in_order(tmp_path: Path) -> None:
    file = load_rows(lines([{"text": "a"}] * 1000, tmp_path / "a.jsonl"))
    first = file.ids[0]
    assert list(file.ids) == [first, *(f"{first}#{number}" for number in range(2, 1001))]
    assert file.duplicates == 999


def test_values_nested_too_deep_or_an_id_of_half_a_character_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    depth = sys.getrecursionlimit() // 2
    path.write_text('{"text": "a", "x": ' + "[" * depth + "]" * depth + "}\n")
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*(too deep|recursion).*; take the row out"):
        load_rows(path)
    path.write_text('{"text": "a", "id": "\\ud83d"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: half a character"):
        load_rows(path)
