"""Approximate neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gradstore.graph import Nodes, Part, exact_neighbours, hnsw
from gradstore.graph.hnsw import hnsw_neighbours
from gradstore.graph.quality import measured_recall
from gradstore.testing import ArrayDataset

SETTINGS = {"seed": 0, "M": 16, "ef_construction": 100, "ef": 64}


def clustered(n: int, dim: int, chunk_rows: int = 128) -> Nodes:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, dim))[rng.integers(20, size=n)] + rng.standard_normal((n, dim))
    return Nodes([Part.of([ArrayDataset(rows, chunk_rows=chunk_rows)], None, target=False)], [1.0])


def test_most_true_neighbours_are_found() -> None:
    nodes = clustered(2000, 48)
    found, cosines = hnsw_neighbours(nodes, 16, **SETTINGS)
    assert measured_recall(nodes, found, cosines, seed=1) >= 0.9
    assert not (found == np.arange(2000)[:, None]).any()
    assert (np.diff(cosines, axis=1) <= 0).all()
    vectors = nodes.take(np.arange(2000))
    np.testing.assert_allclose(cosines[7], vectors[found[7]] @ vectors[7], atol=1e-6)


def test_the_same_rows_and_seed_give_the_same_bytes() -> None:
    first = hnsw_neighbours(clustered(600, 16), 8, **SETTINGS)
    again = hnsw_neighbours(clustered(600, 16, chunk_rows=7), 8, **SETTINGS)
    assert [array.tobytes() for array in first] == [array.tobytes() for array in again]


def test_few_rows_are_all_neighbours() -> None:
    nodes = clustered(6, 5)
    found, cosines = hnsw_neighbours(nodes, 9, **SETTINGS)
    true, true_cosines = exact_neighbours(nodes, 9)
    np.testing.assert_array_equal(found, true)
    np.testing.assert_allclose(cosines, true_cosines, atol=1e-6)


def test_rows_that_the_index_cannot_reach_are_linked_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = clustered(300, 8)
    monkeypatch.setattr(hnsw, "_query", lambda *_: None)
    found, _ = hnsw_neighbours(nodes, 5, **SETTINGS)
    np.testing.assert_array_equal(found, exact_neighbours(nodes, 5)[0])


def test_copies_of_a_row_do_not_hide_each_other() -> None:
    rows: npt.NDArray[np.floating] = np.repeat(np.random.default_rng(1).standard_normal((40, 12)), 30, axis=0)
    nodes = Nodes([Part.of([ArrayDataset(rows)], None, target=False)], [1.0])
    found, cosines = hnsw_neighbours(nodes, 10, **SETTINGS)
    assert (found >= 0).all()
    assert not (found == np.arange(1200)[:, None]).any()
    assert (np.diff(cosines, axis=1) <= 0).all()
