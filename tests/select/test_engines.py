"""The engines of the walk pick the same rows: on a graph or without one, from memory or read as needed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.graph import exact_neighbours
from gradstore.graph.products import Engine, Float32, Int8
from gradstore.graph.vectors import Dense, Float
from gradstore.progress import Bar, silent
from gradstore.select import SelectionContext
from gradstore.select.g2is import G2IS, Core, WalkResult, gradient_walk, target_walk
from gradstore.select.g2is.exact import Products
from gradstore.select.g2is.order import Order
from gradstore.select.g2is.rows import repeated_rows
from gradstore.testing import tiny_context

PRESETS = ("authors", "robust")
Preset = Literal["authors", "robust"]


def unit(rows: npt.NDArray[Any]) -> Float:
    wide = np.asarray(rows, np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


class Apart(Dense):
    """Rows that are never all in memory."""

    def __init__(self, rows: Float) -> None:
        super().__init__(rows)
        self.most = 0

    def read(self, start: int, stop: int) -> Float:
        self.most = max(self.most, stop - start)
        return super().read(start, stop).copy()

    def take(self, nodes: npt.ArrayLike) -> Float:
        self.most = max(self.most, len(np.asarray(nodes)))
        return super().take(nodes)


def awkward_rows(seed: int, n: int, dim: int) -> Float:
    """Rows with a shared part, or of few coordinates: then many are copies, orthogonal or opposite to the bit."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return unit(rng.standard_normal((n, dim)) + rng.choice([0, 0.5, 1]) * rng.standard_normal(dim))
    rows = rng.integers(-1, 2, (n, dim))
    rows[~rows.any(axis=1), 0] = 1
    return unit(rows)


def walked(preset: str, rows: Any, core: Float, neighbours: Any, budget: int, **settings: Any) -> WalkResult:
    weights = np.linspace(1, 0.3, len(core))
    if preset == "authors":
        return gradient_walk(rows, core, weights, neighbours, budget, **settings)
    parts = Core(core, weights, [str(i) for i in range(len(core))])
    return target_walk(rows, parts, neighbours, budget, mix=0.6, spread=0.3, **settings)


def assert_same(found: WalkResult, expected: WalkResult) -> None:
    assert found.picks.tolist() == expected.picks.tolist()
    assert found.how == expected.how
    assert found.component.tolist() == expected.component.tolist()
    assert found.shortfall == expected.shortfall


@given(
    st.integers(0, 10**6),
    st.sampled_from(PRESETS),
    st.integers(2, 70),
    st.integers(2, 20),
    st.integers(1, 4),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.sampled_from([0.0, 0.8, 1.0]),
    st.floats(0, 1),
)
def test_without_a_graph_the_walk_is_that_on_the_exact_graph(
    seed: int, preset: str, n: int, dim: int, parts: int, m: int, tolerance: float, delta: float, share: float
) -> None:
    rows = awkward_rows(seed, n, dim)
    core = unit(np.random.default_rng(seed + 1).standard_normal((parts, dim)))
    budget = max(1, round(share * n))
    graph, _ = exact_neighbours(Dense(rows), m)
    tests: dict[str, Any] = {"delta": delta, "tolerance": tolerance}
    on_graph = walked(preset, rows, core, graph, budget, **tests)
    assert_same(walked(preset, rows, core, m, budget, **tests), on_graph)
    apart = Apart(rows)
    assert_same(walked(preset, apart, core, graph, budget, memory=0, **tests), on_graph)
    assert_same(walked(preset, apart, core, m, budget, memory=0, **tests), on_graph)


@given(st.integers(0, 10**6), st.integers(2, 150), st.integers(2, 12), st.floats(0, 1))
def test_where_all_rows_are_neighbours_the_walk_is_that_on_the_whole_graph(
    seed: int, n: int, dim: int, share: float
) -> None:
    rows = awkward_rows(seed, n, dim)
    core = unit(np.random.default_rng(seed + 1).standard_normal((2, dim)))
    budget = max(1, round(share * n))
    whole, _ = exact_neighbours(Dense(rows), n - 1)
    assert_same(walked("authors", rows, core, None, budget), walked("authors", rows, core, whole, budget))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("engine", [Float32(), Int8([40])], ids=["float32", "int8"])
