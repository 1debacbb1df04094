"""Graphs that grow with their store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.graph import Graph, build_graph
from gradstore.store import Store
from tests.graph.vectors import random_rows

CONFLICTS = {"neighbours": 6, "conflicts": 3}


def grown_store(place: Path, *, targets: int = 1) -> Store:
    """A pool with copies in it, and targets."""
    rows = random_rows(150, 12)
    rows[140:] = rows[:10]
    gradstore.import_arrays(place, name="pool", gradients=rows)
    for i in range(targets):
        add(place, f"goal-{i}", 8, seed=10 + i, target=True)
    return gradstore.open(place)


def add(place: Path, name: str, count: int, *, seed: int, target: bool = False) -> None:
    gradstore.import_arrays(place, name=name, gradients=random_rows(count, 12, seed), target=target)


def same(ours: Graph, theirs: Graph) -> bool:
    names = ("ids", "datasets", "rows", "neighbours", "cosines", "conflicts", "conflict_cosines")
    return all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in names)


@pytest.mark.parametrize("method", ["exact", "hnsw"])
def test_a_later_target_and_a_later_train_set_are_attached_as_a_full_build_links_them(
    tmp_path: Path, method: Any
) -> None:
    grown_store(tmp_path)
    build_graph(tmp_path, method=method, **CONFLICTS)
    add(tmp_path, "later", 9, seed=3, target=True)
    add(tmp_path, "more", 30, seed=4)
    said: list[str] = []
    graph = build_graph(tmp_path, log=said.append, **CONFLICTS)
    assert any("39 rows are attached to graph 'default'" in line for line in said)
    assert graph.attributes["attached"] == 39
    assert graph.method == method
    assert graph.recall == 1.0
    assert same(graph, build_graph(tmp_path, name="whole", method="exact", **CONFLICTS))
    add(tmp_path, "last", 2, seed=5, target=True)
    assert build_graph(tmp_path, **CONFLICTS).attributes["attached"] == 41


@pytest.mark.parametrize(
    "change",
    [
        {"rebuild": True},
        {"neighbours": 5},
        {"conflicts": 2},
        {"method": "hnsw"},
        {"train": ["pool"], "targets": ["goal-1"]},  # without a target that the graph has
        {"train": ["pool"], "targets": ["goal-0", "goal-1", "large"]},  # more rows than it has
    ],
)
def test_a_graph_that_was_built_otherwise_is_built_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    grown_store(tmp_path)
    build_graph(tmp_path, method="exact", **CONFLICTS)
    add(tmp_path, "goal-1", 4, seed=3, target=True)
    add(tmp_path, "large", 200, seed=3, target=True)
    given = {"train": ["pool"], "targets": ["goal-0", "goal-1"], **CONFLICTS, **change}
    assert build_graph(tmp_path, **given).attributes["attached"] == 0


def test_a_stale_graph_is_built_anew(tmp_path: Path) -> None:
    import shutil

    grown_store(tmp_path)
    build_graph(tmp_path, **CONFLICTS)
    shutil.rmtree(next((tmp_path / "checkpoints").glob("*/goal-0")))
    add(tmp_path, "goal-0", 8, seed=77, target=True)
    graph = build_graph(tmp_path, **CONFLICTS)
    assert graph.attributes["attached"] == 0
    assert graph.recall == 1.0


def test_exact_copies_are_counted_and_listed(tmp_path: Path) -> None:
    graph = build_graph(grown_store(tmp_path), neighbours=4)
    assert graph.attributes["quality"]["copies"] == 10
    np.testing.assert_array_equal(graph.neighbours[:10, 0], np.arange(140, 150))
    np.testing.assert_array_equal(graph.neighbours[140:150, 0], np.arange(10))


def test_conflicts_are_the_rows_of_most_negative_cosine(tmp_path: Path) -> None:
    store = grown_store(tmp_path)
    graph = build_graph(store, neighbours=2, conflicts=5)
    rows = np.concatenate(
        [
            np.asarray(store.dataset(name).read("sgd", 0, count))
            for name, count in (("pool", 150), ("goal-0", 8))
        ]
    )
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(graph.conflict_cosines, np.sort(rows @ rows.T, axis=1)[:, :5], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conflicts": -1}, "conflicts is -1; 0 for none"),
        ({"sketch": -1}, "sketch is -1; 0 for none"),
        ({"workers": 0}, "workers is 0; choose at least 1"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(gradstore.errors.UsageError, match=message):
        build_graph(grown_store(tmp_path), **change)


def test_lists_are_no_longer_than_there_are_other_rows_and_grow_with_the_store(tmp_path: Path) -> None:
    gradstore.import_arrays(tmp_path, name="pool", gradients=random_rows(20, 12))
    wish: dict[str, Any] = {"neighbours": 10**6, "conflicts": 10**6, "method": "exact"}
    said: list[str] = []
    graph = build_graph(tmp_path, log=said.append, **wish)
    assert graph.neighbours.shape == graph.conflicts.shape == (20, 19)
    assert graph.attributes["neighbours"] == 19
    assert said.count("a row of 20 has 19 others: 19 are listed instead of 1000000") == 2
    add(tmp_path, "goal", 4, seed=3, target=True)
    graph = build_graph(tmp_path, **wish)
    assert graph.neighbours.shape == (24, 23)
    assert graph.attributes["attached"] == 4
    assert same(graph, build_graph(tmp_path, name="whole", **wish))
    add(tmp_path, "more", 30, seed=4)
    wish |= {"neighbours": 30, "conflicts": 3}
    assert same(build_graph(tmp_path, **wish), build_graph(tmp_path, name="whole", rebuild=True, **wish))
