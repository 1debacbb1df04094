"""The walk of ``g2is`` against the published procedure at its published cost.

    python benchmarks/walk.py [--rows 20000] [--rounds 5] [--components 5] [--exact]
    python benchmarks/walk.py --large [--sizes 10000 100000 1000000] [--folder DIR]
    python benchmarks/walk.py --encodings [--golden ../shared/golden]

One thread for arithmetic. Figures are CPU-seconds, medians of interleaved rounds in which both walk over the same rows
and the same graph, in memory; identical picks are checked. The other side is `published`, written here: every test is
computed from all members anew, and the fallback goes through all rows.

Rows are synthetic: ``x = shared + cluster centre + low-rank part + noise``, each part a random direction, normalised.
The mean row has a norm of about 0.3, between that of plain gradients (0.03) and of Adam directions (0.5); the low-rank
part has 64 directions whose sizes fall as 1/√i; rows fall into clusters of 200. Target rows come from ten of the
clusters, and the components are their first principal ones.

``--large`` walks over int8 rows in a store, one per cent of 10⁴, 10⁵ and 10⁶ rows of 1024 numbers, each in a process of
its own whose peak memory counts. Neighbours are the nearest within a cluster, which is nearly exact and affordable.

``--encodings`` compares the picks from rows as a store would return them with those from the exact rows.
"""

from __future__ import annotations

import argparse
import json
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
import numpy.typing as npt

import gradstore
from gradstore.graph import exact_neighbours, open_nodes
from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Dense
from gradstore.records import Selection
from gradstore.select import SelectionContext, Target
from gradstore.select.g2is import G2IS, gradient_walk, mean_and_components, principal_components, target_walk
from gradstore.store.encodings import ENCODINGS

Floats = npt.NDArray[np.float32]
NEIGHBOURS = 32
CLUSTER = 200
BLOCK = 1024


