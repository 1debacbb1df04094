from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.data import DataFile, load_rows
from gradstore.errors import DataError, UsageError
from gradstore.records import canonical_json


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def named(file: DataFile) -> Counter[tuple[str, bytes]]:
    return Counter((row.id, canonical_json(row.record)) for row in file.rows)


TEXTS = st.text(max_size=6)
RECORDS = st.fixed_dictionaries({"text": TEXTS}, optional={"n": st.integers(-3, 3), "tags": st.lists(TEXTS)})


@given(rows=st.lists(RECORDS, min_size=1, max_size=12), seed=st.integers(0, 99))
def test_ids_do_not_depend_on_row_order(
    rows: list[dict[str, Any]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    shuffled = random.Random(seed).sample(rows, len(rows))
    first = load_rows(write(folder / "a.jsonl", rows))
    second = load_rows(write(folder / "b.jsonl", shuffled))
    assert len({row.id for row in first.rows}) == len(rows)
    assert named(first) == named(second)
    assert first.duplicates == second.duplicates == len(rows) - len({canonical_json(row) for row in rows})


@given(rows=st.lists(RECORDS, min_size=1, max_size=8))
def test_ids_and_digest_do_not_depend_on_the_kind_of_file(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pa = pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    from pyarrow import parquet

    datasets.disable_progress_bars()
    folder = tmp_path_factory.mktemp("kinds")
    schema = pa.schema([("tags", pa.list_(pa.string())), ("text", pa.string()), ("n", pa.int64())])
    table = pa.Table.from_pylist(rows, schema)
    parquet.write_table(table, folder / "a.parquet")
    datasets.Dataset(table).save_to_disk(str(folder / "a"))
    (folder / "a.json").write_text(json.dumps(rows))
    files = [load_rows(write(folder / "a.jsonl", rows))]
    files += [load_rows(folder / name) for name in ("a.json", "a.parquet", "a")]
    assert len({file.digest for file in files}) == 1
    for file in files[1:]:
        assert [(row.id, row.record, row.source) for row in file.rows] == [
            (row.id, row.record, row.source) for row in files[0].rows
        ]


def test_a_null_field_is_the_same_as_no_field(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "a", "m": {"x": None}},
        {"text": "a", "m": {}, "id": None, "z": None},
    ]
    file = load_rows(write(tmp_path / "a.jsonl", rows))
    assert file.rows[1].id == f"{file.rows[0].id}#2"
    assert file.duplicates == 1
    assert [row.record for row in file.rows] == rows


def test_equal_rows_are_kept_under_numbered_ids(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": 7, "text": "a"},
        {"id": "7", "text": "a"},
        {"id": "7#2", "text": "b"},
        {"id": 7, "text": "a"},
    ]
    file = load_rows(write(tmp_path / "a.jsonl", rows))
    assert [row.id for row in file.rows] == ["7", "7#3", "7#2", "7#4"]
    assert file.duplicates == 2


def test_content_hashes_are_24_digits_without_the_id(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "a"}, {"text": "b", "id": ""}, {"text": "a", "id": "mine"}]
    file = load_rows(write(tmp_path / "a.jsonl", rows))
    assert [len(row.id) for row in file.rows] == [24, 24, 4]
    assert file.duplicates == 1


def test_one_id_for_two_contents_is_refused_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"id": "x", "text": "a"}, {"text": "b"}, {"id": "x", "text": "c"}])
    with pytest.raises(
        DataError, match=r"a\.jsonl:3: the id 'x' was given to another row at .*a\.jsonl:1; .*drop the id"
    ):
        load_rows(path)


def test_digest_follows_ids_contents_order_and_format(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "x", "text": "a"}, {"id": "y", "text": "b"}]
    variants = [
        rows,
        rows[::-1],
        rows[:1],
        [{**rows[0], "id": "z"}, rows[1]],
        [{**rows[0], "text": "c"}, rows[1]],
    ]
    files = [load_rows(write(tmp_path / f"{i}.jsonl", variant)) for i, variant in enumerate(variants)]
    assert len({file.digest for file in files}) == len(variants)
    assert load_rows(tmp_path / "0.jsonl").digest == files[0].digest


def test_source_and_subtask_come_from_the_row_or_the_file_name(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "a", "dataset": "flan", "source": "x", "subtask": "dates"},
        {"text": "b", "source": "web", "subtask": 3},
        {"text": "c", "source": ["not", "text"]},
    ]
    file = load_rows(write(tmp_path / "my.pool.jsonl", rows))
    assert [(row.source, row.subtask) for row in file.rows] == [
        ("flan", "dates"),
        ("web", "3"),
        ("my.pool", ""),
    ]
    assert [row.where for row in file.rows] == [f"{file.path}:{n}" for n in (1, 2, 3)]


def test_a_given_format_overrules_detection(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"messages": [], "text": "a"}])
    assert (load_rows(path).fmt, load_rows(path).detected) == ("messages", True)
    assert (load_rows(path, fmt="text").fmt, load_rows(path, fmt="text").detected) == ("text", False)


def test_limit_reads_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\nbroken\n')
    assert [row.record["text"] for row in load_rows(path, limit=2).rows] == ["a", "b"]
    with pytest.raises(UsageError, match="limit must be at least 1 row, not 0"):
        load_rows(path, limit=0)


def test_every_row_is_checked_against_the_first_ones_format(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:2: the field 'text' is missing in a row of format text"):
        load_rows(write(tmp_path / "a.jsonl", [{"text": "a"}, {"messages": []}]))


@pytest.mark.parametrize("data", ["", "\n \n", "[]"])
def test_empty_files_are_refused(data: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(data)
    with pytest.raises(DataError, match=r"a\.jsonl: holds no rows"):
        load_rows(tmp_path / "a.jsonl")


def test_unknown_format_suggests_a_close_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'message'; did you mean 'messages'"):
        load_rows(tmp_path / "a.jsonl", fmt="message")


def test_values_that_cannot_be_hashed_or_stored_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "half \\ud83d"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: half a character"):
        load_rows(path)
    path.write_text('{"text": "a", "id": 1.5}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: the id must be text or a whole number, not float"):
        load_rows(path)
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([{"text": "a", "raw": b"\x00"}]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet row 1: a value that JSON cannot hold .*bytes"):
        load_rows(tmp_path / "a.parquet")


def test_the_pool_loads_with_its_own_ids(shared: Path) -> None:
    file = load_rows(shared / "data" / "pool.jsonl.gz")
    assert (file.fmt, file.duplicates, len(file.rows)) == ("messages", 0, 24560)
    assert len({row.id for row in file.rows}) == 24560
    assert all(row.id == row.record["id"] and row.source == row.record["dataset"] for row in file.rows)
    targets = load_rows(shared / "data" / "targets" / "bbh_val.jsonl")
    assert len({row.subtask for row in targets.rows}) == 27
