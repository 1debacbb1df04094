"""D2 pruning: against its definition, its edges."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from gradstore.errors import UsageError
from gradstore.graph import Nodes, Part
from gradstore.select import SelectionContext
from gradstore.select.context import Neighbours
from gradstore.select.d2 import D2, pick, with_messages
from gradstore.testing import ArrayDataset, check_selector, tiny_context
from tests.select.contexts import context_of

Double = npt.NDArray[np.float64]


def slow_messages(scores: Double, links: Neighbours, gamma: float) -> Double:
    found = scores.copy()
    for i in range(len(scores)):
        for j, cosine in zip(*[side[i] for side in links], strict=True):
            if j >= 0:
                found[i] += np.exp(-gamma * max(2 - 2 * float(cosine), 0)) * scores[j]
    return found


def slow_picks(scores: Double, links: Neighbours, gamma: float, budget: int, ids: list[str]) -> list[int]:
    now, picks = scores.copy(), []
    for _ in range(budget):
        best = min((i for i in range(len(now)) if i not in picks), key=lambda i: (-now[i], ids[i]))
        picks.append(best)
        for j, cosine in zip(*[side[best] for side in links], strict=True):
            if j >= 0:
                now[j] -= np.exp(-gamma * max(2 - 2 * float(cosine), 0)) * now[best]
    return picks


def random_links(rng: np.random.Generator, rows: int, most: int) -> Neighbours:
    """Neighbours of descending cosine, fewer than `most` for some rows, none for others."""
    links = np.full((rows, most), -1, np.int32)
    cosines = np.zeros((rows, most), np.float32)
    for i in range(rows):
        count = rng.integers(0, min(most, rows - 1) + 1)
        others = rng.permutation(np.delete(np.arange(rows), i))[:count]
        links[i, :count] = others
        cosines[i, :count] = np.sort(rng.choice(np.linspace(-0.3, 1, 6), count))[::-1]
    return links, cosines


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("gammas", [(1.0, 1.0), (0.0, 0.1), (3.0, 0.0)])
def test_messages_and_picks_follow_the_definition(seed: int, gammas: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 40))
    links = random_links(rng, rows, 5)
    scores = rng.integers(0, 4, rows) / 4.0  # ties, and with small gamma scores that fall below zero
    ids = [f"r{i:02}" for i in rng.permutation(rows)]
    spread = with_messages(scores, links, gammas[0])
    np.testing.assert_allclose(spread, slow_messages(scores, links, gammas[0]), rtol=1e-12)
    picks, values = pick(spread, links, gammas[1], rows, np.argsort(ids))
    assert picks.tolist() == slow_picks(spread, links, gammas[1], rows, ids)
    assert values[0] == spread.max()


def test_links_behind_the_last_neighbour_count_nothing() -> None:
    links = np.array([[1, -1], [-1, -1], [-1, -1]], np.int32), np.ones((3, 2), np.float32)
    assert with_messages(np.array([1.0, 2.0, 4.0]), links, 1.0).tolist() == [3, 2, 4]
    picks, values = pick(np.array([5.0, 2.0, 1.0]), links, 1.0, 3, np.arange(3))
    assert picks.tolist() == [0, 2, 1]
    assert values.tolist() == [5, 1, -3]


def test_a_pick_takes_from_near_neighbours_more_than_from_far_ones() -> None:
    links = np.array([[1, 2], [-1, -1], [-1, -1]], np.int32), np.array([[1, 0], [0, 0], [0, 0]], np.float32)
    picks, _ = pick(np.array([3.0, 2.0, 1.9]), links, 1.0, 3, np.arange(3))
    assert picks.tolist() == [0, 2, 1]


def test_scores_follow_the_target_by_default() -> None:
    context = tiny_context()
    chosen = D2().select(context, 15)
    mean = context.similarity().mean(axis=1, dtype=np.float64)
    own = (mean - mean.min()) / np.ptp(mean)
    links = context.graph, context.cosines
    spread = slow_messages(own, links, 1.0)
    np.testing.assert_allclose(chosen.scores, spread, rtol=1e-5)
    np.testing.assert_allclose(chosen.columns["score"], own[chosen.picks], atol=1e-6)
    np.testing.assert_allclose(chosen.columns["with_messages"], spread[chosen.picks], rtol=1e-5)
    assert chosen.picks.tolist() == slow_picks(spread, links, 1.0, 15, context.ids.tolist())
    assert chosen.report["score"] == "less"
    assert np.all(np.diff(chosen.columns["when_picked"]) <= 0)


def test_without_a_target_the_loss_is_the_score() -> None:
    rng = np.random.default_rng(0)
    pool = ArrayDataset(rng.standard_normal((9, 4)))
    pool.loss = rng.uniform(1, 3, 9).astype(np.float32)
    none = np.full((9, 2), -1, np.int32)
    context = SelectionContext(
        Nodes([Part.of([pool], None, target=False)], [1.0]), graph=lambda: (none, none.astype(np.float32))
    )
    chosen = D2().select(context, 9)
    np.testing.assert_array_equal(chosen.picks, np.argsort(-pool.loss))
    np.testing.assert_array_equal(chosen.scores, pool.loss)
    assert chosen.report["score"] == "loss"
    pool.loss[3] = np.nan
    unknown = SelectionContext(
        Nodes([Part.of([pool], None, target=False)], [1.0]), graph=lambda: (none, none.astype(np.float32))
    )
    with pytest.raises(UsageError, match="1 of 9 candidates have no stored loss"):
        D2().select(unknown, 2)
    with pytest.raises(UsageError, match="needs a target"):
        D2(score="less").select(unknown, 2)
    np.testing.assert_array_equal(D2(score="norm").select(unknown, 9).picks, np.argsort(-unknown.norms[:, 0]))


def test_the_norm_is_the_mean_over_checkpoints() -> None:
    rng = np.random.default_rng(0)
    train = list(rng.standard_normal((2, 8, 4)))
    none = np.full((8, 1), -1, np.int32)
    context = context_of(
        train, [np.ones((1, 4))] * 2, [0.2, 0.8], graph=lambda: (none, none.astype(np.float32))
    )
    expected = np.mean([np.linalg.norm(each, axis=1) for each in train], axis=0)
    np.testing.assert_allclose(D2(score="norm").select(context, 3).scores, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "aims", "budget"),
    [
        (np.ones((1, 3)), np.eye(1, 3), 1),
        (np.eye(6), np.eye(1, 6), 1),
        (np.eye(6), np.eye(1, 6), 6),
        (np.ones((8, 3)), np.ones((4, 3)), 5),
        (np.random.default_rng(0).standard_normal((20, 4)), np.ones((5, 4)), 20),
    ],
    ids=["one row", "one target", "everything", "all the same", "equal targets"],
)
@pytest.mark.parametrize("score", [None, "loss", "norm"])
def test_edges(rows: Any, aims: Any, budget: int, score: Literal["loss", "norm"] | None) -> None:
    chosen = D2(score=score).select(context_of([rows], [aims], [1.0], exact=True), budget)
    assert len(set(chosen.picks)) == budget
    assert np.isfinite(chosen.scores).all()  # type: ignore[arg-type]


def test_equal_rows_without_links_are_picked_by_id() -> None:
    none = np.full((5, 1), -1, np.int32)
    ids = ["d", "b", "e", "a", "c"]
    nodes = Nodes([Part.of([ArrayDataset(np.ones((5, 3)), ids=ids)], None, target=False)], [1.0])
    context = SelectionContext(nodes, graph=lambda: (none, none.astype(np.float32)))
    assert [ids[i] for i in D2().select(context, 5).picks] == sorted(ids)


@pytest.mark.parametrize("name", ["gamma_forward", "gamma_reverse"])
def test_wrong_parameters_are_refused(name: str) -> None:
    wrong: Any = {name: -1.0}
    with pytest.raises(UsageError, match=f"{name} is -1"):
        D2(**wrong).select(tiny_context(), 3)


def test_it_needs_a_graph() -> None:
    with pytest.raises(UsageError, match="gradstore graph"):
        D2().select(context_of([np.eye(4)], [np.eye(4)], [1.0]), 2)


@pytest.mark.parametrize(
    "selector",
    [D2(), D2(score="norm"), D2(score="loss"), D2(gamma_forward=0, gamma_reverse=0.1), D2(gamma_reverse=20)],
)
def test_it_behaves(selector: D2) -> None:
    check_selector(selector)