def test_what_multiplies_does_not_change_the_picks(
    preset: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.name == "int8":
        pytest.importorskip("torch")
    rows = awkward_rows(7, 900, 40)
    codes = np.rint(rows * 127 / np.abs(rows).max(axis=1, keepdims=True))
    rows, core = unit(codes), unit(np.random.default_rng(1).standard_normal((2, 40)))
    expected = walked(preset, rows, core, exact_neighbours(Dense(rows), 9)[0], 120, tolerance=0.1, delta=0.8)
    monkeypatch.setattr(
        "gradstore.select.g2is.walk.Products", lambda rows, memory: Products(rows, memory, engine)
    )
    assert_same(walked(preset, rows, core, 9, 120, tolerance=0.1, delta=0.8), expected)


@pytest.mark.parametrize("preset", PRESETS)
def test_picks_do_not_depend_on_memory(preset: Preset) -> None:
    def picks(memory: int, *, exact: bool) -> list[int]:
        given = tiny_context(rows=200, shuffle=3)
        context = SelectionContext(
            given._nodes,
            target=given.target,
            graph=lambda: (given.graph, given.cosines),
            exact=exact,
            memory=memory,
        )
        return G2IS(preset=preset).select(context, 40).picks.tolist()

    assert picks(0, exact=False) == picks(10**9, exact=False)
    assert picks(0, exact=True) == picks(10**9, exact=True)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("neighbours", ["graph", 8])
def test_a_walk_reads_a_bounded_number_of_rows_at_once(
    preset: str, neighbours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = awkward_rows(3, 5000, 16)
    core = unit(np.random.default_rng(1).standard_normal((2, 16)))
    links = exact_neighbours(Dense(rows), 8)[0] if neighbours == "graph" else neighbours
    for module in ("walk", "robust"):
        monkeypatch.setattr(f"gradstore.select.g2is.{module}.MOST", 100 * 16)
    monkeypatch.setattr("gradstore.select.g2is.exact._BLOCK", 1000 * 16)
    apart = Apart(rows)
    walked(preset, apart, core, links, 60, memory=0, tolerance=0.2, delta=0.8)
    assert apart.most <= 1024


class Counted:
    """A Progress that counts."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def __call__(self, total: int, unit: str, label: str) -> Bar:
        assert unit == "picks"
        self.total, self._bar = total, silent(total, unit, label)
        return self

    def update(self, count: int) -> None:
        self.done += count

    def estimate(self, total: int, note: str = "") -> None:
        pass

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("preset", PRESETS)
def test_progress_counts_picks(preset: str) -> None:
    progress = Counted()
    rows = awkward_rows(5, 80, 9)
    walk = walked(preset, rows, rows[:2], 5, 30, tolerance=0.0, delta=0.8, progress=progress)
    assert progress.total == 30
    assert progress.done == len(walk.picks)


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 9), st.integers(9, 40))
def test_an_order_yields_the_live_rows(seed: int, n: int, first: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    scores, dead = rng.integers(0, 50, n).astype(np.float32), np.zeros(n, bool)
    rows, order = np.argsort(-scores, kind="stable"), Order(scores, dead)
    for share in (0.0, 0.3, 0.3, 0.9, 1.0):
        dead |= rng.random(n) < share
        live = rows[~dead[rows]]
        assert [int(row) for block in order.blocks(first, most) for row in block] == live.tolist()
        assert order.first() == (live[0] if len(live) else None)


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 100))
def test_repeated_rows_are_the_later_copies(seed: int, n: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, dim), np.float32)
    rows[:, -1] = rng.integers(1, 20, n)  # rows may differ only behind what is looked at first
    rows[:, 0] = rng.integers(0, 2, n)
    seen: set[bytes] = set()
    expected = []
    for row in rows:
        expected.append(row.tobytes() in seen)
        seen.add(row.tobytes())
    assert repeated_rows(Dense(rows)).tolist() == expected


def test_a_number_of_neighbours_belongs_to_walks_without_a_graph() -> None:
    with pytest.raises(UsageError, match="--graph exact"):
        G2IS(neighbours=5).select(tiny_context(), 5)
    given = tiny_context()
    context = SelectionContext(given._nodes, target=given.target, exact=True)
    with pytest.raises(UsageError, match="authors"):
        G2IS(neighbours="all").select(context, 5)
    with pytest.raises(UsageError, match="at least 1"):
        G2IS(neighbours=0).select(context, 5)
