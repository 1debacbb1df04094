"""What a choice may take the place of: an earlier one, and nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from gradstore.errors import DataError, GradstoreError, StoreWriteError, UsageError
from gradstore.select.output.record import read_record

__all__ = ["check_folder", "check_replaced", "record_place", "scores_place"]


def record_place(path: Path) -> Path:
    """Where the record of the choice in `path` lies."""
    return path.with_suffix(".selection.json")


def scores_place(path: Path) -> Path:
    """Where the scores of the choice in `path` lie."""
    return path.with_suffix(".scores.parquet")


def check_folder(path: Path) -> None:
    """Refuse before the work what would fail after it: a file in a folder that cannot be written.

    Raises
    ------
    StoreWriteError
    """
    if not path.parent.is_dir():
        raise StoreWriteError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()  # rights alone do not tell of a read-only disk
    except OSError as error:
        raise StoreWriteError(
            f"{path} cannot be written: {error.strerror or error}; name a file in another folder"
        ) from error


def check_replaced(path: Path, fmt: str) -> None:
    """Refuse to replace what is no earlier choice: rows without their record, or with that of another number of rows.

    Raises
    ------
    StoreWriteError
    DataError, UsageError
        If LLaMA-Factory's ``dataset_info.json`` cannot be read, or has an entry of this name for another file.
    """
    chosen = _chosen_rows(record_place(path))
    for place in (record_place(path), scores_place(path)):
        if place.exists() and chosen is None:
            raise _not_ours(place)
    if path.exists() and (chosen is None or fmt == "datasets" or _rows_of(path, fmt, chosen) != chosen):
        raise _not_ours(path)
    if fmt == "llama-factory":
        _check_entry(path)


def _not_ours(place: Path) -> StoreWriteError:
    return StoreWriteError(
        f"{place} is there already and is no earlier choice: give another name, or remove it"
    )


def _chosen_rows(record: Path) -> int | None:
    """How many rows a record tells of; None if it is none."""
    try:
        return int(read_record(record)["picked"])
    except (GradstoreError, KeyError, TypeError, ValueError):
        return None


def _rows_of(path: Path, fmt: str, most: int) -> int:
    """Rows of a file, counted until they are more than `most`; -1 if it is of another format."""
    counts: dict[str, Callable[[Path, int], int]] = {
        "parquet": _table_rows,
        "llama-factory": _array_rows,
    }
    try:
        return counts.get(fmt, _lines)(path, most)
    except (OSError, ValueError, TypeError, RecursionError):
        return -1


def _lines(path: Path, most: int) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in zip(file, range(most + 1), strict=False))


def _table_rows(path: Path, most: int) -> int:  # noqa: ARG001
    import pyarrow.parquet as pq

    found: int = pq.read_metadata(path).num_rows
    return found


def _array_rows(path: Path, most: int) -> int:  # noqa: ARG001
    return len(json.loads(path.read_text(encoding="utf-8")))


def _check_entry(path: Path) -> None:
    place = path.parent / "dataset_info.json"
    if not place.exists():
        return
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no JSON: {error}; mend or remove it first") from error
    if not isinstance(known, dict):
        raise DataError(f"{place} holds no entries by name; mend or remove it first")
    entry = known.get(path.stem)
    if entry is not None and not (isinstance(entry, dict) and entry.get("file_name") == path.name):
        raise UsageError(f"{place} has an entry {path.stem!r} for another file: give the choice another name")
