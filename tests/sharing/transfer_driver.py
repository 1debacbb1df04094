"""Kills a push or a pull at random moments, looks at what it left, and lets it finish.

Run as ``python -m tests.sharing.transfer_driver FOLDER push|pull KILLS [URL]``; prints one JSON line. Each attempt is a
forked process that dies by SIGKILL before a random request to the file system or the bucket, which its threads make in
any order. With a URL the copies lie there; a process that has spoken to a bucket cannot be forked, so children do.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import zarr  # noqa: F401  (imported here once, not in every fork)

from gradstore.errors import IncompleteError, StoreNotFoundError
from gradstore.graph import build_graph
from gradstore.inspection import verify
from gradstore.sharing import pull, push, write_card
from gradstore.storage import Location, remote
from gradstore.storage.lease import Timing
from gradstore.store import embed_adapter, open_store, read_artefact
from tests.killing import die_before, digests, forked, quick
from tests.store.crash_driver import ROWS, write_rows


def make(path: Path) -> None:
    """A store with two data sets, one of them in two directions, an adapter and a graph."""
    quick()
    write_rows(path, path.parent / "log", {"adam": 4, "rds": 3})
    write_rows(path, path.parent / "log", {"adam": 4}, name="goal")
    store = open_store(path)
    embed_adapter(store, "one", {"adapter_config.json": b"{}", "tokenizer.json": b"[1]"})
    build_graph(store, neighbours=2, name="g", direction="adam")
    write_card(store)


def counted(report: Path, work: Callable[[], object], bucket: bool) -> None:
    """Write how many requests the work makes."""
    count = die_before(0, bucket)
    work()
    report.write_text(str(count()))


def look(place: Location) -> None:
    """What can be read is whole; what is not whole is said to be unfinished."""
    try:
        store = open_store(place)
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
            graph = read_artefact(store, "graphs", name)
        except IncompleteError:
            continue
        assert all(len(array) == 2 * ROWS for array in graph.arrays.values())
    for problem in verify(place):
        assert not any(told in problem.what for told in ("checksum", "bytes instead", "is missing")), problem


def main(folder: Path, kind: str, kills: int, url: str = "") -> None:
    source, notes, bucket = folder / "source", folder / "notes", bool(url)
    copy = push if kind == "push" else pull
    remote.TIMING = Timing(span=1, renewal=0.2)  # what a killed process holds is free soon
    gc.freeze()
    forked(partial(make, source))
    expected = digests(source, notes)
    place: Location = f"{url}/whole" if url else folder / "whole"
    forked(lambda: counted(folder / "requests", lambda: copy(source, place), bucket))
    requests = int((folder / "requests").read_text())
    draw, wrong, killed = random.Random(kind), [], 0
    for attempt in range(8 * kills):
        if killed >= kills:
            break
        step = draw.randrange(1, requests)
        place = f"{url}/{attempt}" if url else folder / str(attempt)

        def begin(step: int, place: Location = place) -> bool:
            return forked(lambda: (die_before(step, bucket), copy(source, place)))

        if begin(step):
            continue
        killed += 1
        left = digests(place, notes)
        kept = {name: each for name, each in left.items() if name.endswith("manifest.json")}
        for name, each in left.items():
            if not Path(name).name.startswith(".") and "/" in name and expected[name] != each:
                wrong.append(f"attempt {attempt}, step {step}: {name} is not that of the source")
        forked(partial(look, place))
        if draw.random() < 0.5:  # a second kill on top of the first
            begin(draw.randrange(1, requests))
            forked(partial(look, place))
        begin(0)
        found = digests(place, notes)
        if found != expected:
            differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong.append(f"attempt {attempt}, step {step}: {differ}")
        if not kept.items() <= found.items():
            wrong.append(f"attempt {attempt}, step {step}: what was sealed has changed")
    if digests(source, notes) != expected:
        wrong.append("the source has changed")
    print(json.dumps({"kills": killed, "requests": requests, "objects": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
