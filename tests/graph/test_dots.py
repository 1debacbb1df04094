"""An inner product depends on its two rows, however long they are and whatever stands beside them."""

from __future__ import annotations

import numpy as np
import pytest

from gradstore.graph import Nodes, Part
from gradstore.graph.dots import row_dots
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.vectors import Dense
from gradstore.testing import ArrayDataset
from tests.graph.vectors import random_rows

LENGTHS = [1, 100, 8191, 8192, 8193, 16_384, 20_001]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_products_are_the_same_alone_together_and_among_other_columns(length: int, kind: type) -> None:
    rng = np.random.default_rng(length)
    left, right = rng.standard_normal((2, 13, length)).astype(kind)
    together = row_dots(left, right)
    np.testing.assert_allclose(
        together, (left.astype(np.float64) * right).sum(axis=1), atol=length * np.finfo(kind).eps
    )
    wide = np.concatenate([right, left], axis=1)
    for i in range(len(left)):
        assert row_dots(left[i : i + 1], right[i]) == together[i]
        assert row_dots(right[[i, i, i]], left[i])[2] == together[i]
        assert row_dots(left, wide[i, :length])[i] == together[i]
        assert row_dots(wide[i:, length:], right[i:])[0] == together[i]


@pytest.mark.parametrize("length", LENGTHS[3:])
def test_cosines_of_long_rows_do_not_depend_on_the_pairs_beside_them(length: int) -> None:
    vectors = Dense(random_rows(40, length))
    left, right = np.repeat(np.arange(20), 3), np.random.default_rng(0).integers(0, 40, 60)
    alone = [pair_cosines(vectors, left[[i]], right[[i]])[0] for i in range(60)]
    np.testing.assert_array_equal(pair_cosines(vectors, left, right), alone)


@pytest.mark.parametrize("widths", [(16_384,), (8192, 8192), (9000, 300)])
def test_a_long_node_is_the_same_read_alone_and_in_a_block(widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    sets = [
        ArrayDataset(rng.standard_normal((30, width)), checkpoint=f"c{i}") for i, width in enumerate(widths)
    ]
    nodes = Nodes([Part.of(sets, None, target=False)], [1 / len(widths)] * len(widths))
    alone = np.concatenate([nodes.take([i]) for i in range(30)])
    np.testing.assert_array_equal(nodes.read(0, 30), alone)
