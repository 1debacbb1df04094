from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradstore.data.files import read_records
from gradstore.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"text": "a", "n": 1},
    {"text": "Größe 👍\u2028x", "meta": {"y": [1.5]}},
    {"text": "c"},
]


def records(path: Path) -> list[dict[str, Any]]:
    return [record for _, record, _, _ in read_records(path)]


def places(path: Path) -> list[str]:
    reading = read_records(path)
    return [reading.where(number) for number, *_ in reading]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_jsonl(path: Path) -> Path:
    path.with_suffix(".jsonl").write_bytes(lines(ROWS))
    return path.with_suffix(".jsonl")


def write_jsonl_gz(path: Path) -> Path:
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(lines(ROWS)))
    return path.with_suffix(".jsonl.gz")


def write_json_list(path: Path) -> Path:
    path.with_suffix(".json").write_text(json.dumps(ROWS, indent=2))
    return path.with_suffix(".json")


def write_json_data(path: Path) -> Path:
    path.with_suffix(".json").write_text(json.dumps({"version": 1, "data": ROWS}))
    return path.with_suffix(".json")


def write_lines_as_json(path: Path) -> Path:
    path.with_suffix(".json").write_bytes(lines(ROWS))
    return path.with_suffix(".json")


def write_list_without_suffix(path: Path) -> Path:
    path.write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    return path


def write_parquet(path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("text", pa.string()), ("n", pa.int64()), ("meta", pa.struct([("y", pa.list_(pa.float64()))]))]
    )
    pq.write_table(pa.Table.from_pylist(ROWS, schema), path)  # known by its content: no suffix
    return path


def write_dataset(path: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    columns = {name: [row.get(name) for row in ROWS] for name in ("text", "n", "meta")}
    datasets.Dataset.from_dict(columns).save_to_disk(str(path))
    return path


WRITERS = [
    write_jsonl,
    write_jsonl_gz,
    write_json_list,
    write_json_data,
    write_lines_as_json,
    write_list_without_suffix,
    write_parquet,
    write_dataset,
]


@pytest.mark.parametrize("write", WRITERS)
def test_every_kind_of_file_gives_the_same_records(write: Callable[[Path], Path], tmp_path: Path) -> None:
    assert records(write(tmp_path / "rows")) == ROWS


def test_records_know_their_line_or_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n  \n{"text": "b"}\n')
    assert places(path) == [f"{path}:1", f"{path}:4"]
    path = write_parquet(tmp_path / "rows")
    assert places(path) == [f"{path} row {n}" for n in (1, 2, 3)]


def test_byte_order_mark_and_windows_line_ends_are_no_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
    assert [record["text"] for record in records(path)] == ["a", "b"]


def test_json_columns_of_datasets_come_back_as_values(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    if not hasattr(datasets, "Json"):
        pytest.skip("this version of datasets has no Json columns")
    datasets.disable_progress_bars()
    rows: list[dict[str, Any]] = [
        {"text": "a", "meta": {"x": 1}, "calls": [{"call": {"f": [2]}}, {}]},
        {"text": "b", "meta": {"y": "t"}},
    ]
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "meta": datasets.Json(),
            "calls": datasets.List({"call": datasets.Json()}),
        }
    )
    made = datasets.Dataset.from_list(rows, features=features)
    made.save_to_disk(str(tmp_path / "folder"))
    made.to_parquet(str(tmp_path / "rows.parquet"))
    for path in (tmp_path / "folder", tmp_path / "rows.parquet"):
        assert records(path) == rows


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', r"a\.jsonl:2: broken JSON: Expecting value at column \d+; repair"),
        ("a.jsonl", b'{"a": 1,\n', r"a\.jsonl:1: broken JSON: .* at column \d+; repair"),
        ("a.json", b'[{"a": 1},\n{"a" 1}]', r"a\.json:2: broken JSON: Expecting ':' delimiter at column 6"),
        ("a.json", b'{"rows": []}', r'a\.json: neither a list of rows nor an object with a list "data"'),
        (
            "a.jsonl",
            b'{"a": 1}\n[1, 2]\n',
            r"a\.jsonl:2: a row must be an object with named fields, not a list",
        ),
        ("a.json", b'[{"a": 1}, 7]', r"a\.json row 2: a row must be an object .*, not a int"),
        ("a.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}\n', r"a\.jsonl:2: not UTF-8 \(byte 0xe9\); convert"),
        ("a.json", b'[{"a": 1},\n{"a": "caf\xe9"}]', r"a\.json:2: not UTF-8 \(byte 0xe9\); convert"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9],
            r"a\.jsonl\.gz: broken gzip data .*; copy",
        ),
        (
            "a.jsonl",
            b'{"a": 1}\n' + b"[" * 200_000,
            r"a\.jsonl:2: JSON that cannot be read \(.*recursion.*\)",
        ),
        ("a.jsonl", b"9" * 5000, r"a\.jsonl:1: JSON that cannot be read \(.*4300 digits.*\)"),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet: not a whole Parquet file .*; write it again"),
    ],
)
def test_broken_files_are_named_with_line_and_way_out(
    name: str, data: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        records(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_foreign_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: No such file"):
        records(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"a folder without state\.json"):
        records(tmp_path)
    for split in ("test", "train"):
        (tmp_path / split).mkdir()
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds the splits test, train; name one, such as .*/test"):
        records(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.xlsx", "a.csv.gz"])
def test_a_table_is_not_called_broken_json(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    data = b"instruction,output\n1 + 1?,2\n"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(DataError) as told:
        records(path)
    suffix = name.removesuffix(".gz")[1:]
    assert str(told.value).startswith(
        f"{path}: {suffix} is not read; give .jsonl, .jsonl.gz, .json, .parquet or"
    )


def test_json_lines_are_read_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text('\n{"text": "x"}\n')
    assert records(path) == [{"text": "x"}]
