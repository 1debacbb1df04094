"""Records of a data file, one by one, each with the place it comes from."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from gradstore.errors import DataError

__all__ = ["Located", "read_records"]

Located = tuple[str, dict[str, Any]]
"""Where a record stands (``"train.jsonl:12"``), and the record."""

_BOM = b"\xef\xbb\xbf"


def read_records(path: Path) -> Iterator[Located]:
    """Records of JSON lines, JSON, Parquet or a `datasets` folder, told apart by content.

    Parameters
    ----------
    path : Path
        JSON and JSON lines may be gzipped. A folder is one that ``Dataset.save_to_disk`` wrote.

    Raises
    ------
    DataError
        If the file cannot be read, or a row is broken or no object; with file and line.
    """
    try:
        for where, record in _reader(path):
            if not isinstance(record, dict):
                kind = type(record).__name__
                raise DataError(f"{where}: a row must be an object with named fields, not a {kind}")
            yield where, record
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: broken gzip data ({error}); copy or compress the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _reader(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_dir():
        return _dataset_folder(path)
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"PAR1" or path.suffix == ".parquet":
        return _parquet(path)
    with _open(path) as stream:
        first = next((line for line in stream if line.strip()), b"").removeprefix(_BOM).lstrip()
    name = path.name.removesuffix(".gz")
    return _json(path) if first.startswith(b"[") or name.endswith(".json") else _lines(path)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _parse(data: bytes, path: Path, line: int) -> Any:
    """The JSON value of `data`, which begins in line `line` of the file."""
    data = data.removeprefix(_BOM)
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        place, byte = f"{path}:{line}", f"0x{data[error.start]:02x}"
        raise DataError(
            f"{place}: not UTF-8 (byte {byte}); convert the file to UTF-8, such as with iconv"
        ) from error
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of thousands of digits
        raise DataError(f"{path}:{line}: JSON that cannot be read ({error}); take the row out") from error


def _broken(path: Path, line: int, error: json.JSONDecodeError) -> DataError:
    return DataError(
        f"{path}:{line}: broken JSON: {error.msg} at column {error.colno}; repair the line or take it out"
    )


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield f"{path}:{number}", _parse(line, path, number)
            except json.JSONDecodeError as error:
                raise _broken(path, number, error) from error


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    with _open(path) as stream:
        data = stream.read()
    try:
        value = _parse(data, path, 1)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines under another name
            yield from _lines(path)
            return
        raise _broken(path, error.lineno, error) from error
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise DataError(
            f'{path}: neither a list of rows nor an object with a list "data"; write one, or JSON lines'
        )
    for number, record in enumerate(rows, 1):
        yield f"{path} row {number}", record


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            packed = [field.name for field in file.schema_arrow if str(field.type) == "extension<arrow.json>"]
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    unpacked = {name: json.loads(record[name]) for name in packed if record[name] is not None}
                    yield f"{path} row {number}", _without_nulls({**record, **unpacked})
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a whole Parquet file ({error}); write it again") from error


def _dataset_folder(path: Path) -> Iterator[tuple[str, Any]]:
    if (path / "dataset_dict.json").is_file():
        splits = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise DataError(f"{path}: holds the splits {', '.join(splits)}; name one, such as {path / splits[0]}")
    if not (path / "state.json").is_file():
        raise DataError(
            f"{path}: a folder without state.json, so not one that Dataset.save_to_disk wrote; name a file"
        )
    from datasets import load_from_disk

    for number, record in enumerate(load_from_disk(str(path)).with_format(None), 1):
        yield f"{path} row {number}", _without_nulls(record)


def _without_nulls(value: Any) -> Any:
    """Columnar files fill fields that a record does not have with nulls: take them out again."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
