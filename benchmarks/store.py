"""The store against the least that its work could cost: mapped files, a plain write, a product of rows in memory.

    python benchmarks/store.py [--rows 100000] [--dim 8192] [--targets 200] [--rounds 5] [--folder DIR]

One thread for arithmetic. Figures are CPU-seconds and seconds, medians of interleaved rounds; files are in the system's
cache. A second part opens a store of ten million rows, and scans one of a million, each in a process of its own whose
peak memory counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import numpy as np
import zarr

import gradstore
from gradstore.graph.nodes import Nodes
from gradstore.graph.sets import open_nodes
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.select.context import SelectionContext
from gradstore.select.target import Target
from gradstore.store import Dataset, DatasetWriter
from gradstore.store.manifest import Entry

BLOCK = 1024
SCAN = """
import sys, time
import numpy as np, gradstore
started = time.monotonic()
store = gradstore.open(sys.argv[1])
dataset = store.dataset("pool")
if sys.argv[2] == "scan":
    total = sum(float(block[:, 0].sum()) for _, block in dataset.blocks("sgd"))
print(time.monotonic() - started)
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 1024)
"""


class Random:
    """Rows drawn when asked for, so that a large matrix needs no memory."""

    def __init__(self, rows: int, dim: int) -> None:
        self.shape, self.dtype, self.ndim = (rows, dim), np.dtype(np.float32), 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray[Any, Any]:
        start, stop, _ = rows.indices(len(self))
        draw = np.random.default_rng(start).standard_normal(
            (min(BLOCK, stop - start), self.shape[1]), np.float32
        )
        return np.resize(draw, (stop - start, self.shape[1]))


def make_store(folder: Path, rows: int, dim: int, targets: int) -> Path:
    for name, count, target in (("pool", rows, False), ("goal", targets, True)):
        gradstore.import_arrays(
            folder, name=name, gradients=Random(count, dim), encoding="int8", target=target
        )  # type: ignore[arg-type]
    return folder


def timed(work: Callable[[], object]) -> tuple[float, float]:
    before, started = time.process_time(), time.monotonic()
    work()
    return time.process_time() - before, time.monotonic() - started


def compare(contestants: dict[str, Callable[[], object]], rounds: int, unit: float, what: str) -> None:
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for work in contestants.values():  # once to warm up
        work()
    for _ in range(rounds):
        for name, work in contestants.items():
            runs[name].append(timed(work))
    ours = next(iter(contestants))
    print(f"\n{'':<44}{'CPU-s':>8}{'s':>8}{what:>10}{'ours is, by CPU':>17}{'by time':>9}")
    for name, each in runs.items():
        cpu, wall = (statistics.median(run[i] for run in each) for i in (0, 1))
        ratios = [
            statistics.median(theirs[i] / mine[i] for theirs, mine in zip(each, runs[ours], strict=True))
            for i in (0, 1)
        ]
        shown = "" if name == ours else f"{ratios[0]:>15.2f} x{ratios[1]:>7.2f} x"
        print(f"{name:<44}{cpu:>8.3f}{wall:>8.3f}{unit / wall:>10.2f}{shown}", flush=True)


def reading(store: Path, dataset: Dataset, rounds: int) -> None:
    files = sorted(
        (store / "checkpoints/imported/pool/sgd/gradient/c").glob("*/0"), key=lambda f: int(f.parent.name)
    )
    shape = (dataset.chunks[0].stop, dataset.dim("sgd"))

    def ours() -> None:
        for _, codes, _ in dataset.encoded("sgd"):
            codes.max()

    def mapped() -> None:
        for file, rows in zip(files, dataset.chunks, strict=True):
            np.memmap(file, np.int8, "r", shape=shape)[: len(rows)].max()

    def plain() -> None:
        array = zarr.open_array(str(store), path="checkpoints/imported/pool/sgd/gradient", mode="r")
        for rows in dataset.chunks:
            array[rows.start : rows.stop].max()  # type: ignore[union-attr]

    size = len(dataset) * dataset.dim("sgd") / 1e9
    compare(
        {"read int8 rows": ours, "  np.memmap of the same files": mapped, "  zarr-python": plain},
        rounds,
        size,
        "GB/s",
    )


def writing(folder: Path, dim: int, rounds: int) -> None:
    rows = 32 * BLOCK
    blocks = [gradient_block(range(start, start + BLOCK), dim) for start in range(0, rows, BLOCK)]
    codes = np.random.default_rng(0).integers(-127, 127, (rows, dim), np.int8)
    count = iter(range(1 << 30))
    identity = CheckpointIdentity(projection=ProjectionSpec("external", dim, 0))

    def ours() -> None:
        with DatasetWriter.open(
            folder / "written.zarr", checkpoint="c", identity=identity, name=f"w{next(count)}", rows=rows,
            directions={"sgd": dim}, chunk_rows=BLOCK, content_digest="",
        ) as writer:  # fmt: skip
            for _ in writer.write_all(enumerate(blocks)):
                pass
            writer.seal()

    def plain() -> None:
        for start in range(0, rows, BLOCK):
            with (folder / f"plain{next(count)}").open("wb") as file:
                file.write(codes[start : start + BLOCK].tobytes())
                file.flush()
                os.fsync(file.fileno())

    compare(
        {"write float32 rows as int8": ours, "  a plain synchronised write of the codes": plain},
        rounds, rows * dim / 1e9, "GB/s",
    )  # fmt: skip


def gradient_block(span: range, dim: int) -> GradientBlock:
    rows = len(span)
    return GradientBlock(
        ids=[f"row-{row}" for row in span], sources=["s"] * rows, subtasks=[""] * rows, reasons=[""] * rows,
        records=[b"{}"] * rows, loss=np.zeros(rows, np.float32), tokens=np.ones(rows, np.int32),
        valid=np.ones(rows, bool), truncated=np.zeros(rows, bool), contents=np.zeros((rows, 12), np.uint8),
        gradients={"sgd": np.random.default_rng(span.start).standard_normal((rows, dim), np.float32)},
    )  # fmt: skip


def scoring(store: Path, rows: int, dim: int, rounds: int) -> None:
    both = open_nodes(gradstore.open(store), train=["pool"], targets=["goal"])
    pool, goal = (Nodes([part], both.weights) for part in both.parts)
    targets = goal.take(np.arange(len(goal)))
    held = np.concatenate([block for _, block in pool.blocks()])

    def ours() -> None:
        SelectionContext(pool, target=Target("goal", goal)).similarity()

    def numpy_only() -> None:
        found = np.empty((len(held), len(targets)), np.float32)
        for start in range(0, len(held), BLOCK):
            found[start : start + BLOCK] = held[start : start + BLOCK] @ targets.T

    compare(
        {f"LESS scores, {len(targets)} targets": ours, "  the product alone, float32 rows in memory": numpy_only},
        rounds, 2 * rows * dim * len(targets) / 1e9, "GFLOP/s",
    )  # fmt: skip


def huge(folder: Path, rows: int, dim: int) -> Path:
    """A store whose chunks were never written: all that opening looks at is real, the rows are holes in the files."""
    store, chunk_rows = folder / "huge.zarr", (8 << 20) // dim
    identity = CheckpointIdentity(projection=ProjectionSpec("external", dim, 0))
    with DatasetWriter.open(
        store, checkpoint="imported", identity=identity, name="pool", rows=rows, directions={"sgd": dim},
        content_digest="", attributes={"target": False},
    ) as writer:  # fmt: skip
        spec = writer.dataset.vectors["sgd"].gradient(writer.settings)
        seal(store / "checkpoints/imported/pool", writer, spec, -(-rows // chunk_rows))
    return store


def seal(place: Path, writer: DatasetWriter, spec: Any, chunks: int) -> None:
    from gradstore.store.identity import comparability
    from gradstore.store.recorder import Recorder

    recorder = Recorder(writer.dataset.folder)
    recorder.keep("zarr.json")
    recorder.keep("columns/zarr.json")
    for name, dtype in (("valid", "bool"), ("tokens", "int32"), ("loss", "float32"), ("truncated", "bool")):
        recorder.put_array(f"columns/{name}", np.ones(writer.settings.rows, dtype))
    columns = recorder.seal(
        checkpoint=comparability(writer.identity), valid=writer.settings.rows, truncated=0, reasons={}
    )
    folder = writer.dataset.of("sgd")
    direction = Recorder(folder)
    direction.keep("zarr.json")
    direction.keep("gradient/zarr.json")
    for name in ("norm", "scale"):
        direction.put_array(name, np.ones(writer.settings.rows, np.float32))
    for chunk in range(chunks):
        file = place / "sgd/gradient" / spec.key(chunk)
        file.parent.mkdir(parents=True)
        with file.open("wb") as handle:
            handle.truncate(spec.object_bytes)
        direction.objects[f"gradient/{spec.key(chunk)}"] = Entry(spec.object_bytes, "0" * 64)
    direction.seal(dataset=columns.digest, fidelity=None)


def process(store: Path, what: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", SCAN, store, what], capture_output=True, text=True, check=True
    )
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to make the stores; by default a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        folder = Path(made)
        store = make_store(folder / "s.zarr", arguments.rows, arguments.dim, arguments.targets)
        reading(store, gradstore.open(store).dataset("pool"), arguments.rounds)
        writing(folder, arguments.dim, arguments.rounds)
        scoring(store, arguments.rows, arguments.dim, arguments.rounds)
        print(f"\n{'':<44}{'s':>8}{'peak MiB':>10}")
        for title, rows, dim, what in (
            ("open 10,000,000 x 8192", 10_000_000, 8192, "open"),
            ("scan 1,000,000 x 1024", 1_000_000, 1024, "scan"),
        ):
            place = huge(folder / what, rows, dim)
            seconds, peak = process(place, what)
            print(f"{title:<44}{seconds:>8.2f}{peak:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
