"""Extracts again and again in forked processes that are killed at random moments; prints what became of it.

Forked, because a process of its own would spend most of its time importing.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import peft  # noqa: F401 (once, before the forks)
import safetensors.torch  # noqa: F401
import zarr  # noqa: F401

import gradstore
from gradstore.gradients.compute import ChunkComputer, Prepared

MOMENTS = int(os.environ.get("GRADSTORE_KILLS", "5"))


def digests(store: Path) -> dict[str, str]:
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def start(store: Path, checkpoint: str, rows: str, log: Path) -> int:
    """Begin an extraction in a process of its own."""
    pid = os.fork()
    if pid:
        return pid
    own = ChunkComputer.compute

    def counted(self: ChunkComputer, chunk: Prepared, *args: object) -> object:
        block = own(self, chunk, *args)  # type: ignore[arg-type]
        with log.open("a") as file:
            file.write(chunk.rows[0].id + "\n")
        return block

    ChunkComputer.compute = counted  # type: ignore[method-assign, assignment]
    code = 1
    try:
        gradstore.extract(
            store,
            checkpoints=[checkpoint],
            data=rows,
            name="pool",
            directions=["adam", "sgd", "rds"],
            dim=2048,
            chunk_rows=4,
            token_budget=64,
        )
        code = 0
    finally:
        os._exit(code)


def end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    folder, checkpoint, rows, writers = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    draw = random.Random(writers)

    def begin(name: str) -> int:
        return start(folder / f"{name}.zarr", checkpoint, rows, folder / f"{name}.log")

    end(begin("warm"))
    started = time.monotonic()
    code = end(begin("whole"))
    span = (time.monotonic() - started) / writers  # together they are faster
    whole = digests(folder / "whole.zarr")
    found = []
    for moment in range(MOMENTS):
        name = f"s{moment}"
        pids = [begin(name) for _ in range(writers)]
        wait = draw.uniform(0.02, span)
        time.sleep(wait)
        for pid in pids[: draw.randint(1, writers)]:
            os.kill(pid, signal.SIGKILL)
        killed = [end(pid) for pid in pids]
        if not any(killed):
            span = wait  # too late: the machine has become faster since the span was measured
        rerun = [end(pid) for pid in [begin(name) for _ in range(writers)]]
        computed = (folder / f"{name}.log").read_text().split()
        found.append(
            {
                "killed": killed,
                "rerun": rerun,
                "same": digests(folder / f"{name}.zarr") == whole,
                "chunks": len(set(computed)),
                "repeated": len(computed) - len(set(computed)),
            }
        )
        shutil.rmtree(folder / f"{name}.zarr")
    print(json.dumps({"code": code, "objects": len(whole), "moments": found}))


main()
