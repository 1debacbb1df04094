"""TSDS: its plan against a linear program, its draws, its edges."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import linprog

from gradstore.errors import UsageError
from gradstore.graph import Nodes, Part
from gradstore.records import Selection
from gradstore.select import SelectionContext, Target
from gradstore.select import tsds as module
from gradstore.select.threads import undivided
from gradstore.select.tsds import TSDS, densities, transport
from gradstore.testing import ArrayDataset, check_selector, tiny_context
from tests.select.contexts import context_of

Double = npt.NDArray[np.float64]


def problem(seed: int, rows: int = 4, candidates: int = 9) -> tuple[Double, Double]:
    """Distances by ascending order, and weights that belong to the columns before they were sorted."""
    rng = np.random.default_rng(seed)
    distances = rng.uniform(0.2, 1.6, (rows, candidates))
    weights = 1 / rng.uniform(1, 4, candidates)
    order = np.argsort(distances, axis=1)
    return np.take_along_axis(distances, order, axis=1), weights[order]


def solved(
    distances: Double, weights: Double, alpha: float, scale: float, uniform: float | None = None
) -> tuple[Double, float]:
    """The plan by a general solver, and its cost.

    The penalty is ``max gamma/w``; with `uniform`, the paper's ``max |gamma/w - uniform|``.
    """
    count = distances.size
    cost = np.append(alpha / scale * distances.ravel(), (1 - alpha) * len(distances))
    each = np.diag(1 / weights.ravel())
    above = np.column_stack([each, -np.ones(count)])
    bounds, most = above, np.zeros(count)
    if uniform is not None:
        bounds = np.vstack([above, np.column_stack([-each, -np.ones(count)])])
        most = np.repeat([uniform, -uniform], count)
    sums = np.column_stack(
        [np.kron(np.eye(len(distances)), np.ones(distances.shape[1])), np.zeros(len(distances))]
    )
    found = linprog(
        cost,
        A_ub=bounds,
        b_ub=most,
        A_eq=sums,
        b_eq=np.full(len(distances), 1 / len(distances)),
        method="highs",
    )
    return found.x[:-1].reshape(distances.shape), found.fun


def cost_of(plan: Double, distances: Double, weights: Double, alpha: float, scale: float) -> float:
    return float(alpha / scale * (plan * distances).sum() + (1 - alpha) * len(plan) * (plan / weights).max())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("scale", [0.3, 5.0])
def test_the_plan_is_that_of_a_linear_program(alpha: float, scale: float) -> None:
    for seed in range(6):
        distances, weights = problem(seed)
        plan = transport(distances, weights, alpha, scale)
        expected, cost = solved(distances, weights, alpha, scale)
        np.testing.assert_allclose(plan.mass.sum(axis=1), 0.25)
        assert not (plan.full & (alpha > 0)).any() or np.ptp(weights.sum(axis=1)) < 1e-12
        assert cost_of(plan.mass, distances, weights, alpha, scale) == pytest.approx(cost, abs=1e-9)
        if alpha > 0:  # else distances do not matter, and many plans are best
            np.testing.assert_allclose(plan.mass, expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_the_plan_is_the_papers_where_it_leaves_half_of_the_candidates_out(seed: int) -> None:
    """The paper bounds the distance from the uniform plan, ``|gamma_ij rho_j - 1/(M R)|`` with ``R = sum 1/rho_j``."""
    distances, weights = problem(seed, candidates=12)
    total, alpha, scale = weights[0].sum(), 0.9, 5.0
    plan = transport(distances, weights, alpha, scale).mass
    bound = float((plan / weights).max())
    assert bound > 2 / (4 * total)
    expected, _ = solved(distances, weights, alpha, scale, uniform=1 / (4 * total))
    np.testing.assert_allclose(plan, expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_equal_weights_spread_each_row_evenly_over_its_k_nearest(seed: int) -> None:
    distances, _ = problem(seed, candidates=20)
    plan = transport(distances, np.ones((4, 20)), 0.8, 5.0).mass
    costs = {
        k: 0.8 / 5 * distances[:, :k].sum() / (4 * k) + 0.2 / k  # the largest mass is 1/(M K), times M
        for k in range(1, 21)
    }
    best = min(costs, key=costs.__getitem__)
    assert 1 < best < 20
    np.testing.assert_allclose(plan[:, :best], 1 / (4 * best))
    assert not plan[:, best:].any()


def test_a_row_whose_candidates_are_full_fills_them_by_weight_and_does_not_hold_up_the_others() -> None:
    distances = np.sort(np.random.default_rng(0).uniform(0.2, 1.6, (3, 30)), axis=1)
    weights = np.ones((3, 30))
    weights[0] = np.linspace(0.01, 0.02, 30)
    plan = transport(distances, weights, 0.8, 5.0)
    assert plan.full.tolist() == [True, False, False]
    np.testing.assert_allclose(plan.mass[0], weights[0] / weights[0].sum() / 3)
    assert (plan.mass[1:] > 0).sum(axis=1).min() > 5


def unit(rows: npt.NDArray[np.floating]) -> Double:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("memory", [1, 16 * 24 * 10, 1 << 30])
def test_densities_are_sums_of_the_kernel(memory: int) -> None:
    context = tiny_context()
    context.memory = memory
    rows = np.array([5, 40, 2, *range(10, 40)])
    squared = 2 - 2 * unit(context.vectors())[rows] @ unit(context.vectors())[rows].T
    expected = np.maximum(1 - squared / 1.1**2, 0).sum(axis=1)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(densities(context, rows, 1.1), expected, rtol=1e-5)
    first = densities(context, rows[:13], 1.1)
    np.testing.assert_allclose(densities(context, rows, 1.1, first), expected, rtol=1e-5)


def copies(of: int, others: int = 30, dim: int = 40) -> SelectionContext:
    """A target between a lone row and one of which there are `of` copies, among others."""
    rng = np.random.default_rng(3)
    aim = np.eye(1, dim)
    turns = np.concatenate([np.repeat(np.eye(1, dim, 1), of, axis=0), np.eye(1, dim, 2)])
    rows = np.concatenate([aim + turns, rng.standard_normal((others, dim))])
    return context_of([rows], [aim], [1.0])


def test_near_duplicates_share_one_rows_mass() -> None:
    for of in (1, 5):
        scores = TSDS(alpha=0.8).select(copies(of), 3).scores
        assert scores is not None
        assert scores[:of].sum() == pytest.approx(scores[of], rel=1e-4)
    even = TSDS(alpha=0.8, density="uniform").select(copies(5), 3).scores
    assert even is not None
    assert even[:5].sum() == pytest.approx(5 * even[5], rel=1e-6)


def reference(context: SelectionContext, selector: TSDS) -> Double:
    """Masses from the definitions, over all candidates and by a general solver."""
    x, v = unit(context.vectors()), unit(context.target.vectors)
    weights = np.ones(len(x))
    if selector.density == "kde":
        kernel = np.maximum(1 - (2 - 2 * x @ x.T) / selector.bandwidth**2, 0)
        weights = 1 / kernel.sum(axis=1)
    distances = np.sqrt(2 - 2 * v @ x.T)
    plan, _ = solved(distances, np.tile(weights, (len(v), 1)), selector.alpha, selector.scale)
    return plan.sum(axis=0)


@pytest.mark.parametrize("density", ["kde", "uniform"])
@pytest.mark.parametrize("alpha", [0.4, 0.8])
def test_scores_are_the_masses_of_the_best_plan(density: Literal["kde", "uniform"], alpha: float) -> None:
    selector = TSDS(density=density, alpha=alpha, scale=1.0, bandwidth=1.2)
    context = tiny_context()
    chosen = selector.select(context, 9)
    expected = reference(context, selector)
    assert (expected > 1e-9).sum() > 9
    np.testing.assert_allclose(chosen.scores, expected, atol=1e-5)
    similarity = context.similarity()[chosen.picks]
    assert chosen.columns["target_row"] == [context.target.ids[i] for i in similarity.argmax(axis=1)]
    np.testing.assert_allclose(chosen.columns["distance"], np.sqrt(2 - 2 * similarity.max(axis=1)), rtol=1e-5)


def test_looking_at_few_candidates_first_changes_no_even_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = TSDS(density="uniform", alpha=0.6, scale=1.0)
    whole = selector.select(tiny_context(), 20)
    monkeypatch.setattr(module, "_FIRST", 2)
    few = selector.select(tiny_context(), 20)
    assert whole.report["candidates_looked_at"] == 57
    assert 2 < few.report["candidates_looked_at"] < 57
    np.testing.assert_array_equal(few.picks, whole.picks)
    np.testing.assert_allclose(few.scores, whole.scores, rtol=1e-6)


def test_candidates_seen_later_count_in_the_densities_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = TSDS(alpha=0.3, scale=1.0, bandwidth=1.2)
    whole = selector.select(tiny_context(), 20)
    monkeypatch.setattr(module, "_FIRST", 1)
    few = selector.select(tiny_context(), 20)
    assert whole.report["candidates_looked_at"] == few.report["candidates_looked_at"] == 57
    np.testing.assert_allclose(few.scores, whole.scores, rtol=1e-5)
    np.testing.assert_array_equal(few.picks, whole.picks)


def test_nearest_bounds_the_candidates_of_a_row() -> None:
    chosen = TSDS(alpha=0, nearest=3).select(tiny_context(), 20)
    assert chosen.report["candidates_per_target_row"] == 3
    assert chosen.report["target_rows_at_that_limit"] == 9
    assert TSDS(alpha=0).select(tiny_context(), 20).report["target_rows_at_that_limit"] == 0


def test_draws_are_in_proportion_to_mass_and_without_replacement() -> None:
    rng = np.random.default_rng(1)
    rows, aim = rng.standard_normal((6, 5)), rng.standard_normal((3, 5))
    counts, draws = np.zeros(6), 600
    with undivided():  # once, as it takes longer than a draw
        for seed in range(draws):
            chosen = TSDS(alpha=0.9, scale=1.0).select(context_of([rows], [aim], [1.0], seed=seed), 1)
            counts[chosen.picks] += 1
    scores = chosen.scores
    assert scores is not None
    assert not counts[scores == 0].any()
    assert np.ptp(scores) > 0.2
    np.testing.assert_allclose(counts / draws, scores, atol=4 * np.sqrt(0.25 / draws))


def test_the_nearest_others_follow_when_masses_run_out() -> None:
    context = tiny_context()
    chosen = TSDS(alpha=1.0).select(context, 30)
    mass, best = chosen.scores, context.similarity().max(axis=1)
    assert mass is not None
    carriers = int((mass > 0).sum())
    assert chosen.report["filled"] == 30 - carriers > 0
    assert set(chosen.picks[:carriers]) == set(np.flatnonzero(mass))
    rest = np.flatnonzero(mass == 0)
    np.testing.assert_array_equal(chosen.picks[carriers:], rest[np.argsort(-best[rest])][: 30 - carriers])


def test_the_order_of_target_rows_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    rows, aim = rng.standard_normal((40, 8)), rng.standard_normal((7, 8))

    def chosen(order: list[int]) -> Selection:
        target = ArrayDataset(aim[order], name="aim", ids=[f"t{i}" for i in order])
        nodes = Nodes([Part.of([ArrayDataset(rows)], None, target=False)], [1.0])
        aims = Nodes([Part.of([target], None, target=True)], [1.0])
        return TSDS(alpha=0.8).select(SelectionContext(nodes, target=Target("aim", aims)), 12)

    one, other = chosen(list(range(7))), chosen([3, 1, 6, 0, 2, 5, 4])
    np.testing.assert_array_equal(one.picks, other.picks)
    assert one.columns["target_row"] == other.columns["target_row"]
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)


def test_several_checkpoints_are_one_vector() -> None:
    rng = np.random.default_rng(4)
    train, target = list(rng.standard_normal((2, 30, 8))), list(rng.standard_normal((2, 4, 8)))
    weights = [0.3, 0.7]
    x, v = (
        np.hstack([np.sqrt(w) * unit(each) for w, each in zip(weights, side, strict=True)])
        for side in (train, target)
    )
    several = TSDS(alpha=0.8).select(context_of(train, target, weights), 12)
    one = TSDS(alpha=0.8).select(context_of([x], [v], [1.0]), 12)
    np.testing.assert_allclose(several.scores, one.scores, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "aims", "budget"),
    [
        (np.ones((1, 3)), np.eye(1, 3), 1),
        (np.ones((1, 3)), np.eye(3), 1),
        (np.eye(6), np.eye(1, 6), 1),
        (np.eye(6), np.eye(1, 6), 6),
        (np.ones((8, 3)), np.ones((4, 3)), 5),
        (np.random.default_rng(0).standard_normal((20, 4)), np.ones((5, 4)), 20),
    ],
    ids=["one row", "one row, more targets", "one target", "everything", "all the same", "equal targets"],
)
@pytest.mark.parametrize("density", ["kde", "uniform"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_edges(rows: Any, aims: Any, budget: int, density: Literal["kde", "uniform"], alpha: float) -> None:
    chosen = TSDS(density=density, alpha=alpha).select(context_of([rows], [aims], [1.0]), budget)
    assert len(set(chosen.picks)) == budget
    assert chosen.scores is not None
    assert chosen.scores.sum() == pytest.approx(1, abs=1e-5)


def test_equal_target_rows_are_as_one() -> None:
    rng = np.random.default_rng(5)
    rows, aim = rng.standard_normal((25, 6)), rng.standard_normal((2, 6))
    once = TSDS(alpha=0.8).select(context_of([rows], [aim], [1.0]), 10)
    twice = TSDS(alpha=0.8).select(context_of([rows], [np.vstack([aim, aim])], [1.0]), 10)
    np.testing.assert_allclose(once.scores, twice.scores, rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"scale": 0.0}, "scale is 0"),
        ({"bandwidth": -1.0}, "bandwidth is -1"),
        ({"nearest": 0}, "nearest is 0"),
    ],
)
def test_wrong_parameters_are_refused(parameters: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        TSDS(**parameters).select(tiny_context(), 3)


def test_it_needs_a_target() -> None:
    nodes = Nodes([Part.of([ArrayDataset(np.eye(4))], None, target=False)], [1.0])
    with pytest.raises(UsageError, match="needs a target"):
        TSDS().select(SelectionContext(nodes), 2)


@pytest.mark.parametrize(
    "selector",
    [
        TSDS(),
        TSDS(density="uniform"),
        TSDS(alpha=0.9, scale=1.0, bandwidth=1.2),
        TSDS(alpha=0, nearest=4),
        TSDS(alpha=1),
    ],
)
def test_it_behaves(selector: TSDS) -> None:
    check_selector(selector)
