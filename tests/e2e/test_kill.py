"""Kill -9 during extraction at several points: the rerun gives the identical store and repeats one chunk at most."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, threading
import gradstore
from gradstore.gradients.compute import ChunkComputer

done, kill_at, delay = 0, int(sys.argv[5]), float(sys.argv[6])
compute = ChunkComputer.compute
def counted(self, rows, examples, on_tokens):
    block = compute(self, rows, examples, on_tokens)
    with open(sys.argv[3], "a") as log:
        log.write(rows[0].id + "\\n")
    global done
    done += 1
    if done == kill_at:  # from inside, so that a stalled machine cannot miss the moment
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return block
ChunkComputer.compute = counted
gradstore.extract(
    sys.argv[1], checkpoints=[sys.argv[2]], data=sys.argv[4], name="pool", directions=["adam", "sgd"],
    dim=2048, chunk_rows=4, token_budget=64,
)
"""


def contents(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()
    }


def run(
    store: Path, run: Path, log: Path, rows: Path, kill_at: int = 0, delay: float = 0.0
) -> tuple[int, str]:
    """Extract in another process, which kills itself `delay` seconds after its `kill_at`-th chunk was computed."""
    arguments = [store, run / "run" / "checkpoint-8", log, rows, kill_at, delay]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def whole(tiny_run: Path, token_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    code, errors = run(folder / "s.zarr", tiny_run, folder / "log", token_rows)
    assert code == 0, errors
    return contents(folder / "s.zarr")


@pytest.mark.parametrize("moment", range(4))
def test_killed_and_rerun_is_identical_and_repeats_at_most_the_unfinished_chunk(
    moment: int, whole: dict[str, bytes], tiny_run: Path, token_rows: Path, tmp_path: Path
) -> None:
    store, log = tmp_path / "s.zarr", tmp_path / "log"
    delay = random.Random(moment).uniform(0, 0.01)
    code, _ = run(store, tiny_run, log, token_rows, kill_at=1 + 4 * moment, delay=delay)
    assert code == -signal.SIGKILL
    code, errors = run(store, tiny_run, log, token_rows)
    assert code == 0, errors
    assert contents(store) == whole
    computed = log.read_text().split()
    assert len(computed) - len(set(computed)) <= 1
    assert len(set(computed)) == 15
    assert json.loads(whole[next(n for n in whole if n.endswith("manifest.json"))])["format"] == 1
