"""Neighbours and similarities from a cluster are those of one process."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.cluster import Cluster, Recipe, cluster_neighbours, cluster_project
from gradstore.cluster.neighbours import merged
from gradstore.cluster.panels import Held, panel_rows, panels
from gradstore.errors import UsageError
from gradstore.graph import exact_neighbours, open_nodes
from gradstore.graph.exact import Wanted, exact_lists
from gradstore.select import SelectionContext
from gradstore.store import Store
from tests.cluster.watching import Counting, assert_equal_bits

CHOICES = {
    "one checkpoint": {"train": ["pool"], "targets": [], "checkpoints": ["step-1"]},
    "several checkpoints, train and target sets": {"train": ["pool", "more"], "targets": ["target"]},
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("panel", [None, 700])
def test_neighbours_are_those_of_one_process(
    store: Store, client: Any, choice: str, panel: int | None
) -> None:
    nodes = open_nodes(store, **CHOICES[choice])
    progress = Counting()
    found = cluster_neighbours(Recipe.of(store, nodes), 9, client, progress, panel=panel)
    assert_equal_bits(found, exact_neighbours(nodes, 9))
    assert progress.done == progress.total > 1


def test_neighbours_are_those_of_a_full_sort(store: Store, client: Any) -> None:
    nodes = open_nodes(store, train=["more"], targets=["target"])
    found, cosines = cluster_neighbours(Recipe.of(store, nodes), 4, client, panel=100)
    rows = nodes.read(0, len(nodes)).astype(np.float64)
    true = rows @ rows.T
    np.fill_diagonal(true, -np.inf)
    listed = np.take_along_axis(true, found.astype(np.int64), axis=1)
    np.testing.assert_allclose(listed, -np.sort(-true, axis=1)[:, :4], atol=1e-6)
    np.testing.assert_allclose(cosines, listed, atol=1e-6)


def test_the_most_contrary_rows_are_those_of_one_process(store: Store, client: Any) -> None:
    nodes = open_nodes(store, **CHOICES["several checkpoints, train and target sets"])
    wanted = [Wanted(1, 3), Wanted(-1, 5)]
    found = Cluster(client, store).lists(nodes, wanted)
    for ours, theirs in zip(found, exact_lists(nodes, wanted), strict=True):
        assert_equal_bits(ours, theirs)
    assert (found[1][1][:, 0] < 0).all()


def test_rows_that_run_out_leave_padding(store: Store, client: Any) -> None:
    nodes = open_nodes(store, train=[], targets=["target"])
    found, cosines = cluster_neighbours(Recipe.of(store, nodes), 80, client, panel=30)
    assert_equal_bits((found, cosines), exact_neighbours(nodes, 80))
    assert (found[:, 74:] == -1).all()
    assert not cosines[:, 74:].any()


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("count", [1, 3, 75])
def test_similarities_are_those_of_one_process(store: Store, client: Any, choice: str, count: int) -> None:
    target = open_nodes(store, **{**CHOICES[choice], "train": [], "targets": ["target"]})
    nodes = open_nodes(store, **{**CHOICES[choice], "targets": []})
    progress = Counting()
    directions = target.read(0, count)
    found = cluster_project(Recipe.of(store, nodes), directions, client, progress)
    assert_equal_bits((found,), (SelectionContext(nodes).project(directions),))
    assert progress.done == progress.total == len(nodes)


def test_directions_travel_in_pieces_and_in_any_layout(
    store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = open_nodes(store, **CHOICES["one checkpoint"])
    directions = np.asfortranarray(np.random.default_rng(1).standard_normal((50, nodes.dim)), np.float32)
    monkeypatch.setattr("gradstore.cluster.project._PIECE", 7 * 4 * nodes.dim)
    found = cluster_project(Recipe.of(store, nodes), directions, client)
    assert_equal_bits((found,), (SelectionContext(nodes).project(np.ascontiguousarray(directions)),))


def test_a_worker_killed_in_the_middle_changes_nothing(store: Store, client: Any) -> None:
    nodes = open_nodes(store, **CHOICES["one checkpoint"])
    before = client.run(os.getpid)

    def kill() -> None:
        os.kill(next(iter(before.values())), signal.SIGKILL)

    progress = Counting(kill)
    found = cluster_neighbours(Recipe.of(store, nodes), 9, client, progress, panel=250)
    assert_equal_bits(found, exact_neighbours(nodes, 9))
    assert progress.done == progress.total == 66  # pairs of the eleven chunks
    assert next(iter(before.values())) not in client.run(os.getpid).values()


def test_similarities_survive_a_killed_worker(
    store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = open_nodes(store, **CHOICES["one checkpoint"])
    monkeypatch.setattr("gradstore.cluster.project._PIECE", 7 * 4 * nodes.dim)
    directions = nodes.read(0, 40)
    victims = client.run(os.getpid).values()
    # Both workers die, one by one: whatever the pieces of the directions lay on is gone.
    progress = Counting(lambda: [os.kill(victim, signal.SIGKILL) for victim in victims])
    found = cluster_project(Recipe.of(store, nodes), directions, client, progress)
    assert_equal_bits((found,), (SelectionContext(nodes).project(directions),))


@given(
    st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, -1])
)
def test_merging_blocks_is_sorting_the_whole(seed: int, rows: int, m: int, blocks: int, sign: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (rows, 12)).astype(np.float32) / 4  # many are equal
    order = np.argsort(-sign * values, axis=1, kind="stable")[:, :m]
    found = np.full((rows, m), -1, np.int32), np.zeros((rows, m), np.float32)
    pieces = np.array_split(np.arange(12), blocks)
    for columns in (pieces[i] for i in rng.permutation(blocks)):
        best = columns[np.argsort(-sign * values[:, columns], axis=1, kind="stable")[:, :m]]
        block = np.full((rows, m), -1, np.int32), np.zeros((rows, m), np.float32)
        block[0][:, : best.shape[1]] = best
        block[1][:, : best.shape[1]] = np.take_along_axis(values, best, axis=1)
        found = merged(found, block, sign)
    np.testing.assert_array_equal(found[0], order)
    np.testing.assert_array_equal(found[1], np.take_along_axis(values, order, axis=1))


@pytest.mark.parametrize("rows", [1, 7, 242, 243, 244, 256, 1000, 2464, 2465, 10**6])
def test_panels_hold_every_node_once(store: Store, rows: int) -> None:
    nodes = open_nodes(store, **CHOICES["several checkpoints, train and target sets"])
    found = panels(nodes, rows)
    assert [i for each in found for i in each] == list(range(len(nodes)))
    assert all(0 < len(each) <= rows for each in found)


def test_panels_end_with_chunks_where_chunks_fit(store: Store) -> None:
    nodes = open_nodes(store, train=["pool"], targets=["target"])
    found = panels(nodes, 700)
    ends = [(nodes.datasets[each.stop - 1], int(nodes.rows[each.stop - 1]) + 1) for each in found]
    assert ends == [
        ("pool", 512),
        ("pool", 1024),
        ("pool", 1536),
        ("pool", 2048),
        ("target", 75),
    ]


def test_held_rows_are_the_stored_ones(store: Store) -> None:
    nodes = open_nodes(store, **CHOICES["several checkpoints, train and target sets"])
    held = Held(nodes, range(100, 300), range(2400, 2500))
    wanted = np.random.default_rng(0).integers(0, len(nodes), 500)
    assert held.take(wanted).tobytes() == nodes.take(wanted).tobytes()
    for start, stop in ((100, 300), (150, 151), (90, 110), (2450, 2480), (0, 20)):
        assert held.read(start, stop).tobytes() == nodes.read(start, stop).tobytes()


def test_panels_follow_the_workers_memory(store: Store, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = open_nodes(store, **CHOICES["one checkpoint"])

    def with_limit(limit: int) -> int:
        small, large = {"memory_limit": limit, "nthreads": 2}, {"memory_limit": 1 << 40, "nthreads": 1}
        info = {"workers": {"a": small, "b": large}}
        monkeypatch.setattr(client, "scheduler_info", lambda **_: info)
        return panel_rows(nodes, client)

    assert with_limit(2 * 2 * 3 * 4 * nodes.dim * 100) == 100
    assert with_limit(1) == 1
    assert with_limit(0) == -(-len(nodes) // 4)  # two threads: ten tasks


@pytest.mark.parametrize(("m", "panel"), [(0, None), (3, 0)])
def test_counts_below_one_are_refused(store: Store, client: Any, m: int, panel: int | None) -> None:
    recipe = Recipe.of(store, open_nodes(store, train=["more"], targets=[]))
    with pytest.raises(UsageError, match="at least 1"):
        cluster_neighbours(recipe, m, client, panel=panel)


def test_directions_of_another_length_are_refused(store: Store, client: Any) -> None:
    recipe = Recipe.of(store, open_nodes(store, train=["more"], targets=[], checkpoints=["step-1"]))
    with pytest.raises(UsageError, match=r"shape \(2, 41\) for rows of 40 numbers"):
        cluster_project(recipe, np.ones((2, 41), np.float32), client)
