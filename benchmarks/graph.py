"""Building graphs: against a plain blocked product, faiss and pynndescent; memory and growth up to a million rows.

    python benchmarks/graph.py exact [--rows 20000] [--dim 1024] [--rounds 3]
    python benchmarks/graph.py hnsw [--rows 100000] [--dim 1024] [--rounds 1]          (wants faiss-cpu)
    python benchmarks/graph.py descent [--rows 50000] [--dim 1024] [--rounds 1]        (wants pynndescent)
    python benchmarks/graph.py large [--rows 1000000] [--dim 1024] [--memory 4]
    python benchmarks/graph.py growth [--most 300000] [--dim 1024]

32 neighbours a row. Rows are unit vectors: noise, plus 0.6 of one of 200 random centres, plus half of a random mixture
of 64 directions whose share falls with the root of their number; stored as int8, as `extract` stores them, and decoded.
CPU-seconds of this process, medians of interleaved rounds; one thread for arithmetic in the first three parts. Recall
is over 1000 random rows against exact neighbours. `large` and `growth` build from a store on disk, in a process of its
own whose peak memory counts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gradstore
from gradstore.graph.exact import Wanted, exact_lists, nearest_to
from gradstore.graph.hnsw import Search, hnsw_lists, index_bytes
from gradstore.graph.products import Float32
from gradstore.graph.sketch import choose_sketch
from gradstore.graph.vectors import Dense, Float

M = 32
BLOCK = 1024
SEARCH = Search(M=16, ef_construction=100, ef=128, keep=6 * M, workers=2)


class Synthetic:
    """Rows drawn block by block when asked for, so that many of them need no memory."""

    def __init__(self, rows: int, dim: int, seed: int = 0) -> None:
        self.shape, self.dtype, self.ndim = (rows, dim), np.dtype(np.float32), 2
        rng = np.random.default_rng(seed)
        self._seed = seed
        self._centres = rng.standard_normal((200, dim), np.float32) * np.float32(0.6 / dim**0.5)
        shares = (np.arange(1, 65) ** -0.5)[:, None]
        self._mixed = (0.5 * shares * rng.standard_normal((64, dim)) / dim**0.5).astype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Float:
        start, stop, _ = rows.indices(len(self))
        blocks = [self._block(i) for i in range(start // BLOCK, -(-stop // BLOCK))]
        first = start // BLOCK * BLOCK
        return np.concatenate(blocks)[start - first : stop - first]

    def _block(self, number: int) -> Float:
        rng = np.random.default_rng([self._seed, number])
        rows = rng.standard_normal((BLOCK, self.shape[1]), np.float32) / np.float32(self.shape[1] ** 0.5)
        rows += self._centres[rng.integers(0, 200, BLOCK)]
        rows += rng.standard_normal((BLOCK, 64), np.float32) @ self._mixed
        return rows


def stored_rows(rows: int, dim: int) -> Dense:
    """Synthetic rows as a store gives them back."""
    held = Synthetic(rows, dim)[0:rows]
    for start in range(0, rows, BLOCK):
        block = held[start : start + BLOCK]
        scale = np.abs(block).max(axis=1, keepdims=True) / 127
        block[:] = np.rint(block / scale)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return Dense(held)


def race(contestants: dict[str, Callable[[], Any]], rounds: int, score: Callable[[Any], float]) -> None:
    """Run all in turn and print CPU-seconds, ratios to the first, and what each came to."""
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    scores = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = time.process_time()
            found = run()
            spent[name].append(time.process_time() - started)
            scores[name] = score(found)
    base = statistics.median(next(iter(spent.values())))
    print("| | CPU-seconds | ratio | recall |\n|---|---|---|---|")
    for name, times in spent.items():
        middle = statistics.median(times)
        print(f"| {name} | {middle:.1f} | {middle / base:.2f} | {scores[name]:.3f} |", flush=True)


def recall_of(vectors: Dense) -> Callable[[Any], float]:
    rows = np.sort(np.random.default_rng(1).choice(len(vectors), min(1000, len(vectors)), replace=False))
    true, _ = nearest_to(vectors, rows, M)

    def recall(found: Any) -> float:
        pairs = zip(np.asarray(found)[rows], true, strict=True)
        return float(np.mean([len(np.intersect1d(ours, theirs)) / M for ours, theirs in pairs]))

    return recall


def without_self(found: Any) -> Any:
    """Drop each row from its own list, or the last neighbour where it is not in it."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(found), -1)


def plain_product(vectors: Dense) -> Any:
    """What one would write by hand: blocks of rows times all rows, and the largest of each."""
    import torch

    rows = torch.from_numpy(vectors.read(0, len(vectors)))
    found = []
    for start in range(0, len(rows), BLOCK):
        product = rows[start : start + BLOCK] @ rows.T
        product.diagonal(start).fill_(-2)
        found.append(product.topk(M, dim=1).indices)
    return torch.cat(found).numpy()


def our_hnsw(vectors: Dense) -> Any:
    sketch = choose_sketch(vectors, M, keep=SEARCH.keep, seed=0)
    return hnsw_lists(vectors, [Wanted(1, M)], SEARCH, sketch)[0][0][0]


def exact_part(vectors: Dense, rounds: int) -> None:
    contestants: dict[str, Callable[[], Any]] = {
        "torch, float32 product and topk": lambda: plain_product(vectors),
        "gradstore, exact": lambda: exact_lists(vectors, [Wanted(1, M)])[0][0],
        "gradstore, exact, without torch": lambda: exact_lists(vectors, [Wanted(1, M)], engine=Float32())[0][
            0
        ],
    }
    race(contestants, rounds, recall_of(vectors))


