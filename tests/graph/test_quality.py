"""Quality of a graph against slow counts of the same things."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import gradstore
from gradstore.errors import UsageError
from gradstore.graph import Nodes, Part, build_graph, exact_neighbours
from gradstore.graph.exact import Wanted, exact_lists
from gradstore.graph.links import components, in_degrees
from gradstore.graph.quality import graph_quality, interval, stored_quality
from gradstore.testing import ArrayDataset, tiny_store


def nodes_of(rows: npt.NDArray[np.floating]) -> Nodes:
    return Nodes([Part.of([ArrayDataset(rows)], None, target=False)], [1.0])


def some_nodes(n: int = 200, dim: int = 8, seed: int = 0) -> Nodes:
    return nodes_of(np.random.default_rng(seed).standard_normal((n, dim)))


def random_links(n: int, m: int, seed: int) -> npt.NDArray[np.int32]:
    """Lists of random lengths, -1 behind the last link."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, n, (n, m)).astype(np.int32)
    found[np.arange(m) >= rng.integers(0, m + 1, n)[:, None]] = -1
    return found


@given(st.integers(1, 60), st.integers(0, 4), st.integers(0, 10**6))
def test_components_are_those_that_scipy_finds(n: int, m: int, seed: int) -> None:
    neighbours = random_links(n, m, seed)
    rows, columns = np.nonzero(neighbours >= 0)
    matrix = csr_array((np.ones(len(rows)), (rows, neighbours[rows, columns])), shape=(n, n))
    number, label = connected_components(matrix, connection="weak")
    found = components(neighbours)
    assert len(found) == number
    assert sorted(found) == sorted(np.bincount(label))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_path_is_one_component(shuffled: bool) -> None:
    order = np.random.default_rng(0).permutation(5000) if shuffled else np.arange(5000)
    neighbours = np.full((5000, 1), -1, np.int32)
    neighbours[order[:-1], 0] = order[1:]
    assert components(neighbours).tolist() == [5000]


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 10**6))
def test_in_degrees_count_the_lists_that_hold_a_row(n: int, m: int, seed: int) -> None:
    neighbours = random_links(n, m, seed)
    assert in_degrees(neighbours).tolist() == [int((neighbours == node).sum()) for node in range(n)]


def test_figures_are_those_of_a_slow_count() -> None:
    nodes = some_nodes(80, 6)
    neighbours, cosines = exact_neighbours(nodes, 7)
    x = nodes.take(np.arange(80)).astype(np.float64)
    pairs = [x[i] @ x[j] for i in range(80) for j in range(i)]
    noise = 2 / np.sqrt(6)
    degrees = [int((neighbours == node).sum()) for node in range(80)]
    found = graph_quality(nodes, neighbours, cosines, copies=3)
    assert found["recall"] == found["recall_low"] == found["recall_high"] == 1.0
    assert found["rows"] == 80
    assert found["cosine_error"] < 1e-6
    assert found["in_degree_median"] == np.median(degrees)
    assert found["in_degree_max"] == max(degrees)
    assert found["unlisted_share"] == degrees.count(0) / 80
    assert found["largest_component"] == components(neighbours).max()
    assert found["negative_pairs"] == pytest.approx(np.mean(np.array(pairs) < 0))
    assert found["noise_pairs"] == pytest.approx(np.mean(np.abs(pairs) < noise))
    assert found["negative_links"] == np.mean(cosines < 0)
    assert found["noise_links"] == pytest.approx(np.mean(np.abs(cosines) < noise))
    assert found["noise"] == pytest.approx(noise)
    assert found["copies"] == 3
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_several_checkpoints_do_not_lessen_the_noise_of_the_projection() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 16))
    sets = [ArrayDataset(rows, checkpoint=f"c{i}") for i in range(4)]
    nodes = Nodes([Part.of(sets, None, target=False)], [0.25] * 4)
    assert graph_quality(nodes, *exact_neighbours(nodes, 5))["noise"] == pytest.approx(2 / 16**0.5)


def test_conflicts_have_a_recall_of_their_own() -> None:
    nodes = some_nodes(90, 12)
    near, contrary = exact_lists(nodes, [Wanted(1, 4), Wanted(-1, 6)])
    assert graph_quality(nodes, *near)["conflict_recall"] is None
    assert graph_quality(nodes, *near, conflicts=contrary)["conflict_recall"] == 1.0
    halved = contrary[0].copy()
    halved[:, 3:] = near[0][:, :3]
    assert graph_quality(nodes, *near, conflicts=(halved, contrary[1]))["conflict_recall"] == 0.5


