"""Exact neighbours against a float64 sort of everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.graph import Nodes, Part, exact, exact_neighbours
from gradstore.graph.exact import nearest_to
from gradstore.graph.quality import graph_quality
from gradstore.testing import ArrayDataset


def nodes_of(rows: npt.NDArray[np.floating], chunk_rows: int = 50) -> Nodes:
    return Nodes([Part.of([ArrayDataset(rows, chunk_rows=chunk_rows)], None, target=False)], [1.0])


def brute_force(
    rows: npt.NDArray[np.float32], m: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    x = rows.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :m]
    return order, np.take_along_axis(cosines, order, axis=1)


@settings(max_examples=20)
@given(
    st.integers(0, 10**6),
    st.integers(2, 40),
    st.integers(2, 20),
    st.integers(1, 12),
    st.sampled_from([4, 16]),
)
def test_neighbours_are_those_of_a_full_sort(seed: int, n: int, dim: int, m: int, tile: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32) * 1e-6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "TILE", tile)
        found, cosines = exact_neighbours(nodes_of(rows), m)
    true, true_cosines = brute_force(rows, m)
    listed = min(m, n - 1)
    np.testing.assert_allclose(cosines[:, :listed], true_cosines[:, :listed], atol=3e-6)
    if dim > 2:
        np.testing.assert_array_equal(found[:, :listed], true[:, :listed])
    assert (found[:, listed:] == -1).all()
    assert (cosines[:, listed:] == 0).all()


def test_neighbours_do_not_depend_on_chunks() -> None:
    rows = np.random.default_rng(0).standard_normal((2500, 16)).astype(np.float32)
    first = exact_neighbours(nodes_of(rows, 2500), 9)
    true, _ = brute_force(rows, 9)
    assert (first[0] == true).mean() > 0.999  # float32 may swap two neighbours that are equally far
    for chunk_rows in (1, 77, 1024):
        again = exact_neighbours(nodes_of(rows, chunk_rows), 9)
        assert again[0].tobytes() == first[0].tobytes()
        assert again[1].tobytes() == first[1].tobytes()


def test_neighbours_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(1).standard_normal((300, 12)).astype(np.float32)
    first = exact_neighbours(nodes_of(rows), 7)
    for tile in (16, 100):
        monkeypatch.setattr(exact, "TILE", tile)
        again = exact_neighbours(nodes_of(rows), 7)
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_allclose(again[1], first[1], atol=1e-6)


def test_equally_near_rows_are_ordered_by_index() -> None:
    base = np.random.default_rng(2).standard_normal((1, 33)).astype(np.float32)
    found, cosines = exact_neighbours(nodes_of(np.repeat(base, 2100, axis=0)), 5)
    np.testing.assert_array_equal(found[3], [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(found[2000], [0, 1, 2, 3, 4])
    assert (cosines > 1 - 1e-6).all()
    assert (cosines <= 1).all()


def test_rows_without_a_gradient_are_no_nodes() -> None:
    rows = np.random.default_rng(3).standard_normal((20, 6))
    rows[[0, 7, 19]] = 0
    nodes = nodes_of(rows, 3)
    np.testing.assert_array_equal(nodes.rows, np.setdiff1d(np.arange(20), [0, 7, 19]))
    np.testing.assert_allclose(np.linalg.norm(nodes.read(0, 17), axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([b for _, b in nodes.blocks()]), nodes.read(0, 17))
    np.testing.assert_array_equal(nodes.take([16, 2]), nodes.read(0, 17)[[16, 2]])


def test_one_row_has_no_neighbour() -> None:
    found, cosines = exact_neighbours(nodes_of(np.ones((1, 4))), 3)
    np.testing.assert_array_equal(found, [[-1, -1, -1]])
    np.testing.assert_array_equal(cosines, [[0, 0, 0]])


def test_neighbours_of_some_rows_are_those_of_all_rows() -> None:
    nodes = nodes_of(np.random.default_rng(4).standard_normal((1500, 10)))
    found, _ = exact_neighbours(nodes, 6)
    queries = np.array([3, 1400, 1024, 0])
    np.testing.assert_array_equal(nearest_to(nodes, queries, 6)[0], found[queries])


def test_recall_counts_equally_near_rows_as_found_and_padding_as_lost() -> None:
    nodes = nodes_of(np.repeat(np.random.default_rng(5).standard_normal((30, 8)), 3, axis=0))
    found, cosines = exact_neighbours(nodes, 5)
    assert graph_quality(nodes, found, cosines)["recall"] == 1.0
    halved = found.copy()
    halved[:, 2:] = -1
    assert graph_quality(nodes, halved, cosines)["recall"] == pytest.approx(0.4)
    far = nodes_of(np.eye(40))  # the true neighbours are orthogonal: a padding 0 must not pass for one
    nothing = np.full((40, 3), -1, np.int32)
    assert graph_quality(far, nothing, np.zeros((40, 3), np.float32))["recall"] == 0.0
