"""On a GPU: the rows of a CPU, the same bytes again, and what happens when its memory ends. `make test-gpu`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gradstore
from gradstore.demo.model import make_model
from gradstore.demo.skills import instruction_set, write_rows
from tests.architectures import ARCHITECTURES
from tests.files import contents

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

LORA = {"directions": ["sgd", "adam", "precond", "adam-true", "rds"]}
FULL = {"parameters": "full", "directions": ["sgd", "precond", "rds"]}
CASES: list[Any] = [
    *(pytest.param(name, LORA, id=f"{name}-lora") for name in ARCHITECTURES),
    *(pytest.param(name, FULL, id=f"{name}-full") for name in ARCHITECTURES),
    pytest.param("llama", LORA | {"projection": "rademacher"}, id="rademacher"),
    pytest.param("llama", LORA | {"projection": "none"}, id="none"),
    pytest.param("llama", FULL | {"projection": "kron"}, id="kron"),
    pytest.param("llama", LORA | {"gradient_checkpointing": True}, id="checkpointing"),
]


def stored_rows(store: Path, direction: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    stored = gradstore.open(store).dataset("pool")
    return stored.read(direction, 0, len(stored))[stored.valid]


@pytest.fixture
def job(architecture: Callable[..., Path], token_rows: Path) -> dict[str, Any]:
    return {
        "checkpoints": [architecture("llama")],
        "data": token_rows,
        "name": "pool",
        "dim": 256,
        "chunk_rows": 8,
        "token_budget": 256,
        "encoding": "exact",
        "device": "cuda",
    }


@pytest.mark.parametrize(("name", "case"), CASES)
def test_rows_are_those_of_a_cpu(
    name: str,
    case: dict[str, Any],
    architecture: Callable[..., Path],
    job: dict[str, Any],
    tmp_path: Path,
) -> None:
    job |= {"checkpoints": [architecture(name, full="parameters" in case)], "dtype": "float32", **case}
    for device in ("cpu", "cuda"):
        gradstore.extract(tmp_path / f"{device}.zarr", **job | {"device": device})
    one, other = (gradstore.open(tmp_path / f"{device}.zarr").dataset("pool") for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
    for direction in case["directions"]:
        expected, found = (stored_rows(tmp_path / f"{device}.zarr", direction) for device in ("cpu", "cuda"))
        error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert error.max() < 1e-4, direction


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rows_point_where_those_of_float32_do(
    dtype: str, job: dict[str, Any], tmp_path: Path
) -> None:
    for precision in ("float32", dtype):
        gradstore.extract(tmp_path / precision, **job | {"directions": ["sgd"], "dtype": precision})
    one, other = (torch.from_numpy(stored_rows(tmp_path / p, "sgd")) for p in ("float32", dtype))
    assert torch.cosine_similarity(one, other).min() > 0.99


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_bytes_are_the_same_again_and_in_parts(
    name: str, dtype: str, architecture: Callable[..., Path], job: dict[str, Any], tmp_path: Path
) -> None:
    job |= {"checkpoints": [architecture(name)], "dtype": dtype, "directions": ["adam", "sgd", "rds"]}
    gradstore.extract(tmp_path / "once.zarr", **job)
    gradstore.extract(tmp_path / "parts.zarr", **job, part="2/2")
    gradstore.extract(tmp_path / "parts.zarr", **job, part="1/2")
    assert contents(tmp_path / "parts.zarr") == contents(tmp_path / "once.zarr")


def test_two_processes_that_share_a_gpu_write_the_store_of_one(job: dict[str, Any], tmp_path: Path) -> None:
    gradstore.extract(tmp_path / "one.zarr", **job)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--no-python", sys.executable, "-c", "from gradstore_cli.main import main; main()"]
    command += ["extract", str(tmp_path / "two.zarr"), "--name", "pool"]
    command += ["--checkpoint", str(job["checkpoints"][0]), "--data", str(job["data"]), "--dim", "256"]
    command += ["--chunk-rows", "8", "--token-budget", "256", "--encoding", "exact", "--device", "cuda"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "two.zarr") == contents(tmp_path / "one.zarr")


@pytest.fixture
def little_memory() -> Iterator[None]:
    """256 MiB of the GPU for this process."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (256 << 20)) / whole)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_batches_that_do_not_fit_in_its_memory_are_halved(
    job: dict[str, Any], token_rows: Path, tmp_path: Path, little_memory: None
) -> None:
    lines = token_rows.read_text().splitlines()
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f"{line.replace('row-', f'{n}-')}\n" for n in range(100) for line in lines))
    heard: list[str] = []
    job |= {"data": rows, "chunk_rows": 6000, "dtype": "float32", "directions": ["sgd"]}
    gradstore.extract(tmp_path / "much.zarr", **job | {"token_budget": 300_000}, log=heard.append)
    gradstore.extract(tmp_path / "little.zarr", **job | {"token_budget": 1000})
    assert any("not enough memory" in line for line in heard)
    found, expected = (stored_rows(tmp_path / f"{size}.zarr", "sgd") for size in ("much", "little"))
    assert (np.linalg.norm(found - expected, axis=1) < 1e-4 * np.linalg.norm(expected, axis=1)).all()


def test_an_adapter_trained_on_a_gpu_gives_like_rows_on_a_cpu(tmp_path: Path) -> None:
    made = instruction_set(pool=60, target=1, lessons=60)
    make_model(tmp_path / "base", made.lessons, steps=30, hidden=64, layers=2)
    data = write_rows(tmp_path / "rows.jsonl", made.pool[:60])
    run = gradstore.warmup(
        model=tmp_path / "base",
        data=data,
        out=tmp_path / "run",
        fraction=1.0,
        epochs=2,
        lr=1e-3,
        lora_r=4,
        batch_size=8,
    )
    for device in ("cpu", "cuda"):
        gradstore.extract(
            tmp_path / device, checkpoints=run[-1:], data=data, name="pool", dim=1024, device=device
        )
    one, other = (torch.from_numpy(stored_rows(tmp_path / device, "adam")) for device in ("cpu", "cuda"))
    assert torch.cosine_similarity(one, other).min() > 0.99
