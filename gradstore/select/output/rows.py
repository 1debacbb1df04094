"""The chosen rows, in the form that a trainer reads."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstore.errors import DataError, StoreWriteError, UsageError, first_line
from gradstore.select.output.earlier import check_folder, check_replaced
from gradstore.storage.complete import fresh_folder, new_file

if TYPE_CHECKING:
    from gradstore.select.picked import Picked

__all__ = ["FORMATS", "Rows", "check_place", "write_rows"]

Rows = Iterator[Mapping[str, Any]]

FORMATS = ("jsonl", "parquet", "datasets", "llama-factory", "ids")
"""``jsonl``: one row a line; ``parquet``; ``datasets``: a folder for `datasets.load_from_disk`; ``llama-factory``: a
JSON array beside an entry of ``dataset_info.json``; ``ids``: one id a line."""
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".json": "llama-factory",
    ".txt": "ids",
    "": "datasets",
}


def check_place(path: Path, fmt: str | None) -> str:
    """The format that is named, or else that of the path's suffix; makes sure that it can be written there.

    Raises
    ------
    UsageError
        If there is no such format, or the suffix tells none.
    StoreWriteError
        If the folder is not there or cannot be written, or something is in the place that is no earlier choice.
    """
    if fmt is not None and fmt not in FORMATS:
        raise UsageError(f"unknown format {fmt!r}; choose from: {', '.join(FORMATS)}")
    found = fmt or _SUFFIXES.get(path.suffix.lower())
    if found is None:
        known = ", ".join(f"{suffix or 'none'}: {name}" for suffix, name in _SUFFIXES.items())
        raise UsageError(f"the suffix of {path} tells no format ({known}); name one with --format")
    if found == "datasets" and importlib.util.find_spec("datasets") is None:
        raise UsageError("a datasets folder needs the package datasets: pip install datasets")
    if path.is_dir():
        raise StoreWriteError(f"{path} is a folder already; name a new one, or remove it first")
    check_folder(path)
    check_replaced(path, found)
    return found


def write_rows(picked: Picked, rows: Rows, path: Path, fmt: str) -> None:
    """Write the rows of a choice, which `rows` yields in pick order.

    Raises
    ------
    StoreWriteError
        If the place cannot be written.
    DataError
        If the rows do not fit the format, such as columns whose type changes from row to row.
    """
    writers: dict[str, Callable[[Picked, Rows, Path], None]] = {
        "jsonl": _jsonl,
        "parquet": _parquet,
        "datasets": _datasets,
        "llama-factory": _llama_factory,
        "ids": _ids,
    }
    writers[fmt](picked, rows, path)


def _jsonl(picked: Picked, rows: Rows, path: Path) -> None:  # noqa: ARG001
    with new_file(path) as file:
        for row in rows:
            file.write(_json(row) + b"\n")


def _ids(picked: Picked, rows: Rows, path: Path) -> None:  # noqa: ARG001
    with new_file(path) as file:
        file.writelines(f"{name}\n".encode() for name in picked.ids)


def _parquet(picked: Picked, rows: Rows, path: Path) -> None:  # noqa: ARG001
    import pyarrow.parquet as pq

    table = _table(rows)
    with new_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def _datasets(picked: Picked, rows: Rows, path: Path) -> None:  # noqa: ARG001
    from datasets import Dataset, disable_progress_bars, enable_progress_bars
    from datasets.utils.logging import is_progress_bar_enabled

    from gradstore.records import canonical_json, digest

    listed = list(rows)
    made = Dataset(_table(iter(listed)), fingerprint=digest(*map(canonical_json, listed))[:16])
    shown = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        with fresh_folder(path) as folder:
            made.save_to_disk(folder)
    finally:
        if shown:
            enable_progress_bars()


def _llama_factory(picked: Picked, rows: Rows, path: Path) -> None:  # noqa: ARG001
    """A JSON array, and its entry in the ``dataset_info.json`` beside it; other entries stay."""
    listed = list(rows)
    entry = _entry(listed, path)
    place = path.parent / "dataset_info.json"
    known: dict[str, Any] = {}
    if place.exists():
        try:
            known = json.loads(place.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{place} is no JSON: {error}; mend or remove it first") from error
    with new_file(path) as file:
        file.write(b"[\n" + b",\n".join(map(_json, listed)) + b"\n]\n")
    with new_file(place) as file:
        file.write(json.dumps({**known, path.stem: entry}, indent=2, ensure_ascii=False).encode() + b"\n")


def _entry(rows: list[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """How LLaMA-Factory reads these rows."""
    shared = set.intersection(*(set(row) for row in rows)) if rows else set()
    if "messages" in shared or "conversations" in shared:
        column = "messages" if "messages" in shared else "conversations"
        keys = {key for row in rows for message in row[column] for key in message}
        entry = {"file_name": path.name, "formatting": "sharegpt", "columns": {"messages": column}}
        if "role" in keys:
            tags = {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
            }
            entry["tags"] = tags | {"system_tag": "system"}
        return entry
    for prompt, answer, more in (
        ("instruction", "output", {"query": "input", "system": "system"}),
        ("prompt", "completion", {}),
        ("prompt", "response", {}),
    ):
        if {prompt, answer} <= shared:
            columns = {"prompt": prompt, "response": answer}
            columns |= {name: column for name, column in more.items() if column in shared}
            return {"file_name": path.name, "columns": columns}
    raise DataError(
        "LLaMA-Factory reads rows with messages, conversations, instruction and output, or prompt and completion; "
        f"these have in common: {', '.join(sorted(shared)) or 'nothing'}. Write them with --format jsonl"
    )


def _table(rows: Rows) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pylist([dict(row) for row in _same_fields(list(rows))])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"the rows do not fit one table ({first_line(error)}); write them with --format jsonl"
        ) from error


def _same_fields(rows: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return ({name: row.get(name) for name in names} for row in rows)


def _json(row: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold but an escape can
        return json.dumps(row).encode()
