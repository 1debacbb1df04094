"""The walk that keeps its target in sight."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gradstore.errors import UsageError
from gradstore.graph import exact_neighbours
from gradstore.graph.vectors import Dense
from gradstore.select.g2is import G2IS, Core, target_walk
from gradstore.select.g2is.core import mean_and_components
from gradstore.select.g2is.rows import repeated_rows
from gradstore.select.less import Less
from gradstore.testing import tiny_context
from tests.select.contexts import context_of


def random_rows(n: int, dim: int, seed: int = 0) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def core_of(rows: npt.NDArray[np.float32], weights: list[float]) -> Core:
    return Core(rows, np.array(weights), [f"c{i}" for i in range(len(weights))])


def slow_steps(
    rows: npt.NDArray[np.float32], core: Core, budget: int, mix: float, spread: float, tolerance: float
) -> list[int]:
    """Every step scores all rows and tests them from scratch (one direction, no Eq. 6)."""
    x = rows.astype(np.float64)
    near_core = x @ core.directions[0].astype(np.float64)
    picks = [int(near_core.argmax())]
    while len(picks) < budget:
        scores = mix * near_core / near_core.std() + (1 - mix) * (x @ x[picks[-1]]) / spread
        scores[picks] = -np.inf
        scores[(x @ x[picks].T < -tolerance).any(axis=1)] = -np.inf
        if np.isinf(scores.max()):
            break
        picks.append(int(scores.argmax()))
    return picks


@pytest.mark.parametrize("mix", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("tolerance", [0.25, 1.0])
def test_each_step_takes_the_best_of_all_rows(mix: float, tolerance: float) -> None:
    rows = random_rows(400, 12)
    core = core_of(random_rows(1, 12, 1), [1.0])
    graph, _ = exact_neighbours(Dense(rows), 6)
    walk = target_walk(rows, core, graph, 60, delta=0, tolerance=tolerance, mix=mix, spread=0.3)
    slow = slow_steps(rows, core, 60, mix, 0.3, tolerance)
    walked = [pick for pick, how in zip(walk.picks, walk.how, strict=True) if how != "fill"]
    assert walked == slow
    assert len(walk.picks) == 60


def test_without_steps_and_tests_it_is_less() -> None:
    context = tiny_context()
    walk = G2IS(mix=1.0, mean_share=1.0, delta=0.0, tolerance=1.0).select(context, 25)
    less = Less(aggregate="mean").select(tiny_context(), 25)
    np.testing.assert_array_equal(walk.picks, less.picks)


def test_the_budget_is_always_filled() -> None:
    rows = random_rows(50, 4)
    core = core_of(random_rows(3, 4, 1), [0.5, 0.3, 0.2])
    graph, _ = exact_neighbours(Dense(rows), 5)
    for budget in (1, 20, 50):
        walk = target_walk(rows, core, graph, budget, delta=0.9, tolerance=0.0, mix=0.7, spread=0.3)
        assert sorted(set(walk.picks)) == sorted(walk.picks)
        assert len(walk.picks) == budget
        assert walk.shortfall == 0


def test_copies_wait_until_nothing_else_is_left() -> None:
    rows = np.repeat(random_rows(20, 6), 2, axis=0)
    core = core_of(random_rows(2, 6, 1), [0.6, 0.4])
    graph, _ = exact_neighbours(Dense(rows), 5)
    assert repeated_rows(Dense(rows)).tolist() == [False, True] * 20
    walk = target_walk(rows, core, graph, 25, delta=0.8, tolerance=0.2, mix=0.7, spread=0.3)
    assert set(walk.picks[:20]) == set(range(0, 40, 2))
    assert walk.how[20:] == ["fill"] * 5


def test_what_one_component_cannot_fill_goes_to_the_next() -> None:
    rows = random_rows(60, 6)
    core = core_of(random_rows(2, 6, 1), [0.8, 0.2])
    graph, _ = exact_neighbours(Dense(rows), 5)
    walk = target_walk(rows, core, graph, 40, delta=0.8, tolerance=0.0, mix=0.7, spread=0.3)
    second = int((walk.component == 1).sum())
    assert second > walk.budgets[1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "authors", "mix": 0.5}, "mix does not belong to preset 'authors'"),
        ({"preset": "robust", "variance": 0.5}, "variance does not belong to preset 'robust'"),
        ({"delta": 1.5}, "delta must be from 0 to 1"),
        ({"mean_share": 0.0}, "mean_share must be above 0"),
        ({"tolerance": -0.1}, "tolerance must be from 0 to 1"),
    ],
)
def test_parameters_that_cannot_be_right_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        G2IS(**parameters).select(tiny_context(), 5)


def test_by_default_a_conflict_is_beyond_four_times_the_error_of_one_checkpoints_projection() -> None:
    rows = random_rows(60, 400)
    context = context_of([rows, rows], [rows[:3], rows[:3]], [0.5, 0.5], exact=True)
    assert G2IS().select(context, 5).report["parameters"]["tolerance"] == pytest.approx(4 / 20)


def test_the_mean_direction_alone_needs_no_components() -> None:
    rows = random_rows(50, 30, 5)
    draws = np.random.default_rng(0)
    core = mean_and_components(rows, mean_share=1, rng=draws)
    assert (core.names, core.weights.tolist()) == (["mean"], [1.0])
    mean = rows.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(core.directions[0], mean / np.linalg.norm(mean), atol=1e-7)
    assert draws.random() == np.random.default_rng(0).random(), "it drew signs for nothing"
