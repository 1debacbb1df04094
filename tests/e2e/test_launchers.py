"""Several processes under a launcher write the store that one process writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradstore
from gradstore.sharing import write_card
from tests.files import contents

BIN = Path(sys.executable).parent
SIZES = ("--dim", "256", "--chunk-rows", "4", "--device", "cpu")


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def options(run: Path, rows: Path) -> tuple[object, ...]:
    return ("--checkpoint", run / "run" / "checkpoint-8", "--data", rows, "--name", "pool", *SIZES)


def alone(store: Path, run: Path, rows: Path) -> None:
    checkpoints = [run / "run" / "checkpoint-8"]
    gradstore.extract(
        store, checkpoints=checkpoints, data=rows, name="pool", dim=256, chunk_rows=4, device="cpu"
    )
    write_card(gradstore.open(store))


def test_torchrun_with_two_processes_writes_the_store_of_one(
    tiny_run: Path, token_rows: Path, tmp_path: Path, quick_command: str
) -> None:
    alone(tmp_path / "one.zarr", tiny_run, token_rows)
    launcher = (BIN / "torchrun", "--standalone", "--nproc-per-node", "2", "--no-python")
    said = run(
        *launcher, "gradstore", "extract", tmp_path / "two.zarr", *options(tiny_run, token_rows), PATH=quick_command
    )  # fmt: skip
    assert "2/2: " in said
    assert contents(tmp_path / "two.zarr") == contents(tmp_path / "one.zarr")


@pytest.mark.long  # the example for SLURM, which is tested too, begins arrays
def test_a_task_of_an_array_that_is_left_alone_finishes_the_data_set(
    tiny_run: Path, token_rows: Path, tmp_path: Path
) -> None:
    task = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3"}
    alone(tmp_path / "one.zarr", tiny_run, token_rows)
    run(BIN / "gradstore", "extract", tmp_path / "task.zarr", *options(tiny_run, token_rows), **task)
    assert contents(tmp_path / "task.zarr") == contents(tmp_path / "one.zarr")
