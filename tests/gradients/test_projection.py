"""Properties of the projections, against matrices built column by column."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.gradients.projection import block_randomness, make_projector
from gradstore.records import ProjectionSpec

Shapes = list[tuple[str, tuple[int, ...]]]
SHAPES: Shapes = [("a", (3, 5)), ("b", (40,)), ("c", (16, 4))]


def project(
    spec: ProjectionSpec, shapes: Shapes, rows: torch.Tensor, order: list[int] | None = None
) -> torch.Tensor:
    projector = make_projector(spec, shapes)
    buffer = projector.begin(len(rows))
    sizes = [int(np.prod(shape)) for _, shape in shapes]
    pieces = rows.split(sizes, dim=1)
    for index in order or range(len(shapes)):
        projector.add(buffer, index, pieces[index])
    return projector.finish(buffer)


def sketch_matrix(spec: ProjectionSpec, shapes: Shapes) -> np.ndarray:
    """The (D, k) matrix of ``sjlt``, entry by entry from its definition."""
    rows = []
    for name, shape in shapes:
        for entry in range(int(np.prod(shape))):
            buckets, signs = block_randomness(spec.seed, name, entry // spec.dim, spec.dim)
            row = np.zeros(spec.dim)
            row[buckets[entry % spec.dim]] = signs[entry % spec.dim]
            rows.append(row)
    return np.array(rows)


@given(dim=st.integers(1, 60), seed=st.integers(0, 3))
def test_sjlt_is_multiplication_by_its_matrix(dim: int, seed: int) -> None:
    spec = ProjectionSpec("sjlt", dim, seed)
    rows = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, 119)).astype(np.float32))
    expected = rows.double().numpy() @ sketch_matrix(spec, SHAPES)
    np.testing.assert_allclose(project(spec, SHAPES, rows).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
@given(dim=st.integers(1, 60), seed=st.integers(0, 3))
def test_sjlt_gives_the_same_bits_as_float32_additions_in_its_order(device: str, dim: int, seed: int) -> None:
    """A sign changes no bit of a number's magnitude, so that each bucket is a plain sum of float32 in a fixed order."""
    spec = ProjectionSpec("sjlt", dim, seed)
    rows = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, 119)).astype(np.float32))
    projector = make_projector(spec, SHAPES, device)
    buffer = projector.begin(2)
    expected = np.zeros((2, dim), np.float32)
    start = 0
    for index, (name, shape) in enumerate(SHAPES):
        size = int(np.prod(shape))
        projector.add(buffer, index, rows[:, start : start + size].to(device))
        for entry in range(size):
            buckets, signs = block_randomness(seed, name, entry // dim, dim)
            bucket = buckets[entry % dim]
            expected[:, bucket] += rows[:, start + entry].numpy() * signs[entry % dim]
        start += size
    np.testing.assert_array_equal(projector.finish(buffer).cpu().numpy(), expected)


def test_every_block_hits_each_bucket_at_most_once() -> None:
    buckets, signs = block_randomness(7, "layer.weight", 3, 1000)
    assert sorted(buckets) == list(range(1000))
    assert set(signs) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.1


def test_sjlt_randomness_is_frozen() -> None:
    """Stored rows of every version must stay comparable: these numbers may never change."""
    buckets, signs = block_randomness(0, "w", 0, 8)
    assert buckets.tolist() == FROZEN_BUCKETS
    assert signs.tolist() == FROZEN_SIGNS


FROZEN_BUCKETS = [5, 7, 0, 4, 6, 1, 3, 2]
FROZEN_SIGNS = [1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("kind", ["sjlt", "rademacher", "none"])
def test_projection_is_linear_and_the_order_of_parameters_does_not_matter(kind: str) -> None:
    spec = ProjectionSpec(kind, 119 if kind == "none" else 32, 1)
    rows = torch.randn(3, 119, generator=torch.Generator().manual_seed(0))
    whole = project(spec, SHAPES, rows)
    torch.testing.assert_close(project(spec, SHAPES, rows, order=[2, 0, 1]), whole)
    torch.testing.assert_close(project(spec, SHAPES, 3 * rows[:1] - rows[1:2]), 3 * whole[:1] - whole[1:2])


def test_cosines_survive_sjlt_within_the_johnson_lindenstrauss_error() -> None:
    """Heavy-tailed rows of 65 536 numbers; root mean square error of all pairwise cosines."""
    shapes: Shapes = [(f"layer.{i}.lora", (8, 256)) for i in range(32)]
    draw = np.random.default_rng(0)
    scale = draw.standard_normal(65536) ** 2
    shared = draw.standard_normal(65536)
    raw = (draw.standard_normal((40, 65536)) + 0.3 * shared) * scale
    rows = torch.from_numpy(raw.astype(np.float32))
    stored = project(ProjectionSpec("sjlt", 8192, 0), shapes, rows).double().numpy()

    def cosines(x: np.ndarray) -> np.ndarray:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return (unit @ unit.T)[np.triu_indices(len(x), 1)]

    error = cosines(stored) - cosines(raw)
    assert np.sqrt((error**2).mean()) <= 0.0125


def test_rademacher_of_smaller_dimension_is_a_prefix() -> None:
    rows = torch.randn(2, 119, generator=torch.Generator().manual_seed(0))
    small = project(ProjectionSpec("rademacher", 100, 5), SHAPES, rows)
    large = project(ProjectionSpec("rademacher", 300, 5), SHAPES, rows)
    torch.testing.assert_close(small, large[:, :100])


def test_rademacher_drawn_again_equals_rademacher_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradstore.gradients.projection import Rademacher

    rows = torch.randn(2, 119, generator=torch.Generator().manual_seed(0))
    kept = project(ProjectionSpec("rademacher", 256, 5), SHAPES, rows)
    monkeypatch.setattr(Rademacher, "keep_bytes", 0)
    assert torch.equal(project(ProjectionSpec("rademacher", 256, 5), SHAPES, rows), kept)


def test_unknown_projection_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean 'sjlt'"):
        make_projector(ProjectionSpec("sjtl", 8, 0), SHAPES)
