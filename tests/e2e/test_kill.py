"""Kill -9 during extraction at several points: the rerun gives the identical store and repeats one chunk at most."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
import gradstore
from gradstore.gradients.compute import ChunkComputer

compute = ChunkComputer.compute
def counted(self, rows, examples, on_tokens):
    block = compute(self, rows, examples, on_tokens)
    with open(sys.argv[3], "a") as log:
        log.write(rows[0].id + "\\n")
    return block
ChunkComputer.compute = counted
gradstore.extract(
    sys.argv[1], checkpoints=[sys.argv[2]], data=sys.argv[4], name="pool", directions=["adam", "sgd"],
    dim=2048, chunk_rows=4, token_budget=64,
)
"""


def contents(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def start(store: Path, run: Path, log: Path, rows: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(store),
        str(run / "run" / "checkpoint-8"),
        str(log),
        str(rows),
    ]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def whole(tiny_run: Path, token_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder / "s.zarr", tiny_run, folder / "log", token_rows)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return contents(folder / "s.zarr")


@pytest.mark.parametrize("moment", range(4))
def test_killed_and_rerun_is_identical_and_repeats_at_most_the_unfinished_chunk(
    moment: int, whole: dict[str, bytes], tiny_run: Path, token_rows: Path, tmp_path: Path
) -> None:
    store, log = tmp_path / "s.zarr", tmp_path / "log"
    process = start(store, tiny_run, log, token_rows)
    wanted = 1 + 4 * moment
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and log.read_text().count("\n") >= wanted:
            time.sleep(random.Random(moment).uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    rerun = start(store, tiny_run, log, token_rows)
    _, errors = rerun.communicate(timeout=300)
    assert rerun.returncode == 0, errors.decode()
    assert contents(store) == whole
    computed = log.read_text().split()
    assert len(computed) - len(set(computed)) <= 1
    assert len(set(computed)) == 15
    assert json.loads(whole[next(n for n in whole if n.endswith("manifest.json"))])["format"] == 1
