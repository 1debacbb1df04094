"""Kills a push or a pull at random moments, looks at what it left, and lets it finish.

Run as ``python transfer_driver.py FOLDER push|pull KILLS``; prints one JSON line. Each attempt is a forked process
that dies by SIGKILL before a random request to the file system, which its threads make in any order.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr  # noqa: F401  (imported here once, not in every fork)

from gradstore.errors import IncompleteError, StoreNotFoundError
from gradstore.graph import build_graph
from gradstore.inspection import verify
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.sharing import pull, push, write_card
from gradstore.store import DatasetWriter, embed_adapter, open_store, read_artifact

STEPS = ("replace", "fsync", "mkdir", "unlink", "rmdir")
ROWS = 6


def make(path: Path) -> None:
    """A store with two data sets in two directions, an adapter and a graph."""
    rng = np.random.default_rng(0)
    for name in ("pool", "goal"):
        with DatasetWriter.open(
            path, checkpoint="one", identity=CheckpointIdentity(projection=ProjectionSpec("sjlt", 4, 0)), name=name,
            rows=ROWS, directions={"adam": 4, "rds": 3}, chunk_rows=2, content_digest=name, attributes={},
        ) as writer:  # fmt: skip
            for chunk in writer.missing():
                span = writer.chunks[chunk]
                names, n = [f"row-{row}" for row in span], len(span)
                writer.write(
                    chunk,
                    GradientBlock(
                        ids=names, sources=names, subtasks=names, reasons=[""] * n, records=[b"{}"] * n,
                        loss=np.ones(n, np.float32), tokens=np.ones(n, np.int32), valid=np.ones(n, bool),
                        truncated=np.zeros(n, bool), contents=np.ones((n, 12), np.uint8),
                        gradients={
                            each: rng.normal(size=(n, dim)).astype(np.float32)
                            for each, dim in (("adam", 4), ("rds", 3))
                        },
                    ),
                )  # fmt: skip
            writer.seal()
    store = open_store(path)
    embed_adapter(store, "one", {"adapter_config.json": b"{}", "tokenizer.json": b"[1]"})
    build_graph(store, neighbours=2, name="g")
    write_card(store)


def die_before(step: int) -> Callable[[], int]:
    """Let this process be killed before its `step`-th request; with 0 it lives. Returns a counter."""
    lock = threading.Lock()
    count = 0

    def guard(name: str) -> None:
        real = getattr(os, name)

        def request(*args: object, **kwargs: object) -> object:
            nonlocal count
            with lock:
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return None if name == "fsync" else real(*args, **kwargs)

        setattr(os, name, request)

    for name in STEPS:
        guard(name)
    return lambda: count


def forked(work: Callable[[], object]) -> bool:
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


def counted(report: Path, work: Callable[[], object]) -> None:
    """Write how many requests the work makes."""
    count = die_before(0)
    work()
    report.write_text(str(count()))


def objects(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if not each.is_dir()
    }


def look(path: Path, source: dict[str, bytes]) -> None:
    """What can be read is whole; what is not whole is said to be unfinished."""
    try:
        store = open_store(path)
    except StoreNotFoundError:
        return
    for name in store.datasets():
        try:
            dataset = store.dataset(name)
        except IncompleteError:
            continue
        for direction in dataset.directions:
            assert len(dataset.read(direction, 0, ROWS)) == ROWS
            dataset.norms(direction)
        assert len(dataset.ids) == ROWS
    for name in store.graphs:
        try:
            graph = read_artifact(store, "graphs", name)
        except IncompleteError:
            continue
        assert all(len(array) == 2 * ROWS for array in graph.arrays.values())
    for problem in verify(path):
        assert not any(told in problem.what for told in ("checksum", "bytes instead", "is missing")), problem
    for name, data in objects(path).items():
        if not Path(name).name.startswith(".") and "/" in name:
            assert source[name] == data, f"{name} is not that of the source"


def main(folder: Path, kind: str, kills: int) -> None:
    source, there = folder / "source", folder / "there"
    copy = push if kind == "push" else pull
    gc.freeze()
    os.fsync, fsync = (lambda _: None), os.fsync
    forked(lambda: make(source))
    os.fsync = fsync
    expected = objects(source)
    forked(lambda: counted(folder / "requests", lambda: copy(source, there)))
    requests = int((folder / "requests").read_text())
    shutil.rmtree(there)
    draw, wrong, killed = random.Random(kind), [], 0
    for attempt in range(8 * kills):
        if killed >= kills:
            break
        step = draw.randrange(1, requests)
        if forked(lambda: (die_before(step), copy(source, there))):  # noqa: B023 (called at once)
            shutil.rmtree(there)
            continue
        killed += 1
        kept = {name: data for name, data in objects(there).items() if name.endswith("manifest.json")}
        forked(lambda: look(there, expected))
        if draw.random() < 0.5:  # a second kill on top of the first
            forked(lambda: (die_before(draw.randrange(1, requests)), copy(source, there)))
            forked(lambda: look(there, expected))
        forked(lambda: (die_before(0), copy(source, there)))
        found = objects(there)
        if found != expected:
            differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong.append(f"attempt {attempt}, step {step}: {differ}")
        if not kept.items() <= found.items() or objects(source) != expected:
            wrong.append(f"attempt {attempt}, step {step}: what was sealed has changed")
        shutil.rmtree(there)
    print(json.dumps({"kills": killed, "requests": requests, "objects": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
