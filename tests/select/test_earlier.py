"""A choice takes the place of an earlier one and of nothing else, which is known before any work."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, StoreWriteError, UsageError
from gradstore.select import Picked
from gradstore.select.output import read_record
from gradstore.select.output.rows import check_place

FORMATS = {"a.jsonl": "jsonl", "a.parquet": "parquet", "a.json": "llama-factory", "a.txt": "ids"}


def choice(folder: Path, budget: int = 4, **options: Any) -> Picked:
    place = folder / "s.zarr"
    if not place.exists():
        rows = [{"instruction": f"say {i}", "output": str(i)} for i in range(12)]
        gradstore.import_arrays(place, name="pool", gradients=np.eye(12), rows=rows)
    return gradstore.select(place, selector="random", budget=budget, **options)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_rows_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "mine"}\n')
    with pytest.raises(StoreWriteError, match=f"{name} is there already and is no earlier choice"):
        choice(tmp_path).write(tmp_path / name)
    assert (tmp_path / name).read_text() == '{"text": "mine"}\n'
    assert not (tmp_path / "a.selection.json").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_an_earlier_choice_is_replaced(tmp_path: Path, name: str) -> None:
    choice(tmp_path, 4).write(tmp_path / name)
    choice(tmp_path, 7).write(tmp_path / name)
    assert read_record(tmp_path / "a.selection.json")["picked"] == 7
    assert check_place(tmp_path / name, None) == FORMATS[name]


@pytest.mark.parametrize("name", FORMATS)
def test_rows_beside_the_record_of_another_choice_are_not_written_over(tmp_path: Path, name: str) -> None:
    """A pool in ``a.jsonl``, from which rows were chosen into ``a.parquet``."""
    choice(tmp_path, 12).write(tmp_path / name)
    other = next(each for each in FORMATS if each != name)
    choice(tmp_path, 4).write(tmp_path / other)
    with pytest.raises(StoreWriteError, match="no earlier choice"):
        check_place(tmp_path / name, None)


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    choice(tmp_path).write(tmp_path / "a", fmt="jsonl")
    with pytest.raises(StoreWriteError, match="no earlier choice"):
        check_place(tmp_path / "a", "datasets")


@pytest.mark.parametrize("beside", ["a.selection.json", "a.scores.parquet"])
def test_what_would_stand_beside_the_rows_is_not_written_over(tmp_path: Path, beside: str) -> None:
    (tmp_path / beside).write_text("{}")
    with pytest.raises(StoreWriteError, match=f"{beside} is there already"):
        check_place(tmp_path / "a.jsonl", None)


@pytest.mark.parametrize(
    ("info", "error", "told"),
    [
        ({"a": {"file_name": "mine.json"}}, UsageError, "has an entry 'a' for another file"),
        ([1], DataError, "holds no entries by name"),
    ],
)
def test_an_entry_of_llama_factory_is_not_written_over(
    tmp_path: Path, info: Any, error: type[Exception], told: str
) -> None:
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(error, match=told):
        check_place(tmp_path / "a.json", None)


def test_a_folder_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> NoReturn:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreWriteError, match="Read-only file system; name a file in another folder"):
        check_place(tmp_path / "a.jsonl", None)
