"""Two-sided sketches against matrices built entry by entry, and what selection needs of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.gradients.directions import BETA2, EPS
from gradstore.gradients.kron import SIDE, KroneckerForm, SideScales, preconditioner
from gradstore.gradients.projection import block_randomness

Layers = list[tuple[str, tuple[int, int]]]
PLAIN = SideScales(None, None)


def plain_form(kind: str, dim: int, layers: Layers, seed: int = 0) -> KroneckerForm:
    return KroneckerForm(kind, dim, seed, layers, [[PLAIN] * len(layers)], "cpu")


def tokens(
    batch: int, length: int, shape: tuple[int, int], seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and output gradients of a layer."""
    draw = torch.Generator().manual_seed(seed)
    d_out, d_in = shape
    return (
        torch.randn(batch, length, d_in, generator=draw),
        torch.randn(batch, length, d_out, generator=draw),
    )


def side_matrix(seed: int, name: str, d: int, size: int) -> npt.NDArray[np.float64]:
    """The (size, d) sketch of one side, entry by entry from its definition."""
    if d <= size:
        return np.eye(d)
    matrix = np.zeros((size, d))
    for entry in range(d):
        buckets, signs = block_randomness(seed, name, entry // size, size)
        matrix[buckets[entry % size], entry] = signs[entry % size]
    return matrix


def expected_values(
    seed: int,
    name: str,
    sketch: tuple[int, int],
    gradients: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """P_out G P_inᵀ of each gradient, flattened."""
    left = side_matrix(seed, f"{name}:out", gradients.shape[1], sketch[0])
    right = side_matrix(seed, f"{name}:in", gradients.shape[2], sketch[1])
    found: npt.NDArray[np.float64] = np.einsum("po,boi,qi->bpq", left, gradients, right)
    return found.reshape(len(gradients), -1)


def weight_gradients(inputs: torch.Tensor, grads: torch.Tensor) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.einsum(
        "bto,bti->boi", grads.double().numpy(), inputs.double().numpy()
    )
    return found


@given(d_out=st.integers(1, 40), d_in=st.integers(1, 40), share=st.integers(1, 500), seed=st.integers(0, 3))
def test_values_are_the_gradient_between_the_two_matrices(
    d_out: int, d_in: int, share: int, seed: int
) -> None:
    form = plain_form("kron", share, [("layer", (d_out, d_in))], seed)
    (name, sketch), *_ = form.parameters
    inputs, grads = tokens(3, 5, (d_out, d_in), seed)
    expected = expected_values(seed, name, sketch, weight_gradients(inputs, grads))
    np.testing.assert_allclose(form.form(0, inputs, grads)[0].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_kron_sjlt_keeps_sides_that_are_short_enough_whole() -> None:
    layers: Layers = [("wide", (SIDE + 70, 30)), ("small", (20, 30)), ("large", (2 * SIDE, 3 * SIDE))]
    form = plain_form("kron+sjlt", 8192, layers)
    assert form.parameters == [("wide", (SIDE, 30)), ("small", (20, 30)), ("large", (SIDE, SIDE))]
    for layer, (name, shape) in enumerate(layers):
        inputs, grads = tokens(2, 4, shape)
        expected = expected_values(0, name, form.parameters[layer][1], weight_gradients(inputs, grads))
        np.testing.assert_allclose(form.form(layer, inputs, grads)[0].numpy(), expected, rtol=1e-3, atol=1e-3)


@given(
    share=st.integers(1, 5000),
    shapes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=5),
)
@settings(max_examples=30)
def test_kron_stays_within_its_numbers_and_uses_most_of_them(
    share: int, shapes: list[tuple[int, int]]
) -> None:
    layers: Layers = [(f"layer.{i}", shape) for i, shape in enumerate(shapes)]
    form = plain_form("kron", share * len(layers), layers)
    for (_, (d_out, d_in)), (_, (p, q)) in zip(layers, form.parameters, strict=True):
        assert 1 <= p <= d_out
        assert 1 <= q <= d_in
        assert p * q <= share
        assert (p, q) == (d_out, d_in) or p * q > share - max(p, q)


def test_inner_products_are_right_on_average_over_seeds() -> None:
    shape = (24, 40)
    inputs, grads = tokens(2, 6, shape)
    # A shared part: what is measured is no zero.
    grads[1] += grads[0]
    inputs[1] += inputs[0]
    gradients = torch.from_numpy(weight_gradients(inputs, grads)).flatten(1)
    exact = float(gradients[0] @ gradients[1])
    found = []
    for seed in range(300):
        rows = plain_form("kron", 64, [("layer", shape)], seed).form(0, inputs, grads)[0].double()
        found.append(float(rows[0] @ rows[1]))
    error = float(np.std(found)) / np.sqrt(len(found))
    assert abs(np.mean(found) - exact) < 3 * error
    assert error < 0.1 * abs(exact)


@pytest.mark.parametrize("kind", ["kron", "kron+sjlt"])
def test_a_row_does_not_depend_on_its_batch(kind: str) -> None:
    shape = (SIDE + 40, 50)
    form = plain_form(kind, 256, [("layer", shape)])
    inputs, grads = tokens(8, 12, shape)
    together = form.form(0, inputs, grads)[0]
    alone = torch.cat([form.form(0, inputs[i : i + 1], grads[i : i + 1])[0] for i in range(8)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)


def test_padded_tokens_contribute_nothing() -> None:
    shape = (SIDE + 40, 50)
    form = plain_form("kron+sjlt", 256, [("layer", shape)])
    inputs, grads = tokens(2, 12, shape)
    grads[:, 9:] = 0
    torch.testing.assert_close(form.form(0, inputs, grads), form.form(0, inputs[:, :9], grads[:, :9]))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_without_tokens_is_zero(threads: int) -> None:
    """An expert that no token of the row reached."""
    shape = (SIDE + 40, 50)
    form = plain_form("kron+sjlt", 256, [("layer", shape)])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(form.form(0, *tokens(1, 0, shape)), torch.zeros(1, 1, SIDE * 50))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(20, 30), (SIDE + 70, 30), (20, SIDE + 60)])
def test_each_direction_is_the_sketch_of_its_scaled_gradient(shape: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(1)
    out, in_ = torch.rand(shape[0], generator=draw) + 0.1, torch.rand(shape[1], generator=draw) + 0.1
    form = KroneckerForm(
        "kron+sjlt",
        256,
        0,
        [("layer", shape)],
        [[SideScales(out, in_)], [PLAIN], [SideScales(None, in_)]],
        "cpu",
    )
    inputs, grads = tokens(2, 6, shape)
    exact = weight_gradients(inputs, grads)
    left, right = out.double().numpy()[:, None], in_.double().numpy()
    for found, scaled in zip(
        form.form(0, inputs, grads), (left * exact * right, exact, exact * right), strict=True
    ):
        expected = expected_values(0, "layer", form.parameters[0][1], scaled)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_preconditioner_divides_by_the_root_of_a_second_moment_that_factors() -> None:
    draw = np.random.default_rng(0)
    root = np.outer(draw.uniform(1, 9, 6), draw.uniform(1, 9, 4))  # β2·v + ε
    second = torch.from_numpy((root * 1e-6 - EPS) / BETA2)
    scales = preconditioner(second.mean(1), second.mean(0))
    assert scales.out is not None
    assert scales.in_ is not None
    product = np.outer(scales.out.numpy(), scales.in_.numpy())
    np.testing.assert_allclose(product, 1 / np.sqrt(root * 1e-6), rtol=1e-5)


def test_preconditioner_of_what_was_never_trained_is_finite() -> None:
    scales = preconditioner(torch.zeros(3), torch.zeros(2))
    assert scales.out is not None
    assert scales.in_ is not None
    np.testing.assert_allclose(np.outer(scales.out.numpy(), scales.in_.numpy()), 1 / np.sqrt(EPS), rtol=1e-5)


def test_half_precision_is_sketched_and_summed_in_float32() -> None:
    shape = (SIDE + 40, 50)
    form = plain_form("kron+sjlt", 256, [("layer", shape)])
    inputs, grads = (values.bfloat16() for values in tokens(2, 64, shape))
    found = form.form(0, inputs, grads)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, form.form(0, inputs.float(), grads.float()))


def test_kron_needs_a_number_for_each_layer() -> None:
    layers: Layers = [(f"layer.{i}", (4, 4)) for i in range(10)]
    with pytest.raises(UsageError, match=r"10 layers: use at least 10, or 'kron\+sjlt'"):
        plain_form("kron", 9, layers)


def test_sketches_are_frozen() -> None:
    """Stored rows of every version must stay comparable: these numbers may never change."""
    shape = (7, 11)
    form = plain_form("kron", 9, [("model.layers.0.mlp.up_proj.weight", shape)], seed=5)
    inputs = (torch.arange(2 * 11, dtype=torch.float32) % 13 - 6).view(1, 2, 11)
    grads = (torch.arange(2 * 7, dtype=torch.float32) % 11 - 5).view(1, 2, 7)
    assert form.parameters[0][1] == (3, 3)
    assert SIDE == 128
    assert form.form(0, inputs, grads)[0, 0].tolist() == FROZEN


FROZEN = [64.0, -40.0, 102.0, 64.0, -16.0, 99.0, -80.0, 30.0, -125.0]
