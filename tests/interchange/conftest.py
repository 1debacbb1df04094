"""A small store whose vectors are exported, and ways to write other tools' files by their documented layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.store import Store
from tests.interchange.helpers import matrix


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two hundred rows, of which rows 3 and 150 are invalid, with ids, sources, subtasks and records."""
    vectors = matrix(200, 12)
    vectors[3] = 0
    vectors[150, 2] = np.nan
    gradstore.import_arrays(
        tmp_path / "g.zarr",
        name="pool",
        gradients=vectors,
        ids=[f"row-{i}-é" for i in range(200)],
        rows=[{"text": f"row {i}", "nested": {"a": [i, None]}} for i in range(200)],
        sources=["ab"[i % 2] for i in range(200)],
        subtasks=["" if i % 3 else "täsk" for i in range(200)],
        loss=np.arange(200) / 8,
        tokens=np.arange(200) + 3,
        direction="adam",
        checkpoint="checkpoint-42",
    )
    return gradstore.open(tmp_path / "g.zarr")


@pytest.fixture
def less_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run of LESS: ``less_run(rows, dtype)`` gives its ``dim…`` folder."""

    torch = pytest.importorskip("torch")

    def write(rows: np.ndarray, dtype: Any = torch.float32, name: str = "dolly-ckpt105-adam") -> Path:
        folder = tmp_path / name / f"dim{rows.shape[1]}"
        folder.mkdir(parents=True)
        tensor = torch.from_numpy(rows).to(dtype)
        for start in range(0, len(rows), 160):
            stop = min(start + 160, len(rows))
            torch.save(tensor[start:stop].clone(), folder / f"grads-{stop}.pt")
        torch.save(tensor, folder / "all_unormalized.pt")
        torch.save(torch.nn.functional.normalize(tensor.float(), dim=1).to(dtype), folder / "all_orig.pt")
        return folder

    return write


@pytest.fixture
def bergson_index(tmp_path: Path) -> Callable[..., Path]:
    """Write an index of bergson; words of `info` replace those of ``info.json``."""

    def write(data: np.ndarray, **info: Any) -> Path:
        folder = tmp_path / "index"
        folder.mkdir()
        (folder / "gradients.bin").write_bytes(data.tobytes())
        half = data.shape[1] // 2
        about = {
            "attribute_tokens": False,
            "num_items": len(data),
            "num_grads": len(data),
            "grad_sizes": {"q_proj": half, "v_proj": data.shape[1] - half},
            "base_dtype": data.dtype.name,
        }
        (folder / "info.json").write_text(json.dumps(about | info))
        return folder

    return write


@pytest.fixture
def logix_log(tmp_path: Path) -> Callable[..., Path]:
    """Write one file of a LogIX log: ``logix_log(rank, chunk, ids, rows)`` gives the folder."""

    def write(rank: int, chunk: int, ids: list[str], rows: np.ndarray, kind: str = "grad") -> Path:
        folder = tmp_path / "log"
        folder.mkdir(exist_ok=True)
        name = f"log_rank_{rank}_chunk_{chunk}"
        (folder / f"{name}.mmap").write_bytes(rows.tobytes())
        entries = [
            {
                "data_id": each,
                "path": [["layer.a", kind], ["layer.b", kind]],
                "offset": i * rows.shape[1] * rows.itemsize,
                "shape": [[2, rows.shape[1] // 4], [2, rows.shape[1] // 4]],
                "block_size": rows.shape[1],
                "dtype": str(rows.dtype),
            }
            for i, each in enumerate(ids)
        ]
        (folder / f"{name}_metadata.json").write_text(json.dumps(entries, indent=2))
        return folder

    return write