def test_padding_counts_for_nothing() -> None:
    nodes = nodes_of(np.eye(40))  # all cosines are 0, like those of padding
    nothing, zeros = np.full((40, 3), -1, np.int32), np.zeros((40, 3), np.float32)
    found = graph_quality(nodes, nothing, zeros)
    assert (found["recall"], found["noise_links"], found["negative_links"]) == (0, 0, 0)
    assert (found["unlisted_share"], found["components"], found["noise_pairs"]) == (1, 40, 1)
    true, cosines = exact_neighbours(nodes, 3)
    assert graph_quality(nodes, true, cosines)["noise_links"] == 1


def test_a_single_row_has_a_quality() -> None:
    nodes = some_nodes(1)
    found = graph_quality(nodes, *exact_neighbours(nodes, 3))
    assert (found["recall"], found["components"], found["largest_component"]) == (1, 1, 1)


def test_cosines_that_are_made_up_neither_raise_recall_nor_stay_hidden() -> None:
    nodes = some_nodes()
    _, true = exact_neighbours(nodes, 5)
    wrong = (np.arange(200)[:, None] + np.arange(1, 6)).astype(np.int32) % 200
    found = graph_quality(nodes, wrong, true)
    assert found["recall"] < 0.1
    assert found["cosine_error"] > 0.1


@pytest.mark.parametrize("held", [1, 40, 1 << 20])
def test_cosines_do_not_depend_on_how_many_rows_are_read_at_once(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradstore.graph.quality._HELD", held)
    nodes = some_nodes(50)
    neighbours, cosines = exact_neighbours(nodes, 4)
    lists = np.where(np.arange(4) < np.arange(50)[:, None] % 5, neighbours, -1)
    given_cosines = np.where(lists >= 0, cosines, 0).astype(np.float32)
    assert graph_quality(nodes, lists, given_cosines, sample=30)["cosine_error"] < 1e-6


def test_recall_is_the_share_that_was_left_in_the_lists() -> None:
    nodes = some_nodes(400)
    neighbours, cosines = exact_neighbours(nodes, 10)
    lost = np.random.default_rng(1).random(neighbours.shape) < 0.3
    left, rest = np.where(lost, -1, neighbours), np.where(lost, 0, cosines).astype(np.float32)
    whole = graph_quality(nodes, left, rest, sample=400)
    assert whole["recall"] == pytest.approx(1 - lost.mean())
    part = graph_quality(nodes, left, rest, sample=100)
    assert part["rows"] == 100
    assert part["recall_low"] < whole["recall"] < part["recall_high"]
    assert part == graph_quality(nodes, left, rest, sample=100)
    assert part["recall"] != graph_quality(nodes, left, rest, sample=100, seed=1)["recall"]


@pytest.mark.parametrize(
    ("mean", "clustered"), [(0.95, False), (0.95, True), (0.99, False), (0.99, True), (0.7, True)]
)
def test_the_interval_holds_the_recall_of_all_rows_about_as_often_as_it_says(
    mean: float, clustered: bool
) -> None:
    rng = np.random.default_rng(0)
    chance = rng.beta(2 * mean, 2 * (1 - mean), 20_000) if clustered else np.full(20_000, mean)
    shares = rng.binomial(32, chance) / 32
    held = 0
    for _ in range(400):
        low, high = interval(rng.choice(shares, 300, replace=False), len(shares), 32)
        held += low <= shares.mean() <= high
    assert held >= 0.92 * 400


def test_intervals_at_the_ends() -> None:
    low, high = interval(np.ones(1000), 10**6, 32)
    assert low == pytest.approx(0.9962, abs=1e-4)
    assert high == 1
    assert interval(np.ones(50), 50, 32) == (1, 1)
    assert interval(np.zeros(0), 0, 32) == (1, 1)
    assert interval(np.array([0.5]), 10, 32)[0] < 0.5


def test_a_stored_graph_is_measured_again_on_its_rows(tmp_path) -> None:
    store = tiny_store(tmp_path / "s")
    graph = build_graph(store, neighbours=6)
    found = stored_quality(gradstore.open(tmp_path / "s"), graph, sample=40)
    assert found["recall"] == 1
    assert found["rows"] == 40
    with pytest.raises(UsageError, match="57 of 66 rows"):
        stored_quality(store, graph.among("pool"))
