"""The published walk, against the published picks and against a slow reading of the method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.select.g2is import gradient_walk, principal_components
from gradstore.select.g2is.walk import split_budget


def unit(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def exact_graph(rows: npt.NDArray[np.float32], m: int) -> npt.NDArray[np.int32]:
    cosines = rows.astype(np.float64) @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, : min(m, len(rows) - 1)].astype(np.int32)


def slow_walk(
    rows: npt.NDArray[np.float32],
    components: npt.NDArray[np.float32],
    budgets: npt.NDArray[np.int64],
    graph: npt.NDArray[np.int32],
    delta: float,
    tolerance: float,
) -> tuple[list[int], list[str], int, int]:
    """The method word for word: every test recomputed from all members."""
    x = rows.astype(np.float64)
    picks: list[int] = []
    how: list[str] = []
    conflicts, turned = 0, 0
    for component, budget in zip(components.astype(np.float64), budgets, strict=True):
        order = np.argsort(-(x @ component), kind="stable")
        members: list[int] = []
        clashing: set[int] = set()

        def cosine(of: list[int], component: npt.NDArray[np.float64] = component) -> float:
            total = x[of].sum(axis=0)
            return abs(total @ component) / np.linalg.norm(total)

        while len(members) < budget:
            near = [int(i) for i in graph[members[-1]] if i >= 0] if members else []
            stages = [("local", near), ("fallback", [int(i) for i in order])]
            for kind, i in ((kind, i) for kind, candidates in stages for i in candidates):
                if i in picks:
                    continue
                if (x[members] @ x[i] < -tolerance).any():
                    conflicts += i not in clashing
                    clashing.add(i)
                elif members and cosine([*members, i]) < delta * cosine(members):
                    turned += 1
                else:
                    how.append(kind if members else "anchor")
                    members.append(i)
                    picks.append(i)
                    break
            else:
                break
    return picks, how, conflicts, turned


@pytest.mark.parametrize("name", ["walk_a", "walk_b"])
def test_picks_of_the_published_walk_are_reproduced(shared: Path, name: str) -> None:
    golden = np.load(shared / "golden" / f"{name}.npz")
    budget = int(len(golden["train"]) * float(golden["fraction"]))
    arguments = (golden["graph"], budget)
    given_core = gradient_walk(golden["train"], golden["components"], golden["weights"], *arguments)
    np.testing.assert_array_equal(given_core.picks, golden["selected"])
    core = principal_components(golden["target"], float(golden["pca"]))
    np.testing.assert_allclose(core.directions, golden["components"], atol=1e-5)
    np.testing.assert_allclose(core.weights, golden["weights"], atol=1e-6)
    from_gradients = gradient_walk(golden["train"], core.directions, core.weights, *arguments)
    np.testing.assert_array_equal(from_gradients.picks, golden["selected"])
    assert from_gradients.shortfall == budget - len(golden["selected"])


@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    st.sampled_from([0.0, 0.2]),
    st.floats(0, 1),
)
def test_the_lazy_walk_equals_the_word_of_the_method(
    seed: int, n: int, dim: int, parts: int, m: int, delta: float, tolerance: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((n, dim)) + rng.choice([0, 0.5, 1]) * rng.standard_normal(dim))
    components = unit(rng.standard_normal((parts, dim)))
    weights = rng.random(parts) + 1e-3
    graph = exact_graph(rows, m) if n > 1 else np.full((1, m), -1, np.int32)
    budget = max(1, round(share * n))
    if dim == 1:  # all rows are copies of two: ties everywhere, only counts can be compared
        picks = gradient_walk(
            rows, components, weights, graph, budget, delta=delta, tolerance=tolerance
        ).picks
        assert len(set(picks)) == len(picks) <= budget
        return
    result = gradient_walk(rows, components, weights, graph, budget, delta=delta, tolerance=tolerance)
    slow = slow_walk(rows, components, result.budgets, graph, delta, tolerance)
    assert (result.picks.tolist(), result.how, result.rejected_conflict, result.rejected_core) == slow
    assert result.shortfall == budget - len(result.picks)
    assert result.budgets.sum() == budget


def test_long_walks_compare_every_member() -> None:
    rng = np.random.default_rng(3)
    rows = unit(rng.standard_normal((700, 6)) + 2)
    components = unit(rng.standard_normal((2, 6)) + 1)
    graph = exact_graph(rows, 4)
    result = gradient_walk(rows, components, [0.7, 0.3], graph, 500)
    slow = slow_walk(rows, components, result.budgets, graph, 0.8, 0.0)
    assert result.picks.tolist() == slow[0]
    assert result.fallback > 10


def test_copies_of_a_row_are_interchangeable() -> None:
    rng = np.random.default_rng(0)
    base = unit(rng.standard_normal((40, 8)))
    rows = np.repeat(base, 3, axis=0)
    components, weights = unit(rng.standard_normal((2, 8))), [0.6, 0.4]
    graph = exact_graph(rows, 5)
    result = gradient_walk(rows, components, weights, graph, 30)
    slow = slow_walk(rows, components, result.budgets, graph, 0.8, 0.0)
    assert (result.picks // 3).tolist() == [i // 3 for i in slow[0]]


def test_another_order_of_rows_gives_the_same_rows() -> None:
    rng = np.random.default_rng(1)
    rows, components = unit(rng.standard_normal((90, 10))), unit(rng.standard_normal((3, 10)))
    order = rng.permutation(90)
    straight = gradient_walk(rows, components, [3, 2, 1], exact_graph(rows, 6), 40)
    shuffled = gradient_walk(rows[order], components, [3, 2, 1], exact_graph(rows[order], 6), 40)
    np.testing.assert_array_equal(order[shuffled.picks], straight.picks)


def test_lengths_of_rows_and_components_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    rows, components = unit(rng.standard_normal((50, 10))), unit(rng.standard_normal((3, 10)))
    graph = exact_graph(rows, 6)
    straight = gradient_walk(rows, components, [1, 1, 1], graph, 20)
    scaled = gradient_walk(
        rows * rng.uniform(1e-6, 10, (50, 1)).astype(np.float32), 7 * components, [2, 2, 2], graph, 20
    )
    np.testing.assert_array_equal(scaled.picks, straight.picks)


def test_padding_of_an_approximate_graph_is_no_row() -> None:
    rng = np.random.default_rng(4)
    rows = unit(np.abs(rng.standard_normal((30, 5))))
    graph = np.full((30, 4), -1)
    result = gradient_walk(rows, rows[:1], [1.0], graph, 10)
    assert result.how == ["anchor"] + ["fallback"] * 9


def test_equal_remainders_go_to_later_components() -> None:
    np.testing.assert_array_equal(split_budget(5, [1, 1], 2), [2, 3])
    np.testing.assert_array_equal(split_budget(2, [1, 1, 1], 3), [0, 1, 1])
    np.testing.assert_array_equal(split_budget(7, [5, 0, 2], 3), [5, 0, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "from 1 to the 6"),
        ({"budget": 7}, "from 1 to the 6"),
        ({"weights": [1.0]}, "need 2 weights"),
        ({"weights": [-1.0, 2.0]}, "not negative"),
        ({"weights": [np.nan, 2.0]}, "finite"),
        ({"neighbours": np.full((6, 2), -2)}, "from 0 to 5"),
        ({"neighbours": np.full((6, 2), 6)}, "from 0 to 5"),
        ({"neighbours": np.zeros((5, 2), int)}, r"shape \(6, m\)"),
        ({"neighbours": np.zeros((6, 2))}, "integers"),
        ({"components": np.eye(2, 4)}, "4 dimensions, train rows 3"),
        ({"train": np.zeros((6, 3))}, "row 0 of train is zero"),
        ({"train": np.full((6, 3), np.nan)}, "not finite"),
        ({"train": np.zeros((0, 3))}, "must be a matrix"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {
        "train": np.eye(6, 3) + 1,
        "components": np.eye(2, 3),
        "weights": [0.5, 0.5],
        "neighbours": np.zeros((6, 2), int),
        "budget": 3,
    }
    with pytest.raises(UsageError, match=message):
        gradient_walk(**{**arguments, **change})
