"""Imports and exports never hold the whole matrix."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore

ROWS, DIM = 40_000, 1024
WHOLE = ROWS * DIM * 4


def peak(work: Callable[[], Any]) -> int:
    """Most bytes that Python and NumPy hold while it works; what is mapped does not count."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of bergson in bfloat16, whose rows are converted when they are read."""
    folder = tmp_path_factory.mktemp("large") / "index"
    folder.mkdir()
    codes = np.random.default_rng(0).integers(0x3F00, 0x4000, (ROWS, DIM), np.uint16)
    codes.tofile(folder / "gradients.bin")
    (folder / "info.json").write_text(
        f'{{"num_grads": {ROWS}, "grad_sizes": {{"a": {DIM}}}, "base_dtype": "bfloat16"}}'
    )
    return folder


def test_many_rows_in_and_out(index: Path, tmp_path: Path) -> None:
    columns = 300 * ROWS  # ids and the like are lists
    store, ids = tmp_path / "s.zarr", [str(i) for i in range(ROWS)]
    used = peak(lambda: gradstore.import_gradients(store, index, name="pool", ids=ids))
    assert used < WHOLE // 3 + columns < WHOLE // 2  # less than in bfloat16
    dataset = gradstore.open(store).dataset("pool")
    assert len(dataset.ids) == ROWS
    codes = np.memmap(index / "gradients.bin", np.uint16, "r", shape=(ROWS, DIM))
    expected = (codes[-5:].astype(np.uint32) << 16).view(np.float32)
    assert (dataset.read("sgd", ROWS - 5, ROWS) == expected).all()
    used = peak(lambda: gradstore.export(store, tmp_path / "out", dataset="pool", fmt="npy"))
    assert used < WHOLE // 3 + columns
    mapped = np.load(tmp_path / "out" / "gradients.npy", mmap_mode="r")
    assert (mapped[-5:] == expected).all()
