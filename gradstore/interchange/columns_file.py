"""Writes a Parquet file: one row for each row, with its vector, norm, id and original record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradstore.interchange.columns import MARK
from gradstore.progress import Bar
from gradstore.records import canonical_json
from gradstore.storage.complete import fresh_file

if TYPE_CHECKING:
    from gradstore.store import Dataset

__all__ = ["write_parquet"]

_GROUP_BYTES = 16 << 20


def write_parquet(dataset: Dataset, direction: str, out: Path, bar: Bar) -> Path:
    """Write the file and return it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    dim = dataset.dim(direction)
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("subtask", pa.string()),
            ("valid", pa.bool_()),
            ("reason", pa.string()),
            ("norm", pa.float32()),
            ("loss", pa.float32()),
            ("tokens", pa.int32()),
            ("record", pa.string()),
            ("vector", pa.list_(pa.float32(), dim)),
        ],
        metadata={MARK: _about(dataset, direction)},
    )
    step = max(1, _GROUP_BYTES // (4 * dim))
    with fresh_file(out) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for start in range(0, len(dataset), step):
            stop = min(start + step, len(dataset))
            writer.write_table(pa.table(_columns(dataset, direction, start, stop), schema=schema))
            bar.update(stop - start)
    return out


def _columns(dataset: Dataset, direction: str, start: int, stop: int) -> dict[str, Any]:
    import pyarrow as pa

    span = slice(start, stop)
    rows = dataset.read(direction, start, stop)
    records: list[str | None] = [None] * (stop - start)
    if dataset.has_records:
        records = [json.dumps(record) for record in dataset.records(range(start, stop))]
    return {
        "id": dataset.ids[span],
        "source": dataset.sources[span],
        "subtask": dataset.subtasks[span],
        "valid": dataset.valid[span],
        "reason": dataset.reasons[span],
        "norm": dataset.norms(direction)[span],
        "loss": dataset.loss[span],
        "tokens": dataset.tokens[span],
        "record": pa.array(records, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(rows)), rows.shape[1]),
    }


def _about(dataset: Dataset, direction: str) -> bytes:
    return canonical_json(
        {
            "dataset": dataset.name,
            "checkpoint": dataset.checkpoint,
            "direction": direction,
            "encoding": dataset.encoding(direction),
            "digest": dataset.digest_of(direction),
            "target": bool(dataset.attributes.get("target")),
        }
    )
