"""On a model that was really trained, with a freshly trained adapter: projection error and batch invariance."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore


@pytest.fixture(scope="module")
def job(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of `extract` for 48 rows of the pool and an adapter trained on 48 others."""
    folder = tmp_path_factory.mktemp("trained")
    with gzip.open(shared / "data" / "pool.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [line for _, line in zip(range(96), file, strict=False)]
    (folder / "train.jsonl").write_text("".join(lines[48:]), encoding="utf-8")
    (folder / "rows.jsonl").write_text("".join(lines[:48]), encoding="utf-8")
    checkpoints = gradstore.warmup(
        model=shared / "models" / "tiny-instruct",
        data=folder / "train.jsonl",
        out=folder / "run",
        fraction=1.0,
        epochs=1,
        lr=1e-3,
        lora_r=8,
        lora_alpha=16,
        batch_size=8,
        max_length=192,
    )
    return {
        "checkpoints": checkpoints,
        "data": folder / "rows.jsonl",
        "name": "rows",
        "max_length": 192,
        "directions": ["adam", "sgd"],
        "encoding": "exact",
    }


@pytest.fixture(scope="module")
def raw(job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> gradstore.Dataset:
    store = tmp_path_factory.mktemp("raw") / "raw.zarr"
    gradstore.extract(store, projection="none", **job)
    return gradstore.open(store).dataset("rows")


def rows_of(stored: gradstore.Dataset, direction: str) -> np.ndarray:
    return stored.read(direction, 0, len(stored))[stored.valid].astype(np.float64)


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(rows), 1)]


@pytest.mark.long
def test_projected_cosines_have_a_root_mean_square_error_of_at_most_00125(
    job: dict[str, Any], raw: gradstore.Dataset, tmp_path: Path
) -> None:
    gradstore.extract(tmp_path / "s.zarr", **job)
    projected = gradstore.open(tmp_path / "s.zarr").dataset("rows")
    assert raw.dim("adam") > 10 * projected.dim("adam")
    for direction in ("adam", "sgd"):
        error = cosines(rows_of(projected, direction)) - cosines(rows_of(raw, direction))
        assert np.sqrt((error**2).mean()) <= 0.0125


def test_rows_from_batches_of_one_equal_those_of_large_batches(
    job: dict[str, Any], raw: gradstore.Dataset, tmp_path: Path
) -> None:
    gradstore.extract(tmp_path / "s.zarr", projection="none", token_budget=1, **job)
    alone = gradstore.open(tmp_path / "s.zarr").dataset("rows")
    for direction in ("adam", "sgd"):
        one, many = rows_of(alone, direction), rows_of(raw, direction)
        assert (np.linalg.norm(one - many, axis=1) / np.linalg.norm(many, axis=1)).max() < 1e-5
