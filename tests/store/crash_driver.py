"""Kills a writer before each thing it asks of the file system, repeats it, and compares every byte.

Run as ``python crash_driver.py FOLDER dataset|artifact``; prints one JSON line. Each attempt is a forked process
that dies by SIGKILL. Data that was not yet synchronised is cut in half first, as a power cut might.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr  # noqa: F401  (imported here once, not in every fork)

from gradstore.errors import IncompleteError, StoreNotFoundError
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.store import DatasetWriter, create_store, open_store, read_artifact, write_artifact

STEPS = ("replace", "fsync", "mkdir", "unlink", "rmdir")


def write_dataset(path: Path, log: Path) -> None:
    identity = CheckpointIdentity(base="tiny", projection=ProjectionSpec("sjlt", 4, 0))
    with DatasetWriter.open(
        path, checkpoint="one", identity=identity, name="pool", rows=5, directions=["adam"],
        chunk_rows=2, content_digest="d", attributes={"provenance": {"attempt": "first"}},
    ) as writer:  # fmt: skip
        for chunk in writer.missing():
            span = writer.chunks[chunk]
            names = [f"row-{row}" for row in span]
            numbers = np.random.default_rng(chunk).normal(size=(len(span), 4)).astype(np.float32)
            writer.write(
                chunk,
                GradientBlock(
                    ids=names, sources=names, subtasks=names, reasons=[""] * len(span), records=[b"{}"] * len(span),
                    loss=np.ones(len(span), np.float32), tokens=np.ones(len(span), np.int32),
                    valid=np.ones(len(span), bool), gradients={"adam": numbers},
                ),
            )  # fmt: skip
            with log.open("a") as file:
                file.write(f"{chunk}\n")
        writer.seal()


def write_graph(path: Path, log: Path, version: int = 2) -> None:
    log.touch()
    write_artifact(
        create_store(path), "graphs", "default", arrays={"neighbours": np.full((3, 2), version)},
        strings={"ids": [f"{version}{row}" for row in range(3)]}, attributes={"version": version},
    )  # fmt: skip


def die_before(step: int) -> None:
    """Let this process be killed before its `step`-th request."""
    count = 0

    def guard(module: object, name: str) -> None:
        real = getattr(module, name)

        def request(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                if name == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                    os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return (
                None if name == "fsync" else real(*args, **kwargs)
            )  # not waiting for the disk saves minutes

        setattr(module, name, request)

    for name in STEPS:
        guard(os, name)
    guard(fcntl, "flock")


def quick() -> None:
    """Do not wait for the disk: nothing dies any more."""
    os.fsync = lambda _: None


def forked(work: Callable[[], None]) -> bool:
    """Run `work` in a child process; False if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 (the child must not run the parent's code)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        raise SystemExit("see the traceback above")
    return True


def objects(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if not each.is_dir()
    }


def read(path: Path, kind: str) -> None:
    """Read after the kill: either the whole, or an error that says that there is none."""
    try:
        if kind == "dataset":
            assert len(open_store(path).dataset("pool").read("adam", 0, 5)) == 5
            assert (path / "checkpoints/one/pool/manifest.json").exists()
        else:
            graph = read_artifact(open_store(path), "graphs", "default")
            version = graph.attributes["version"]
            assert (graph.arrays["neighbours"] == version).all()
            assert list(graph.strings["ids"]) == [f"{version}{row}" for row in range(3)]
    except (StoreNotFoundError, IncompleteError):
        pass


def main(folder: Path, kind: str) -> None:
    work = write_dataset if kind == "dataset" else write_graph
    gc.freeze()
    wrong, step, killed = [], 0, True
    whole, before = folder / "whole", folder / "before"
    if kind == "artifact":
        forked(lambda: write_graph(before, folder / "log", version=1))
        shutil.copytree(before, whole)
    forked(lambda: work(whole, folder / "log"))
    expected = objects(whole)
    if any("/." in f"/{name}" for name in expected):
        wrong.append(f"a lock or a temporary file is left: {sorted(expected)}")
    while killed:
        step += 1
        path, log = folder / "store", folder / f"log-{step}"
        if before.exists():
            shutil.copytree(before, path)
        killed = not forked(lambda: (die_before(step), work(path, log)))  # noqa: B023 (called at once)
        if killed:
            log.touch()
            made = log.read_text().split()
            forked(lambda: (read(path, kind), quick(), work(path, log)))  # noqa: B023
            again = log.read_text().split()[len(made) :]
            if set(made) & set(again):
                wrong.append(f"step {step}: made chunks {again} again after {made}")
        found = objects(path)
        if found != expected:
            differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong.append(f"step {step}: {differ}")
        shutil.rmtree(path)
    print(json.dumps({"steps": step - 1, "objects": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
