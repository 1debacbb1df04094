"""The built-in selectors and the context they see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gradstore.errors import UsageError
from gradstore.graph import Nodes, Part
from gradstore.records import Selection
from gradstore.select import SelectionContext, Selector, Target
from gradstore.select.g2is import G2IS
from gradstore.select.less import Less
from gradstore.select.random import Random
from gradstore.testing import ArrayDataset, check_selector, tiny_context
from tests.select.contexts import context_of


@pytest.mark.parametrize(
    "selector",
    [
        Random(),
        Random(stratified=True),
        Less(),
        Less(aggregate="less-paper"),
        Less(aggregate="mean", center=True),
        G2IS(),
        G2IS(preset="authors"),
        G2IS(center=True),
        G2IS(preset="authors", center=True),
    ],
)
def test_built_in_selectors_behave(selector: Selector) -> None:
    check_selector(selector)


class Bad:
    name = "bad"

    def __init__(self, *, what: str = "order") -> None:
        self.what = what

    def select(self, context: SelectionContext, budget: int) -> Selection:
        picks = {
            "order": lambda: np.arange(budget),
            "greedy": lambda: np.arange(budget + 1),
            "stray": lambda: np.arange(budget) + len(context),
            "short": lambda: np.arange(budget - 1),
            "chunk": lambda: np.arange(budget) + len(next(iter(context.blocks()))[1]) % 2,
            "scores": lambda: np.arange(budget),
        }[self.what]()
        return Selection(picks, np.zeros(3) if self.what == "scores" else None)


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("order", "in another order"),
        ("greedy", "of a budget of"),
        ("stray", "no candidate"),
        ("short", "reports no shortfall"),
        ("chunk", "in chunks of 7|in one chunk"),
        ("scores", "score every candidate"),
    ],
)
def test_check_selector_finds_what_is_wrong(what: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_selector(Bad(what=what))


def cosines(x: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    x, v = x.astype(np.float64), v.astype(np.float64)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (v / np.linalg.norm(v, axis=1, keepdims=True)).T


def test_less_scores_follow_the_definition() -> None:
    rng = np.random.default_rng(0)
    train, target = rng.standard_normal((2, 40, 9)) * 1e-7, rng.standard_normal((2, 6, 9)) * 1e-7
    weights, subtasks = [0.3, 0.7], ["a", "b", "a", "c", "b", "a"]
    groups = [[0, 2, 5], [1, 4], [3]]

    def weighted(f: Any) -> Any:
        pairs = zip(train.astype(np.float32), target.astype(np.float32), strict=True)
        return sum(w * f(x, v) for w, (x, v) in zip(weights, pairs, strict=True))

    def mean_cosine(group: list[int]) -> Any:
        return weighted(lambda x, v: cosines(x, v[group]).mean(1))

    def cosine_of_mean(group: list[int]) -> Any:
        return weighted(lambda x, v: cosines(x, v[group].mean(0, keepdims=True))[:, 0])

    expected = {
        "less-code": np.max([mean_cosine(group) for group in groups], axis=0),
        "less-paper": np.max([cosine_of_mean(group) for group in groups], axis=0),
        "mean": mean_cosine(list(range(6))),
    }
    for aggregate, scores in expected.items():
        context = context_of(list(train), list(target), weights, subtasks)
        chosen = Less(aggregate=aggregate).select(context, 10)  # type: ignore[arg-type]
        np.testing.assert_allclose(chosen.scores, scores, atol=1e-6)
        np.testing.assert_array_equal(chosen.picks, np.argsort(-scores)[:10])
    np.testing.assert_allclose(context.similarity(), weighted(cosines), atol=1e-6)
    assert context.similarity() is context.similarity()


def test_equal_less_scores_are_ordered_by_row_id() -> None:
    rows = np.repeat(np.eye(2, 5), 1200, axis=0)
    ids = [f"r{i:04}" for i in np.random.default_rng(0).permutation(2400)]
    nodes = Nodes([Part.of([ArrayDataset(rows, ids=ids)], None, target=False)], [1.0])
    aim = Nodes([Part.of([ArrayDataset(np.ones((3, 5)))], None, target=True)], [1.0])
    chosen = Less().select(SelectionContext(nodes, target=Target("aim", aim)), 2400)
    assert [ids[i] for i in chosen.picks] == sorted(ids)


def test_centring_removes_the_mean_of_the_unit_rows() -> None:
    context = tiny_context()
    rows = context.vectors().astype(np.float64)
    rows -= rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(context.centred().vectors(), rows, atol=1e-6)
    np.testing.assert_allclose(context.centred().take([5, 2]), rows[[5, 2]], atol=1e-6)


def test_centring_leaves_each_checkpoint_its_weight() -> None:
    """The shared part of one checkpoint is large: without it there is as much left of that one as of the other."""
    rng = np.random.default_rng(0)
    shared, rows, aim = (
        9 * rng.standard_normal(12),
        rng.standard_normal((2, 40, 12)),
        rng.standard_normal((2, 3, 12)),
    )
    sets = [rows[0] + shared, rows[1]]
    context = context_of(sets, [aim[0], aim[1]], [0.3, 0.7])
    expected = []
    for part, weight in zip(sets, (0.3, 0.7), strict=True):
        unit = part / np.linalg.norm(part, axis=1, keepdims=True)
        unit -= unit.mean(axis=0)
        expected.append(unit / np.linalg.norm(unit, axis=1, keepdims=True) * weight**0.5)
    np.testing.assert_allclose(context.centred().vectors(), np.concatenate(expected, axis=1), atol=1e-5)


def test_stratified_choice_keeps_the_shares_of_the_sources() -> None:
    context = tiny_context()
    chosen = Random(stratified=True).select(context, 20)
    base, got = Counter(context.sources), Counter(context.sources[chosen.picks])
    assert len(chosen.picks) == 20
    for source, count in base.items():
        assert abs(got[source] - 20 * count / len(context)) < 1


def test_rows_without_a_gradient_are_no_candidates() -> None:
    context = tiny_context(rows=60)
    assert len(context) == 57
    np.testing.assert_allclose(np.linalg.norm(context.vectors(), axis=1), 1, atol=1e-6)
    assert [row["id"] for row in context.rows([context.ids[3], context.ids[0]])] == [
        context.ids[3],
        context.ids[0],
    ]


def test_a_selector_that_needs_a_target_or_graph_says_so() -> None:
    nodes = Nodes([Part.of([ArrayDataset(np.eye(4))], None, target=False)], [1.0])
    context = SelectionContext(nodes)
    assert not context.has_target
    with pytest.raises(UsageError, match="needs a target"):
        Less().select(context, 2)
    with pytest.raises(UsageError, match="gradstore graph"):
        _ = context.graph


def test_the_report_tells_how_rows_lie_to_each_other() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 40)) + 3
    chosen = G2IS(center=False).select(_with_graph(rows, rng), 20)
    pairs = chosen.report["pairs"]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert pairs["negative_pairs"] == 0
    assert pairs["mean_row_norm"] == pytest.approx(np.linalg.norm(unit.mean(0)), abs=0.01)
    centred = G2IS(center=True).select(_with_graph(rows, rng), 20)
    assert 0.3 < centred.report["pairs"]["negative_pairs"] < 0.7


def _with_graph(rows: npt.NDArray[np.floating], rng: np.random.Generator) -> SelectionContext:
    none = np.full((len(rows), 2), -1, np.int32)
    return context_of(
        [rows], [rng.standard_normal((5, 40))], [1.0], graph=lambda: (none, none.astype(np.float32))
    )
