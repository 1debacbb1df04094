"""Selectors whose target rows choose in turns, and GIST, against slow references."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gradstore.errors import UsageError
from gradstore.select import SelectionContext, Selector
from gradstore.select.bids import BIDS
from gradstore.select.gist import GIST
from gradstore.select.rds import RDS
from gradstore.select.round_robin import RoundRobin
from gradstore.testing import check_selector
from tests.select.contexts import context_of

Float = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    "selector",
    [
        RoundRobin(),
        RoundRobin(center=True),
        RDS(),
        RDS(aggregate="max"),
        RDS(aggregate="mean"),
        GIST(),
        GIST(variance=0.5),
        BIDS(),
    ],
)
def test_they_behave(selector: Selector) -> None:
    check_selector(selector)


def made(seed: int, rows: int = 40, targets: int = 6) -> tuple[SelectionContext, Float, Float]:
    """A context of two checkpoints, and its similarity in float64."""
    rng = np.random.default_rng(seed)
    train, target = rng.standard_normal((2, rows, 9)) * 1e-6, rng.standard_normal((2, targets, 9)) * 1e-6
    weights = [0.3, 0.7]
    context = context_of(list(train), list(target), weights, ["a", "b", "a", "c", "b", "a"][:targets])
    x, v = (part.astype(np.float32).astype(np.float64) for part in (train, target))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    unit = v / np.linalg.norm(v, axis=2, keepdims=True)
    return context, sum(w * a @ b.T for w, a, b in zip(weights, x, unit, strict=True)), v


def in_turns(similarity: Float, budget: int) -> list[int]:
    picks: list[int] = []
    for turn in range(budget):
        column = similarity[:, turn % similarity.shape[1]].copy()
        column[picks] = -np.inf
        picks.append(int(column.argmax()))
    return picks


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [1, 7, 40])
def test_round_robin_is_the_obvious_loop(seed: int, budget: int) -> None:
    context, similarity, _ = made(seed)
    for selector in (RoundRobin(), RDS()):
        found = selector.select(context, budget)
        assert found.picks.tolist() == in_turns(similarity, budget)
        rows = [f"aim-{turn % 6}" for turn in range(budget)]
        assert found.columns["target_row"] == rows
        np.testing.assert_allclose(found.scores, similarity.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_rds_by_best_and_mean_cosine_follow_the_definition(seed: int) -> None:
    context, similarity, _ = made(seed)
    for aggregate, scores in (("max", similarity.max(axis=1)), ("mean", similarity.mean(axis=1))):
        found = RDS(aggregate=aggregate).select(context, 12)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.picks, np.argsort(-scores)[:12])
        np.testing.assert_allclose(found.scores, scores, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [1, 11, 40])
def test_bids_serves_the_least_served_row_next(seed: int, budget: int) -> None:
    context, similarity, _ = made(seed)
    influence = (similarity - similarity.mean(axis=0)) / similarity.std(axis=0)
    picks: list[int] = []
    for _ in range(budget):
        target = int(influence[picks].sum(axis=0).argmin())
        column = influence[:, target].copy()
        column[picks] = -np.inf
        picks.append(int(column.argmax()))
    found = BIDS().select(context, budget)
    assert found.picks.tolist() == picks
    np.testing.assert_allclose(found.scores, influence.max(axis=1), atol=1e-4)


def test_bids_ignores_a_target_row_that_everything_resembles_alike() -> None:
    rng = np.random.default_rng(0)
    rows = np.hstack([np.ones((30, 1)), rng.standard_normal((30, 5)) * 0.0 + np.eye(30, 5)])
    context = context_of([rows], [np.vstack([np.eye(1, 6), np.eye(1, 6, 1)])], [1.0])
    found = BIDS().select(context, 3)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variance", [0.5, 0.95, 1.0])
def test_gist_scores_follow_the_definition(seed: int, variance: float) -> None:
    context, _, v = made(seed)
    weights = np.sqrt([0.3, 0.7])
    raw = np.hstack([w * part for w, part in zip(weights, v, strict=True)])
    _, sizes, basis = np.linalg.svd(raw, full_matrices=False)
    count = next(k for k in range(1, 7) if (sizes[:k] ** 2).sum() >= variance * (1 - 1e-9) * (sizes**2).sum())
    inside = context.vectors().astype(np.float64) @ basis[:count].T
    expected = np.full(40, -np.inf)
    for group in ([0, 2, 5], [1, 4], [3]):
        mean = raw[group].mean(axis=0) @ basis[:count].T
        cosine = inside @ mean / np.linalg.norm(inside, axis=1) / np.linalg.norm(mean)
        expected = np.maximum(expected, cosine)
    found = GIST(variance=variance).select(context, 10)
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    np.testing.assert_array_equal(found.picks, np.argsort(-expected)[:10])
    assert found.report["dimensions"] == count


@pytest.mark.parametrize("variance", [0.0, -1.0, 1.5])
def test_gist_refuses_a_share_that_is_none(variance: float) -> None:
    with pytest.raises(UsageError, match="variance"):
        GIST(variance=variance).select(made(0)[0], 3)


def test_gist_refuses_a_target_on_one_line() -> None:
    with pytest.raises(UsageError, match="on one line"):
        GIST().select(made(0, targets=1)[0], 3)
    with pytest.raises(UsageError, match="raise -p variance"):
        GIST(variance=0.1).select(made(0)[0], 3)


SELECTORS: list[Any] = [RoundRobin(), RDS(), RDS(aggregate="max"), BIDS()]


@pytest.mark.parametrize("selector", SELECTORS)
def test_one_target_row_one_candidate_and_the_whole_pool(selector: Selector) -> None:
    context, _, _ = made(0, targets=1)
    assert len(selector.select(context, 1).picks) == 1
    assert sorted(selector.select(context, 40).picks) == list(range(40))
    assert selector.select(made(0, rows=1)[0], 1).picks.tolist() == [0]


@pytest.mark.parametrize("selector", SELECTORS)
def test_identical_gradients_are_chosen_by_id(selector: Selector) -> None:
    context = context_of([np.ones((12, 4))], [np.ones((3, 4))], [1.0])
    ids = context.ids[selector.select(context, 5).picks].tolist()
    assert ids == sorted(context.ids)[:5]


@pytest.mark.parametrize("selector", [*SELECTORS, GIST()])
def test_without_a_target_it_is_asked_for(selector: Selector) -> None:
    context = context_of([np.eye(4)], [np.eye(4)], [1.0])
    with pytest.raises(UsageError, match="--target"):
        selector.select(SelectionContext(context._nodes), 2)
