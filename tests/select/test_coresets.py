"""TAGCOS with its k-means and pursuit, GSNR, and the cheap baselines, against slow references."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from gradstore.errors import UsageError
from gradstore.select import SelectionContext
from gradstore.select.gsnr import GSNR
from gradstore.select.kmeans import kmeans
from gradstore.select.loss import HighLoss, LowLoss
from gradstore.select.pursuit import pursue
from gradstore.select.shares import proportional_shares
from gradstore.select.tagcos import TAGCOS
from gradstore.select.top_norm import TopNorm
from gradstore.testing import ArrayDataset, check_selector
from tests.select.contexts import context_of


@pytest.mark.parametrize("selector", [TAGCOS(), TAGCOS(clusters=4), TAGCOS(clusters=1), TopNorm()])
def test_they_behave(selector: Any) -> None:
    check_selector(selector)


@pytest.mark.parametrize("seed", range(8))
def test_pursuit_is_least_squares_on_greedily_chosen_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, aim = rng.standard_normal((12, 7)), rng.standard_normal(7)
    chosen, weights = pursue(lambda i: rows @ rows[i], rows @ aim, 5)
    expected: list[int] = []
    left = aim
    while len(expected) < 5:
        gains = rows @ left
        gains[expected] = -np.inf
        if gains.max() <= 1e-10:
            break
        expected.append(int(gains.argmax()))
        fit = np.linalg.lstsq(rows[expected].T, aim, rcond=None)[0]
        left = aim - fit @ rows[expected]
    assert chosen == expected
    np.testing.assert_allclose(weights, fit, rtol=1e-6)


def test_pursuit_skips_copies_and_ends_when_nothing_is_left() -> None:
    rows = np.array([[1.0, 0], [1, 0], [0, 1], [0.6, 0.8]])
    chosen, weights = pursue(lambda i: rows @ rows[i], rows @ np.array([2.0, 0]), 4)
    assert chosen == [0]
    np.testing.assert_allclose(weights, [2])


def test_kmeans_finds_clusters_that_are_apart() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((5, 20))
    kinds = rng.integers(5, size=300)
    rows = (centres[kinds] + 0.05 * rng.standard_normal((300, 20))).astype(np.float32)
    for seed in range(5):
        found = kmeans(lambda: iter(np.split(rows, 3)), 300, 5, np.random.default_rng(seed))
        pairs = Counter(zip(kinds.tolist(), found.tolist(), strict=True))
        assert len(set(found)) >= 4
        assert sum(count for count in pairs.values()) == 300
        assert all(len({kind for kind, cluster in pairs if cluster == c}) <= 2 for c in set(found.tolist()))


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_ends_where_every_row_is_nearest_to_the_mean_of_its_cluster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((200, 6)).astype(np.float32)
    found = kmeans(lambda: iter(np.split(rows, 4)), 200, 7, rng)
    means = np.stack([rows[found == cluster].mean(axis=0) for cluster in range(found.max() + 1)])
    distances = ((rows[:, None] - means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), found)
    first = [int(np.flatnonzero(found == cluster)[0]) for cluster in range(found.max() + 1)]
    assert first == sorted(first)


def test_kmeans_of_equal_rows_is_one_cluster() -> None:
    rows = np.ones((9, 3), np.float32)
    assert set(kmeans(lambda: iter([rows]), 9, 4, np.random.default_rng(0))) == {0}


def test_shares_are_proportional_and_whole() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = rng.integers(1, 100, size=rng.integers(1, 9))
        budget = int(rng.integers(1, sizes.sum() + 1))
        shares = proportional_shares(sizes, budget)
        assert shares.sum() == budget
        assert (np.abs(shares - budget * sizes / sizes.sum()) < 1).all()
        assert (shares <= sizes).all()


def test_tagcos_takes_each_cluster_s_share_by_pursuit_to_its_mean() -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((30, 8))
    found = TAGCOS(clusters=1).select(context_of([rows], [np.eye(1, 8)], [1.0]), 5)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.argsort([f"pool-{i}" for i in range(30)])
    chosen, weights = pursue(lambda i: unit[order] @ unit[order][i], unit[order] @ unit.mean(axis=0), 5)
    assert found.picks.tolist() == [int(order[i]) for i in chosen]
    np.testing.assert_allclose(found.columns["weight"], weights, rtol=1e-3)


def test_tagcos_features_are_means_over_checkpoints_by_weight() -> None:
    from gradstore.select.tagcos import _Features

    rng = np.random.default_rng(2)
    train = rng.standard_normal((2, 15, 6))
    context = context_of(list(train), [np.eye(1, 6)] * 2, [0.2, 0.8])
    unit = train / np.linalg.norm(train, axis=2, keepdims=True)
    mean = 0.2 * unit[0] + 0.8 * unit[1]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    features = _Features(context)
    np.testing.assert_allclose(np.concatenate(list(features.tiles())), mean[features.order], atol=1e-5)


def test_tagcos_reads_rows_anew_where_memory_is_short_and_chooses_the_same() -> None:
    rows = np.random.default_rng(3).standard_normal((60, 8))
    plenty = context_of([rows], [np.eye(1, 8)], [1.0])
    scarce = context_of([rows], [np.eye(1, 8)], [1.0], memory=1000)
    selector = TAGCOS(clusters=5)
    assert selector.select(plenty, 20).picks.tolist() == selector.select(scarce, 20).picks.tolist()


@pytest.mark.parametrize("scale", ["unit", "stored"])
def test_gsnr_follows_the_definition(scale: Any) -> None:
    rng = np.random.default_rng(0)
    train = rng.standard_normal((3, 25, 7)) + 2 * rng.standard_normal((25, 7))
    context = context_of(list(train), [np.eye(1, 7)] * 3, [0.2, 0.3, 0.5])
    rows = train if scale == "stored" else train / np.linalg.norm(train, axis=2, keepdims=True)
    mean = rows.mean(axis=0)
    expected = (mean**2).sum(axis=1) / ((rows - mean) ** 2).sum(axis=2).mean(axis=0)
    found = GSNR(scale=scale).select(context, 9)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-3)
    np.testing.assert_array_equal(found.picks, np.argsort(-expected)[:9])


def test_gsnr_of_one_checkpoint_names_the_way_out() -> None:
    with pytest.raises(UsageError, match="extract the rows with several"):
        GSNR().select(context_of([np.eye(4)], [np.eye(4)], [1.0]), 2)


def test_gsnr_of_equal_checkpoints_is_finite() -> None:
    rows = np.eye(5)
    found = GSNR().select(context_of([rows, rows], [rows, rows], [0.5, 0.5]), 3)
    assert np.isfinite(found.scores).all()


def test_largest_norms_are_relative_to_their_checkpoint() -> None:
    rng = np.random.default_rng(0)
    train = rng.standard_normal((2, 20, 5)) * np.array([1e-6, 1e3])[:, None, None]
    norms = np.linalg.norm(train.astype(np.float32), axis=2)
    expected = (norms / norms.mean(axis=1, keepdims=True)).mean(axis=0)
    found = TopNorm().select(context_of(list(train), [np.eye(1, 5)] * 2, [0.5, 0.5]), 6)
    np.testing.assert_array_equal(found.picks, np.argsort(-expected)[:6])


def _with_loss(loss: np.ndarray) -> SelectionContext:
    from gradstore.graph import Nodes, Part

    dataset = ArrayDataset(np.eye(len(loss)) + 1)
    dataset.loss = loss.astype(np.float32)
    return SelectionContext(Nodes([Part.of([dataset], None, target=False)], [1.0]))


def test_losses_are_ranked_from_below_and_from_above() -> None:
    loss = np.random.default_rng(0).random(12)
    assert LowLoss().select(_with_loss(loss), 4).picks.tolist() == np.argsort(loss)[:4].tolist()
    assert HighLoss().select(_with_loss(loss), 4).picks.tolist() == np.argsort(-loss)[:4].tolist()


@pytest.mark.parametrize("selector", [LowLoss(), HighLoss()])
def test_unknown_losses_are_refused(selector: Any) -> None:
    with pytest.raises(UsageError, match="lacks for 1 of 3 rows"):
        selector.select(_with_loss(np.array([1, np.nan, 2.0])), 1)


@pytest.mark.parametrize("selector", [TAGCOS(), TopNorm()])
def test_one_candidate_all_of_them_and_equal_ones(selector: Any) -> None:
    assert selector.select(context_of([np.ones((1, 4))], [np.eye(1, 4)], [1.0]), 1).picks.tolist() == [0]
    same = context_of([np.ones((12, 4))], [np.eye(1, 4)], [1.0])
    assert sorted(selector.select(same, 12).picks) == list(range(12))
    assert same.ids[selector.select(same, 5).picks].tolist() == sorted(same.ids)[:5]
