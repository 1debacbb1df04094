"""Rows of Parquet files and of `datasets` folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradstore.errors import DataError

__all__ = ["read_dataset", "read_parquet"]

_BUFFER = 1 << 20
_JSON = "extension<arrow.json>"


def read_parquet(path: Path) -> Iterator[Any]:
    """Rows of a Parquet file; its columns are read piece by piece."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:  # else whole row groups
            packed = {field.name: field.type for field in file.schema_arrow if _JSON in str(field.type)}
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    values = {name: _unpacked(record[name], kind) for name, kind in packed.items()}
                    yield _without_nulls({**record, **values})
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a whole Parquet file ({error}); write it again") from error


def read_dataset(path: Path) -> Iterator[Any]:
    """Rows of a folder that ``Dataset.save_to_disk`` wrote."""
    if (path / "dataset_dict.json").is_file():
        splits = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise DataError(f"{path}: holds the splits {', '.join(splits)}; name one, such as {path / splits[0]}")
    if not (path / "state.json").is_file():
        raise DataError(
            f"{path}: a folder without state.json, so not one that Dataset.save_to_disk wrote; name a file"
        )
    from datasets import load_from_disk

    for record in load_from_disk(str(path)).with_format(None):
        yield _without_nulls(record)


def _unpacked(value: Any, kind: Any) -> Any:
    """A value of an Arrow type, in which JSON is text, with the values that these texts stand for."""
    from pyarrow import types

    if value is None:
        return None
    if str(kind) == _JSON:
        return json.loads(value)
    if types.is_struct(kind):
        return {field.name: _unpacked(value[field.name], field.type) for field in kind}
    if types.is_list(kind) or types.is_large_list(kind):
        return [_unpacked(item, kind.value_type) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    """Columnar files fill fields that a record does not have with nulls: take them out again."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
