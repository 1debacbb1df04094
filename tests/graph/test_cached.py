"""Rows that are kept are the rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from gradstore.graph.cached import Cached, cached
from gradstore.graph.vectors import Dense, Float


@given(
    st.integers(0, 10**6), st.integers(0, 50), st.lists(st.lists(st.integers(0, 39), max_size=60), max_size=6)
)
def test_kept_rows_are_the_rows_and_are_read_once_while_there_is_room(
    seed: int, room: int, wanted: list[list[int]]
) -> None:
    rows = np.random.default_rng(seed).standard_normal((40, 4)).astype(np.float32)
    read: list[int] = []

    class Read(Dense):
        def take(self, nodes: npt.ArrayLike) -> Float:
            read.extend(np.asarray(nodes).tolist())
            return super().take(nodes)

    kept = Cached(Read(rows), 16 * room)
    for nodes in wanted:
        np.testing.assert_array_equal(kept.take(nodes), rows[np.array(nodes, int)])
    before = len(read)
    kept.take(list(dict.fromkeys(node for nodes in wanted for node in nodes))[:room])
    assert len(read) == before
    np.testing.assert_array_equal(kept.read(3, 9), rows[3:9])


def test_threads_share_what_is_kept() -> None:
    rows = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    kept = Cached(Dense(rows), 400 * 32)
    wanted = [np.random.default_rng(seed).integers(0, 500, 40) for seed in range(400)]
    with ThreadPoolExecutor(8) as threads:
        for nodes, found in zip(wanted, threads.map(kept.take, wanted), strict=True):
            np.testing.assert_array_equal(found, rows[nodes])


def test_rows_in_memory_are_not_kept_twice() -> None:
    rows = Dense(np.ones((3, 2), np.float32))
    assert cached(rows, 10**6) is rows