class Gradients:
    """Synthetic rows, drawn a block at a time when they are asked for."""

    def __init__(self, rows: int, dim: int, clusters: range | None = None) -> None:
        self.shape, self.dtype, self.ndim = (rows, dim), np.dtype(np.float32), 2
        draw = np.random.default_rng(0)
        self._shared = _unit(draw.standard_normal((1, dim)))
        self._basis = _unit(draw.standard_normal((64, dim))) / np.sqrt(np.arange(1, 65))[:, None]
        self._clusters = clusters or range(max(1, rows // CLUSTER))
        self._target = clusters is not None

    def __len__(self) -> int:
        return self.shape[0]

    def kinds(self, start: int) -> npt.NDArray[np.int64]:
        """Cluster of each row of a block."""
        draw = np.random.default_rng([1, self._target, start])
        return draw.integers(self._clusters.start, self._clusters.stop, BLOCK)

    def block(self, start: int) -> Floats:
        dim = self.shape[1]
        draw = np.random.default_rng([2, self._target, start])
        centres = {
            int(kind): _unit(np.random.default_rng([3, int(kind)]).standard_normal((1, dim)))[0]
            for kind in np.unique(self.kinds(start))
        }
        rows = np.stack([centres[int(kind)] for kind in self.kinds(start)])
        rows += 0.6 * draw.standard_normal((BLOCK, 64), np.float32) @ self._basis.astype(np.float32)
        rows += 0.8 / np.sqrt(dim) * draw.standard_normal((BLOCK, dim), np.float32) + 0.6 * self._shared
        return _unit(rows)

    def __getitem__(self, rows: slice) -> Floats:
        start, stop, _ = rows.indices(len(self))
        first = start - start % BLOCK
        blocks = [self.block(at) for at in range(first, stop, BLOCK)]
        return np.concatenate(blocks)[start - first : stop - first]


def _unit(rows: npt.NDArray[Any]) -> Floats:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosine(total: Floats, component: Floats) -> float:
    return abs(float(total @ component)) / float(np.linalg.norm(total))


def published(
    rows: Floats,
    components: Floats,
    budgets: npt.NDArray[np.int64],
    graph: npt.NDArray[np.int32],
    delta: float = 0.8,
) -> list[int]:
    """The procedure as it is described, at the cost that the description has."""
    used = np.zeros(len(rows), bool)
    picks: list[int] = []
    for component, budget in zip(components, budgets, strict=True):
        if not budget:
            continue
        core = rows @ component
        order = np.argsort(-core, kind="stable")
        members = np.empty((budget, rows.shape[1]), np.float32)
        row, size, total = int(order[~used[order]][0]), 0, np.zeros(rows.shape[1], np.float32)

        def fits(i: int) -> bool:
            if (members[:size] @ rows[i]).min() < 0:  # noqa: B023
                return False
            return cosine(total + rows[i], component) >= delta * cosine(total, component)  # noqa: B023

        while True:
            members[size], size, total = rows[row], size + 1, total + rows[row]
            used[row] = True
            picks.append(row)
            if size == budget:
                break
            near = (int(i) for i in graph[row] if i >= 0 and not used[i])
            found = next((i for i in near if fits(i)), None)
            if found is None:
                found = next((int(i) for i in order if not used[i] and fits(int(i))), None)
            if found is None:
                break
            row = found
    return picks


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    before = time.process_time()
    found = work()
    return time.process_time() - before, found


def small(count: int, rounds: int, parts: int, exact: bool) -> None:
    print(f"\n{count} rows, {parts} components, {rounds} rounds, CPU-seconds\n")
    print(
        "| numbers | budget | engine | published | gradstore | ratio | local | fallback | refused | short |"
    )
    print("|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for dim in (1024, 8192):
        rows = Gradients(count, dim)[0:count]
        graph = exact_neighbours(Dense(rows), NEIGHBOURS)[0]
        core = principal_components(Gradients(64, dim, range(10))[0:64], 0.99)
        components, weights = core.directions[:parts], core.weights[:parts]
        for share in (0.01, 0.05):
            budget = int(count * share)
            engines: dict[str, Any] = {"lazy": graph} | ({"exact": NEIGHBOURS} if exact else {})
            first = gradient_walk(rows, components, weights, graph, budget)
            times: dict[str, list[float]] = {name: [] for name in ("published", *engines)}
            for _ in range(rounds):
                seconds, picks = timed(lambda: published(rows, components, first.budgets, graph))  # noqa: B023
                times["published"].append(seconds)
                for name, links in engines.items():
                    seconds, walk = timed(lambda: gradient_walk(rows, components, weights, links, budget))  # noqa: B023
                    times[name].append(seconds)
                    if walk.picks.tolist() != picks:
                        raise SystemExit(f"{name} picks other rows than the published procedure")
            for name in engines:
                theirs, ours = statistics.median(times["published"]), statistics.median(times[name])
                ratio = statistics.median(a / b for a, b in zip(times["published"], times[name], strict=True))
                print(
                    f"| {dim} | {share:.0%} | {name} | {theirs:.2f} | {ours:.3f} | {ratio:.1f} | {first.local} | "
                    f"{first.fallback} | {first.rejected_conflict + first.rejected_core} | {first.shortfall} |",
                    flush=True,
                )


def large(sizes: list[int], dim: int, folder: Path) -> None:
    print(f"\nint8 rows of {dim} numbers in a store, budget 1 %\n")
    print("| rows | preset | picks | seconds | CPU-s | peak MiB | local | fallback |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    seconds: dict[str, list[float]] = {}
    for count in sizes:
        make(folder / f"{count}.zarr", count, dim)
        for preset in ("authors", "robust"):
            command = [sys.executable, __file__, "--one", str(folder / f"{count}.zarr"), preset]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            one = json.loads(run.stdout)
            seconds.setdefault(preset, []).append(one["cpu"])
            print(
                f"| {count} | {preset} | {one['picks']} | {one['wall']:.1f} | {one['cpu']:.1f} | {one['peak']:.0f} "
                f"| {one['local']} | {one['fallback']} |",
                flush=True,
            )
    if len(sizes) > 1:
        for preset, each in seconds.items():
            power = np.log(each[-1] / each[0]) / np.log(sizes[-1] / sizes[0])
            print(f"{preset}: CPU-seconds grow as rows^{power:.2f} from {sizes[0]} to {sizes[-1]}")


def make(place: Path, count: int, dim: int) -> None:
    """A store of synthetic rows with a target, and their neighbours beside it."""
    if not place.exists():
        pool = Gradients(count, dim)
        gradstore.import_arrays(place, name="pool", gradients=pool, encoding="int8")  # type: ignore[arg-type]
        aim = Gradients(64, dim, range(10))
        gradstore.import_arrays(place, name="goal", gradients=aim, encoding="int8", target=True)  # type: ignore[arg-type]
    links = place.with_suffix(".npy")
    if links.exists():
        return
    nodes = open_nodes(gradstore.open(place), train=["pool"], targets=[])
    kinds = np.concatenate([Gradients(count, dim).kinds(start) for start in range(0, count, BLOCK)])[:count]
    found = np.full((count, NEIGHBOURS), -1, np.int32)
    order = np.argsort(kinds, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1):
        vectors = nodes.take(members)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -np.inf)
        near = np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(members) - 1)]
        found[members, : near.shape[1]] = members[near]
    np.save(links, found)


def one(place: Path, preset: str) -> None:
    """Walk in this process, and say what it took."""
    links = np.load(place.with_suffix(".npy"))
    store = gradstore.open(place)
    both = open_nodes(store, train=["pool"], targets=["goal"])
    pool, goal = Nodes(both.parts[:1], both.weights), Nodes(both.parts[1:], both.weights)
    context = SelectionContext(
        pool, target=Target("goal", goal), graph=lambda: (links, np.zeros(links.shape, np.float32))
    )
    started = time.monotonic()
    cpu, chosen = timed(lambda: G2IS(preset=preset).select(context, len(pool) // 100))  # type: ignore[arg-type]
    chosen_: Selection = chosen
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    counts = chosen_.report["walk"]
    print(
        json.dumps(
            {
                "picks": len(chosen_.picks),
                "wall": time.monotonic() - started,
                "cpu": cpu,
                "peak": peak,
                "local": counts["local"],
                "fallback": counts["fallback"],
            }
        )
    )


def stored(rows: Floats, name: str) -> Floats:
    """Unit rows as a store returns them that keeps rows in an encoding."""
    kind = ENCODINGS[name]
    codes, scale = kind.encode(rows)
    return _unit(kind.decode(codes, scale, rows.shape[1]))


def encodings(golden: Path, count: int) -> None:
    print("\nJaccard of the picks from stored rows with those from the exact rows\n")
    names = [name for name in ENCODINGS if name != "exact"]
    print(f"| rows | preset | budget | {' | '.join(names)} |")
    print(f"|---|---|---:|{'---:|' * len(names)}")
    cases: dict[str, tuple[Floats, Floats]] = {}
    for name in ("walk_a", "walk_b"):
        if (golden / f"{name}.npz").exists():
            file = np.load(golden / f"{name}.npz")
            cases[name] = (_unit(file["train"]), file["target"])
    for dim in (1024, 8192):
        cases[f"synthetic, {dim}"] = (Gradients(count, dim)[0:count], Gradients(64, dim, range(10))[0:64])
    for case, (rows, target) in cases.items():
        for preset in ("authors", "robust"):
            for share in (0.01, 0.05):
                budget = max(1, int(len(rows) * share))
                exact = set(walked(rows, target, preset, budget).tolist())
                cells = []
                for name in names:
                    found = set(walked(stored(rows, name), stored(target, name), preset, budget).tolist())
                    cells.append(f"{len(exact & found) / len(exact | found):.2f}")
                print(f"| {case} | {preset} | {share:.0%} | {' | '.join(cells)} |", flush=True)


def walked(rows: Floats, target: Floats, preset: str, budget: int) -> npt.NDArray[np.int64]:
    graph = exact_neighbours(Dense(rows), NEIGHBOURS)[0]
    if preset == "authors":
        core = principal_components(target)
        return gradient_walk(rows, core.directions, core.weights, graph, budget).picks
    core = mean_and_components(_unit(target), mean_share=0.75, rng=np.random.default_rng(0))
    some = rows[np.random.default_rng(0).choice(len(rows), min(1000, len(rows)), replace=False)]
    spread = float(np.sqrt(((some @ some.T)[np.triu_indices(len(some), 1)].astype(np.float64) ** 2).mean()))
    tolerance = 4 / rows.shape[1] ** 0.5
    return target_walk(
        rows, core, graph, budget, delta=0.8, tolerance=tolerance, mix=0.7, spread=spread
    ).picks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--exact", action="store_true", help="time the engine without a graph too")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--encodings", action="store_true")
    parser.add_argument("--golden", type=Path, default=Path(__file__).parents[2] / "shared/golden")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(Path(given.one[0]), given.one[1])
    elif given.large:
        with tempfile.TemporaryDirectory() as folder:
            large(given.sizes, given.dim, given.folder or Path(folder))
    elif given.encodings:
        encodings(given.golden, given.rows)
    else:
        small(given.rows, given.rounds, given.components, given.exact)


if __name__ == "__main__":
    main()
