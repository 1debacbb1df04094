"""How far cosines of stored rows are from cosines of the exact gradients, and what a row takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.floating[Any]]]


def cosine_error(stored: Rows, exact: Rows) -> float:
    """Root mean square over all pairs of different rows."""
    upper = np.triu_indices(len(exact), k=1)
    difference = cosines(stored)[upper] - cosines(exact)[upper]
    return float(np.sqrt(np.mean(difference**2)))


def cosines(rows: Rows) -> Rows:
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    product: Rows = unit @ unit.T
    return product


def gradstore_rows(store: Path) -> Rows:
    import gradstore

    dataset = gradstore.open(store).dataset("rows")
    rows: Rows = dataset.read(dataset.directions[0], 0, len(dataset))
    return rows


def gradstore_bytes(store: Path, rows: int) -> float:
    """Bytes a row of everything that the store keeps of the rows, but small metadata files."""
    (place,) = store.glob("checkpoints/*/rows")
    files = (path for path in place.rglob("*") if path.is_file() and path.suffix != ".json")
    return sum(path.stat().st_size for path in files) / rows


def bergson_rows(index: Path) -> Rows:
    """bergson's index: float32 rows in the order of the data set."""
    info = json.loads((index / "info.json").read_text())
    shape = (int(info["num_grads"]), sum(info["grad_sizes"].values()))
    dtype = np.dtype(info["base_dtype"])
    return np.array(np.memmap(index / "gradients.bin", dtype=dtype, mode="r", shape=shape))


def bergson_bytes(index: Path, rows: int) -> float:
    return (index / "gradients.bin").stat().st_size / rows
