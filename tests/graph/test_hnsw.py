"""Approximate lists."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradstore.errors import UsageError
from gradstore.graph import hnsw
from gradstore.graph.exact import Lists, Wanted, exact_lists
from gradstore.graph.hnsw import Search, hnsw_lists, index_bytes
from gradstore.graph.sketch import Sketch, choose_sketch
from gradstore.graph.vectors import Dense
from tests.graph.vectors import clustered, random_rows

SEARCH = Search(M=16, ef_construction=100, ef=64, keep=40, workers=2)
BOTH = [Wanted(1, 16), Wanted(-1, 4)]


def recall(found: Lists, true: Lists) -> float:
    pairs = zip(found[0], true[0], strict=True)
    return float(np.mean([len(np.intersect1d(a[a >= 0], b)) / max(1, (b >= 0).sum()) for a, b in pairs]))


@pytest.fixture
def three_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hnsw, "_SHARD_ROWS", 700)


@pytest.mark.usefixtures("three_shards")
def test_most_true_neighbours_and_conflicts_are_found_with_exact_cosines() -> None:
    vectors = Dense(clustered(2000, 48))
    found, _ = hnsw_lists(vectors, BOTH, SEARCH)
    for ours, true, least in zip(found, exact_lists(vectors, BOTH), (0.97, 0.9), strict=True):
        assert recall(ours, true) >= least
        both = (ours[0] == true[0]).all(axis=1)
        assert ours[1][both].tobytes() == true[1][both].tobytes()
        assert not (ours[0] == np.arange(2000)[:, None]).any()


@pytest.mark.usefixtures("three_shards")
def test_any_number_of_workers_gives_the_same_bytes() -> None:
    vectors = Dense(clustered(2000, 24))
    sketch = choose_sketch(vectors, 8, keep=40, seed=0, sizes=[8])
    for given in (None, sketch):
        lists = [hnsw_lists(vectors, BOTH, replace(SEARCH, workers=n), given)[0] for n in (1, 2, 5)]
        for again in lists[1:]:
            assert all(
                a.tobytes() == b.tobytes()
                for x, y in zip(lists[0], again, strict=True)
                for a, b in zip(x, y, strict=True)
            )


def test_few_rows_are_all_neighbours() -> None:
    for n in (1, 2, 6):
        vectors = Dense(clustered(n, 5))
        (found,), _ = hnsw_lists(vectors, [Wanted(1, 9)], SEARCH)
        (true,) = exact_lists(vectors, [Wanted(1, 9)])
        np.testing.assert_array_equal(found[0], true[0])
        np.testing.assert_array_equal(found[1], true[1])


def test_rows_that_the_index_cannot_reach_are_linked_exactly_in_both_directions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = Dense(clustered(300, 8))
    hidden = np.arange(0, 300, 7)
    honest = hnsw._query

    def query(index: Any, rows: Any, found: int) -> Any:
        labels, distances = honest(index, rows, found)
        return np.where(np.isin(labels, hidden), -1, labels), distances

    monkeypatch.setattr(hnsw, "_query", query)
    search = replace(SEARCH, ef=300, keep=300)
    (found,), unreachable = hnsw_lists(vectors, [Wanted(1, 5)], search)
    (true,) = exact_lists(vectors, [Wanted(1, 5)])
    assert unreachable == len(hidden)
    np.testing.assert_array_equal(found[0], true[0])
    np.testing.assert_array_equal(found[1], true[1])


def test_a_batch_survives_points_that_reach_too_few() -> None:
    class Index:
        """Raises for a whole batch, as hnswlib does, if one point cannot have k neighbours."""

        def knn_query(self, rows: Any, k: int, **_: int) -> Any:
            if (rows[:, 0] < k).any():
                raise RuntimeError(
                    "Cannot return the results in a contiguous 2D array. Probably ef or M is too small"
                )
            return np.tile(np.arange(k, dtype=np.uint64), (len(rows), 1)), np.zeros(
                (len(rows), k), np.float32
            )

    reach = np.array([[9], [3], [9], [0], [9]], np.float32)
    labels, distances = hnsw._query(Index(), reach, 8)
    assert [(row >= 0).sum() for row in labels] == [8, 2, 8, 0, 8]
    assert (np.isinf(distances) == (labels < 0)).all()


def test_a_fork_in_the_place_of_hnswlib_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.7.6" if name == "chroma-hnswlib" else honest(name)
    )
    with pytest.raises(
        UsageError, match=r"chroma-hnswlib 0\.7\.6 .* replaces the module.*--exact works without it"
    ):
        hnsw_lists(Dense(clustered(20, 4)), [Wanted(1, 2)], SEARCH)


def test_the_size_of_an_index_is_what_hnswlib_saves() -> None:
    import tempfile
    from pathlib import Path

    import hnswlib

    index = hnswlib.Index("ip", 32)
    index.init_index(1000, M=16, ef_construction=50, random_seed=0)
    index.add_items(random_rows(1000, 32))
    with tempfile.TemporaryDirectory() as folder:
        index.save_index(f"{folder}/index")
        saved = Path(folder, "index").stat().st_size
    assert saved <= index_bytes(1000, 32, 16) <= 1.2 * saved


def test_the_shortest_sketch_that_keeps_the_neighbours_is_taken() -> None:
    rng = np.random.default_rng(0)
    low = rng.standard_normal((3000, 60)) @ rng.standard_normal((60, 300)) + 0.01 * rng.standard_normal(
        (3000, 300)
    )
    flat = Dense((low / np.linalg.norm(low, axis=1, keepdims=True)).astype(np.float32))
    sketch = choose_sketch(flat, 10, keep=40, seed=0, sizes=(16, 64, 128))
    assert isinstance(sketch, Sketch)
    assert sketch.basis.shape == (300, 64)
    assert sketch.recall > 0.98
    np.testing.assert_allclose(sketch.basis.T @ sketch.basis, np.eye(64), atol=1e-5)
    assert choose_sketch(flat, 10, keep=40, seed=0, sizes=(8, 16)) is None
    round_rows = Dense(random_rows(3000, 300))
    assert choose_sketch(round_rows, 10, keep=40, seed=0, sizes=(16, 64)) is None
