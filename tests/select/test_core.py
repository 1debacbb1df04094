"""Core directions of a target."""

from __future__ import annotations

import numpy as np
import pytest

from gradstore.select.g2is import mean_and_components, principal_components


def test_fewest_components_that_explain_more_than_the_share() -> None:
    rows = np.zeros((8, 4), np.float32)
    for axis, size in enumerate((3.0, 2.0, 1.0)):
        rows[2 * axis, axis], rows[2 * axis + 1, axis] = size, -size
    assert principal_components(rows, 0.6).names == ["pc1"]  # 9 / 14
    np.testing.assert_allclose(principal_components(rows, 0.7).weights, [9 / 13, 4 / 13])
    np.testing.assert_allclose(principal_components(rows, 0.99).directions, np.eye(3, 4), atol=1e-12)


def test_size_of_gradients_does_not_matter() -> None:
    rows = np.random.default_rng(0).standard_normal((12, 20))
    large, small = principal_components(rows), principal_components(rows * 1e-9)
    np.testing.assert_allclose(small.directions, large.directions, atol=1e-6)


@pytest.mark.parametrize("rows", [np.ones((1, 5)), np.full((4, 5), 0.1)])
def test_rows_without_variance_have_their_mean_as_core(rows: np.ndarray) -> None:
    core = principal_components(rows)
    np.testing.assert_allclose(core.directions, np.full((1, 5), 5**-0.5), rtol=1e-6)
    assert core.weights.tolist() == [1.0]


def test_components_of_pure_noise_are_left_out() -> None:
    kept = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((40, 200)) + 0.3 * rng.standard_normal(200)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        core = mean_and_components(rows, mean_share=0.75, rng=rng)
        kept += len(core.names) - 1
        mean = rows.mean(axis=0)
        np.testing.assert_allclose(core.directions[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert kept <= 3  # one in 20 by design


def test_components_above_noise_follow_the_mean_and_point_to_the_target() -> None:
    rng = np.random.default_rng(2)
    shared, apart = rng.standard_normal((2, 400))
    sides = np.repeat([2.0, -1.0], 20)[:, None]
    rows = rng.standard_normal((40, 400)) + 0.5 * shared + sides * apart
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    core = mean_and_components(rows, mean_share=0.75, rng=np.random.default_rng(0))
    assert core.names == ["mean", "pc1"]
    np.testing.assert_allclose(core.weights, [0.75, 0.25])
    assert (rows @ core.directions.T).sum(axis=0).min() >= 0
    assert abs(core.directions[1] @ apart) / np.linalg.norm(apart) > 0.9


def test_a_component_that_noise_could_have_made_costs_next_to_nothing() -> None:
    """Unit rows around one direction: whether chance lifts a component above the noise level or not."""
    for seed in range(40):
        draw = np.random.default_rng(seed)
        rows = np.ones(200) + 1.5 * draw.standard_normal((20, 200))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        core = mean_and_components(rows, mean_share=0.75, rng=draw)
        assert core.weights[0] > 0.97
