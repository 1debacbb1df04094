"""What each selector takes, and how that grows: time and memory of a choice of 1 % in a process of its own.

    python benchmarks/selectors/growth.py [--rows 10000 --rows 100000] [--dim 1024] [--targets 200] [--checkpoints 2]
        [--selector less ...] [--folder DIR]
    python benchmarks/selectors/growth.py --less [--rows 1000000] [--dim 1024] [--targets 200] [--checkpoints 4]

Rows are synthetic (clusters with noise) and stored as int8. One thread. The graph that g2is and d2 walk on is not
counted: its neighbours are the nearest rows of the same cluster, found beforehand. The second form measures LESS
against the product of as many rows in memory with as many target rows, by NumPy alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np
import numpy.typing as npt

import gradstore
from gradstore.graph.nodes import Nodes
from gradstore.graph.sets import open_nodes
from gradstore.select import selectors
from gradstore.select.context import SelectionContext
from gradstore.select.resolve import resolve
from gradstore.select.target import Target

BLOCK, NEIGHBOURS, CLUSTERS = 1024, 32, 500
BUDGET = 100


class Clustered:
    """Rows drawn when asked for: a centre that all checkpoints share, and noise of their own."""

    def __init__(self, rows: int, dim: int, checkpoint: int, seed: int = 0) -> None:
        self.shape, self.dtype, self.ndim = (rows, dim), np.dtype(np.float32), 2
        self._centres = np.random.default_rng(99).standard_normal((CLUSTERS, dim)).astype(np.float32)
        self._key = (seed, checkpoint)

    def __len__(self) -> int:
        return self.shape[0]

    def kinds(self, block: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self._key[0], block)).integers(CLUSTERS, size=BLOCK)

    def __getitem__(self, rows: slice) -> npt.NDArray[np.float32]:
        first, last = rows.start // BLOCK, -(-rows.stop // BLOCK)
        made = []
        for block in range(first, last):
            noise = np.random.default_rng((*self._key, block)).standard_normal(
                (BLOCK, self.shape[1]), np.float32
            )
            made.append(noise + 0.5 * self._centres[self.kinds(block)])
        return np.concatenate(made)[rows.start - first * BLOCK :][: rows.stop - rows.start]


def make(place: Path, count: int, options: argparse.Namespace) -> None:
    """A store of synthetic rows with a target, and neighbours beside it."""
    if place.with_suffix(".npz").exists():
        return
    pool = Clustered(count, options.dim, 0)
    draw = np.random.default_rng(5)
    figures = {"tokens": draw.integers(20, 400, count), "loss": draw.random(count)}
    for checkpoint in range(options.checkpoints):
        for direction in ("sgd", *(["rds"] if not options.less else [])):
            key = {"checkpoint": f"{direction}-{checkpoint}", "direction": direction, "encoding": "int8"}
            rows: Any = Clustered(count, options.dim, checkpoint)
            aim: Any = Clustered(options.targets, options.dim, checkpoint, seed=1)
            gradstore.import_arrays(place, name="pool", gradients=rows, **key, **figures)
            gradstore.import_arrays(place, name="goal", gradients=aim, target=True, **key)
    if options.less:
        np.savez(place.with_suffix(".npz"))
        return
    kinds = np.concatenate([pool.kinds(block) for block in range(-(-count // BLOCK))])[:count]
    links = np.full((count, NEIGHBOURS), -1, np.int32)
    cosines = np.zeros(links.shape, np.float32)
    nodes = nodes_of(place, "sgd", options)[0]
    order = np.argsort(kinds, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
        vectors = nodes.take(members)
        found = vectors @ vectors.T
        np.fill_diagonal(found, -np.inf)
        near = np.argsort(-found, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(members) - 1)]
        links[members, : near.shape[1]] = members[near]
        cosines[members, : near.shape[1]] = np.take_along_axis(found, near, axis=1)
    np.savez(place.with_suffix(".npz"), links=links, cosines=cosines)


def nodes_of(place: Path, direction: str, options: argparse.Namespace) -> tuple[Nodes, Nodes]:
    keys = [f"{direction}-{number}" for number in range(options.checkpoints)]
    both = open_nodes(gradstore.open(place), train=["pool"], targets=["goal"], checkpoints=keys)
    return Nodes(both.parts[:1], both.weights), Nodes(both.parts[1:], both.weights)


def one(place: Path, name: str, options: argparse.Namespace) -> None:
    """Choose in this process, and say what it took."""
    pool, goal = nodes_of(place, "rds" if name == "rds" else "sgd", options)
    held = np.load(place.with_suffix(".npz"))
    context = SelectionContext(
        pool, target=Target("goal", goal), graph=lambda: (held["links"], held["cosines"])
    )
    before, started = time.process_time(), time.monotonic()
    resolve(name).select(context, max(1, len(pool) // BUDGET))
    cpu, wall = time.process_time() - before, time.monotonic() - started
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak}))


def product(place: Path, options: argparse.Namespace) -> None:
    """The least that the similarities could cost: as many float32 rows, in memory, times the target rows."""
    goal = nodes_of(place, "sgd", options)[1]
    directions = goal.take(np.arange(len(goal)))
    rows = np.random.default_rng(0).standard_normal((BLOCK, directions.shape[1]), np.float32)
    before, started = time.process_time(), time.monotonic()
    for _ in range(-(-options.rows[0] // BLOCK)):
        rows @ directions.T
    print(json.dumps({"cpu": time.process_time() - before, "wall": time.monotonic() - started, "peak": 0}))


def measured(place: Path, name: str, options: argparse.Namespace, what: str = "--one") -> dict[str, float]:
    shape = ["--dim", options.dim, "--targets", options.targets, "--checkpoints", options.checkpoints]
    command = [sys.executable, __file__, *map(str, shape), "--rows", options.rows[0], what, place, name]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def grown(options: argparse.Namespace) -> None:
    rows = options.rows = options.rows or [10_000, 100_000]
    shape = f"1 % of rows of {options.dim} numbers at {options.checkpoints} checkpoints"
    print(f"\n{shape}, {options.targets} target rows\n")
    heads = [f"{count} rows: CPU-s | peak MiB" for count in rows]
    print(f"| selector | {' | '.join(heads)} | growth of time |")
    print("|---|" + "---:|---:|" * len(rows) + "---:|")
    places = [options.folder / f"{count}.zarr" for count in rows]
    for place, count in zip(places, rows, strict=True):
        make(place, count, options)
    for name in options.selector or [info.name for info in selectors()]:
        found = [measured(place, name, options) for place in places]
        cells = [f"{each['cpu']:.1f} | {each['peak']:.0f}" for each in found]
        power = (
            np.log(found[-1]["cpu"] / found[0]["cpu"]) / np.log(rows[-1] / rows[0]) if len(rows) > 1 else 0
        )
        print(f"| {name} | {' | '.join(cells)} | rows^{power:.2f} |", flush=True)


def less(options: argparse.Namespace) -> None:
    options.rows = options.rows or [1_000_000]
    place = options.folder / "less.zarr"
    make(place, options.rows[0], options)
    shape = f"{options.rows[0]} rows of {options.dim} numbers at {options.checkpoints} checkpoints"
    print(f"\n{shape}, {options.targets} target rows\n")
    print("| | CPU-s | seconds | peak MiB |")
    print("|---|---:|---:|---:|")
    for _ in range(3):
        for name, what in (("product alone", "--product"), ("less", "--one"), ("round-robin", "--one")):
            found = measured(place, name, options, what)
            print(f"| {name} | {found['cpu']:.1f} | {found['wall']:.1f} | {found['peak']:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--selector", action="append")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--less", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--product", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(Path(options.one[0]), options.one[1], options)
        return
    if options.product:
        product(Path(options.product[0]), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = options.folder or Path(folder)
        options.folder.mkdir(parents=True, exist_ok=True)
        less(options) if options.less else grown(options)


if __name__ == "__main__":
    main()