def hnsw_part(vectors: Dense, rounds: int) -> None:
    import faiss

    def theirs(links: int, building: int, searching: int) -> Any:
        faiss.omp_set_num_threads(1)
        index = faiss.IndexHNSWFlat(vectors.dim, links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = building, searching
        index.add(vectors.read(0, len(vectors)))
        return without_self(index.search(vectors.read(0, len(vectors)), M + 1)[1])

    contestants: dict[str, Callable[[], Any]] = {
        "faiss, HNSW M 16, efConstruction 100, efSearch 128": lambda: theirs(16, 100, 128),
        "gradstore, hnsw": lambda: our_hnsw(vectors),
        "gradstore, exact": lambda: exact_lists(vectors, [Wanted(1, M)])[0][0],
    }
    race(contestants, rounds, recall_of(vectors))


def descent_part(vectors: Dense, rounds: int) -> None:
    import pynndescent

    def theirs() -> Any:
        index = pynndescent.NNDescent(
            vectors.read(0, len(vectors)), metric="dot", n_neighbors=M + 1, n_jobs=1, random_state=0
        )
        return without_self(index.neighbor_graph[0])

    pynndescent.NNDescent(np.random.default_rng(0).random((500, 8), np.float32), metric="dot", n_neighbors=5)
    contestants: dict[str, Callable[[], Any]] = {
        "pynndescent": theirs,
        "gradstore, exact": lambda: exact_lists(vectors, [Wanted(1, M)])[0][0],
        "gradstore, hnsw": lambda: our_hnsw(vectors),
    }
    race(contestants, rounds, recall_of(vectors))


BUILD = """
import json, sys, time
from pathlib import Path
import gradstore
settings = json.loads(sys.argv[2])
started, spent = time.monotonic(), time.process_time()
graph = gradstore.build_graph(sys.argv[1], log=lambda line: print(line, file=sys.stderr, flush=True), **settings)
print(json.dumps({
    "seconds": time.monotonic() - started,
    "cpu": time.process_time() - spent,
    "recall": graph.recall,
    # Not ru_maxrss, which begins with what the parent process held.
    "peak": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20,
    **graph.attributes["settings"],
}))
"""


def built(rows: int, dim: int, folder: Path, **settings: Any) -> dict[str, Any]:
    """Build a graph over a store on disk in another process."""
    store = folder / f"{rows}x{dim}"
    if not store.exists():
        gradstore.import_arrays(store, name="pool", gradients=Synthetic(rows, dim), encoding="int8")  # type: ignore[arg-type]
    command = [sys.executable, "-c", BUILD, str(store), json.dumps({"rebuild": True, **settings})]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def large_part(rows: int, dim: int, memory: float, folder: Path, effort: tuple[int, int]) -> None:
    building, searching = effort
    limit = int(memory * 2**30)
    figures = built(rows, dim, folder, method="hnsw", memory=limit, ef_construction=building, ef=searching)
    index = index_bytes(rows, figures["sketch"] or dim, figures["M"]) / 2**30
    print(
        f"{rows:,} rows of {dim}, ef_construction {building}, ef {searching}, sketch of {figures['sketch']}"
    )
    print(
        f"{figures['seconds'] / 60:.1f} min, {figures['cpu'] / 60:.1f} CPU-minutes, recall {figures['recall']:.3f}"
    )
    print(
        f"index {index:.1f} GiB, peak {figures['peak']:.1f} GiB: {figures['peak'] - index:.1f} GiB above the index"
    )


def growth_part(most: int, dim: int, memory: float, folder: Path) -> None:
    sizes = list(_sizes(most))
    print("| rows | exact, CPU-s | hnsw, CPU-s | hnsw, recall |\n|---|---|---|---|")
    spent: dict[str, list[float]] = {"exact": [], "hnsw": []}
    for rows in sizes:
        limit = int(memory * 2**30)
        exact, hnsw = (built(rows, dim, folder, method=method, memory=limit) for method in spent)
        spent["exact"].append(exact["cpu"])
        spent["hnsw"].append(hnsw["cpu"])
        print(f"| {rows:,} | {exact['cpu']:.0f} | {hnsw['cpu']:.0f} | {hnsw['recall']:.3f} |", flush=True)
    for method, times in spent.items():
        power = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        print(f"{method}: CPU time grows as rows to the power {power:.2f}")


def _sizes(most: int) -> Iterator[int]:
    rows = 10_000
    while rows <= most:
        yield rows
        rows *= 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["exact", "hnsw", "descent", "large", "growth"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", type=float, default=4.0, help="GiB")
    parser.add_argument("--effort", type=int, nargs=2, default=(100, 128), help="ef_construction and ef")
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where stores are made, and kept")
    options = parser.parse_args()
    if options.part in ("large", "growth"):
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            if options.part == "large":
                large_part(
                    options.rows or 1_000_000, options.dim, options.memory, folder, tuple(options.effort)
                )
            else:
                growth_part(options.most, options.dim, options.memory, folder)
        return
    part, rows = {
        "exact": (exact_part, 20_000),
        "hnsw": (hnsw_part, 100_000),
        "descent": (descent_part, 50_000),
    }[options.part]
    vectors = stored_rows(options.rows or rows, options.dim)
    print(f"{len(vectors):,} rows of {options.dim}")
    import torch

    torch.set_num_threads(1)
    part(vectors, options.rounds)


if __name__ == "__main__":
    main()
