"""What several of these tests compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import gradstore


def matrix(rows: int = 7, dim: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def stored(source: Path, folder: Path, **options: Any) -> np.ndarray:
    """The rows that an import of `source` puts in a store."""
    dataset = gradstore.import_gradients(folder / "s.zarr", source, name="x", **options)
    return dataset.read(dataset.directions[0], 0, len(dataset))
