"""Lets processes write one data set at once, kills them at random moments, repeats, and compares every byte.

Run as ``python -m tests.store.race_driver FOLDER one|two|direction KILLS``; prints one JSON line. In the first trials
nobody is killed, then one process, then all of them, until that many have died.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import zarr  # noqa: F401  (imported here once, not in every fork)

from gradstore.records import CheckpointIdentity, ProjectionSpec
from gradstore.store import DatasetWriter, open_store
from tests.killing import forked, objects, quick, start
from tests.store.crash_driver import block

ROWS, CHUNK_ROWS = 7, 2
CHUNKS = 4
MOST = 4
"""Trials for a kill that is wanted: a process may end before its moment comes."""


def write(path: Path, log: Path, directions: dict[str, int]) -> None:
    """Compute what nobody else has, as often as there is something; then seal."""
    quick()
    identity = CheckpointIdentity(base="tiny", projection=ProjectionSpec("sjlt", 4, 0))
    with DatasetWriter.open(
        path, checkpoint="one", identity=identity, name="pool", rows=ROWS, directions=directions,
        chunk_rows=CHUNK_ROWS, content_digest="d",
    ) as writer:  # fmt: skip
        while missing := writer.missing():
            for chunk in missing:
                claim = writer.claim(chunk)
                if claim is None:
                    time.sleep(0.001)
                    continue
                with claim:
                    made = block(claim.rows, {name: directions[name] for name in claim.directions})
                    with log.open("a") as file:
                        file.write("".join(f"{name}-{chunk}\n" for name in claim.directions))
                    claim.write(made)
        writer.seal()


def race(path: Path, log: Path, jobs: list[dict[str, int]], moments: list[float]) -> int:
    """Let processes run at once, kill the first of them at these moments; how many died."""
    children = [start(lambda job=job: write(path, log, job)) for job in jobs]
    begun = time.monotonic()
    for moment, child in sorted(zip(moments, children, strict=False)):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        os.kill(child, signal.SIGKILL)  # a child that has ended is there until it is waited for
    died = 0
    for child in children:
        _, status = os.waitpid(child, 0)
        died += os.WIFSIGNALED(status)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit("see the traceback above")
    return died


def main(folder: Path, kind: str, wanted: int) -> None:
    jobs = {
        "one": [{"adam": 4, "rds": 3}],
        "two": [{"adam": 4, "rds": 3}] * 2,
        "direction": [{"rds": 3}, {"sgd": 4}],
    }[kind]
    gc.freeze()
    choice, wrong, kills = random.Random(0), [], 0
    before, whole = folder / "before", folder / "whole"
    if kind == "direction":
        forked(lambda: write(before, folder / "log", {"adam": 4}))
        shutil.copytree(before, whole)
    kept = objects(before)
    for job in jobs:
        forked(lambda job=job: write(whole, folder / "log", job))
    expected = objects(whole)
    shortest = float("inf")  # time that all took when nobody died
    for trial in range(MOST * wanted):
        if kills >= wanted:
            break
        path, log = folder / "store", folder / f"log-{trial}"
        log.touch()
        if before.exists():
            shutil.copytree(before, path)
        doomed = 0 if trial < 2 else 1 if kills < wanted / 2 else len(jobs)
        begun = time.monotonic()
        died = race(path, log, jobs, [choice.uniform(0, shortest) for _ in range(doomed)])
        if not died:
            shortest = min(shortest, time.monotonic() - begun)
        kills += died
        if not kept.items() <= objects(path).items():
            wrong.append(f"trial {trial}: what was sealed has changed")
        if doomed < len(jobs) and kind == "two" and len(open_store(path).dataset("pool")) != ROWS:
            wrong.append(f"trial {trial}: the process that lived has not finished")
        if died:
            for job in jobs:
                forked(lambda job=job: write(path, log, job))  # noqa: B023 (called at once)
        found, names = objects(path), {name for job in jobs for name in job}
        if found != expected:
            differ = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong.append(f"trial {trial}: {differ}")
        made = log.read_text().split()
        if len(made) > len(names) * (CHUNKS + died) or len(set(made)) != len(names) * CHUNKS:
            wrong.append(f"trial {trial}: {died} died, and made were {made}")
        shutil.rmtree(path)
    print(json.dumps({"kills": kills, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
