"""Kills a writer at random moments, repeats it, and compares every byte.

Run as ``python -m tests.store.crash_driver FOLDER dataset|direction|merge|convert|artefact KILLS``; prints one JSON
line. The requests to the file system are divided into KILLS spans of one length, and before one of each, drawn at
random, the process is killed by SIGKILL; as many KILLS as requests kill before each. Data not yet synchronised is cut
in half first, as a power cut might.
"""

from __future__ import annotations

import gc
import itertools
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr  # noqa: F401  (imported here once, not in every fork)

from gradstore.errors import IncompleteError, StoreNotFoundError
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.sharing import convert, merge, write_card
from gradstore.store import DatasetWriter, create_store, open_store, read_artefact, write_artefact
from tests.killing import die_before, forked, objects, quick

ROWS, CHUNK_ROWS = 5, 2


def write_rows(
    path: Path,
    log: Path,
    directions: dict[str, int] | None = None,
    chunks: list[int] | None = None,
    name: str = "pool",
) -> None:
    """Write a data set, or some of its chunks; the log hears which."""
    identity = CheckpointIdentity(base="tiny", projection=ProjectionSpec("sjlt", 4, 0))
    with DatasetWriter.open(
        path, checkpoint="one", identity=identity, name=name, rows=ROWS, directions=directions or {"adam": 4},
        chunk_rows=CHUNK_ROWS, content_digest="d", attributes={"provenance": {"attempt": "first"}},
    ) as writer:  # fmt: skip
        wanted = writer.missing() if chunks is None else chunks
        blocks = ((chunk, block(writer.chunks[chunk], directions or {"adam": 4})) for chunk in wanted)
        for chunk in writer.write_all(blocks):
            with log.open("a") as file:
                file.write(f"{chunk}\n")
        if chunks is None:
            writer.seal()
    if chunks is None:
        write_card(open_store(path))


def block(span: range, directions: dict[str, int]) -> GradientBlock:
    names, n = [f"row-{row}" for row in span], len(span)

    def numbers(name: str, dim: int) -> np.ndarray:
        return np.random.default_rng([span.start, *name.encode()]).normal(size=(n, dim)).astype(np.float32)

    return GradientBlock(
        ids=names, sources=names, subtasks=names, reasons=[""] * n, records=[b"{}"] * n,
        loss=np.ones(n, np.float32), tokens=np.ones(n, np.int32), valid=np.ones(n, bool),
        truncated=np.zeros(n, bool), contents=np.ones((n, 12), np.uint8),
        gradients={name: numbers(name, dim) for name, dim in directions.items()},
    )  # fmt: skip


def convert_rows(path: Path, log: Path) -> None:
    log.touch()
    convert(path.parent / "source", path, to="int4", compression="blosc")


def write_graph(path: Path, log: Path, version: int = 2) -> None:
    log.touch()
    write_artefact(
        create_store(path), "graphs", "default", arrays={"neighbours": np.full((3, 2), version)},
        strings={"ids": [f"{version}{row}" for row in range(3)]}, attributes={"version": version},
    )  # fmt: skip


def add_direction(path: Path, log: Path) -> None:
    write_rows(path, log, {"rds": 3})


def merge_parts(path: Path, log: Path) -> None:
    log.touch()
    merge(path, [path.parent / "part-1", path.parent / "part-2"])


WORK: dict[str, Callable[[Path, Path], None]] = {
    "dataset": write_rows,
    "direction": add_direction,
    "merge": merge_parts,
    "convert": convert_rows,
    "artefact": write_graph,
}


def prepare(folder: Path, kind: str) -> None:
    """What is there before the work: the store ``before``, or parts to merge."""
    if kind == "direction":
        write_rows(folder / "before", folder / "log")
    elif kind == "artefact":
        write_graph(folder / "before", folder / "log", version=1)
    elif kind == "convert":
        write_rows(folder / "source", folder / "log", {"adam": 4, "rds": 3})
    elif kind == "merge":
        for number, chunks in ((1, [0, 2]), (2, [1])):
            write_rows(folder / f"part-{number}", folder / "log", chunks=chunks)


def read(path: Path, kind: str) -> None:
    """Read after the kill: either the whole, or an error that says that there is none."""
    try:
        if kind == "artefact":
            graph = read_artefact(open_store(path), "graphs", "default")
            version = graph.attributes["version"]
            assert (graph.arrays["neighbours"] == version).all()
            assert list(graph.strings["ids"]) == [f"{version}{row}" for row in range(3)]
        else:
            dataset = open_store(path).dataset("pool")
            for direction in dataset.directions:
                assert len(dataset.read(direction, 0, ROWS)) == ROWS
                assert (path / f"checkpoints/one/pool/{direction}/manifest.json").exists()
    except (StoreNotFoundError, IncompleteError):
        assert kind not in ("direction", "artefact"), "what was sealed before must stay readable"


def counted(report: Path, work: Callable[[], object]) -> None:
    """Write how many requests the work makes."""
    count = die_before(0)
    work()
    report.write_text(str(count()))


def moments(requests: int, kills: int) -> Iterator[int]:
    """One request of each of `kills` spans, and some more: threads may make a request or two less than they did."""
    draw = random.Random(requests)
    bounds = [1 + requests * each // kills for each in range(kills + 1)]
    yield from (draw.randrange(first, last) for first, last in itertools.pairwise(bounds) if first < last)
    yield from (draw.randrange(1, requests) for _ in range(kills))


def main(folder: Path, kind: str, kills: int) -> None:
    work = WORK[kind]
    gc.freeze()
    wrong, done = [], 0
    whole, before = folder / "whole", folder / "before"
    forked(lambda: (quick(), prepare(folder, kind)))
    kept = objects(before) if kind == "direction" else {}
    kept = {name: data for name, data in kept.items() if name not in ("README.md", "index.json")}
    if before.exists():
        shutil.copytree(before, whole)
    forked(lambda: counted(folder / "requests", lambda: work(whole, folder / "log")))
    requests = int((folder / "requests").read_text())
    expected = objects(whole)
    if kind == "merge":
        forked(lambda: (quick(), write_rows(folder / "single", folder / "log")))
        if objects(folder / "single") != expected:
            wrong.append("merged parts are not what one process writes")
    if any("/." in f"/{name}" for name in expected):
        wrong.append(f"a lock or a temporary file is left: {sorted(expected)}")
    for step in moments(requests, kills):
        if done == kills:
            break
        path, log = folder / "store", folder / f"log-{step}"
        if before.exists():
            shutil.copytree(before, path)
        done += not forked(lambda: (die_before(step), work(path, log)))  # noqa: B023 (called at once)
        if not kept.items() <= objects(path).items():
            wrong.append(f"step {step}: what was sealed has changed")
        log.touch()
        made = log.read_text().split()
        forked(lambda: (quick(), read(path, kind), work(path, log)))  # noqa: B023
        again = log.read_text().split()[len(made) :]
        if set(made) & set(again):
            wrong.append(f"step {step}: made chunks {again} again after {made}")
        found = objects(path)
        if found != expected:
            differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong.append(f"step {step}: {differ}")
        shutil.rmtree(path)
    print(json.dumps({"kills": done, "objects": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
