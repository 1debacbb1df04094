"""Directions against METHODS' formulas in float64, and against the step that torch's own Adam makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradstore.checkpoint import Moments
from gradstore.errors import UsageError
from gradstore.gradients.directions import needs_moments, prepare_directions

PARAMETERS = [("w", (5, 4))]


@pytest.fixture
def moments() -> Moments:
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(5, 4, generator=draw) * 1e-4
    second = torch.rand(5, 4, generator=draw) * 1e-7
    return Moments({"w": first}, {"w": second}, step=7, betas=(0.8, 0.95), eps=1e-6)


def direction(name: str, moments: Moments | None, gradients: torch.Tensor) -> np.ndarray:
    (ready,) = prepare_directions([name], PARAMETERS, moments, "cpu")
    return ready.transform(0, gradients).double().numpy()


@pytest.fixture
def gradients() -> torch.Tensor:
    return torch.randn(3, 20, generator=torch.Generator().manual_seed(1)) * 1e-3


def test_adam_is_the_formula_of_less(moments: Moments, gradients: torch.Tensor) -> None:
    g = gradients.double().numpy()
    m, v = (x["w"].double().numpy().ravel() for x in (moments.first, moments.second))
    expected = (0.9 * m + 0.1 * g) / np.sqrt(0.999 * v + 0.001 * g**2 + 1e-8)
    np.testing.assert_allclose(direction("adam", moments, gradients), expected, rtol=1e-5)


def test_precond_is_adam_without_the_shared_momentum(moments: Moments, gradients: torch.Tensor) -> None:
    g = gradients.double().numpy()
    v = moments.second["w"].double().numpy().ravel()
    np.testing.assert_allclose(
        direction("precond", moments, gradients), g / np.sqrt(0.999 * v + 0.001 * g**2 + 1e-8), rtol=1e-5
    )


def test_adam_true_is_the_step_that_torch_makes(moments: Moments, gradients: torch.Tensor) -> None:
    for row in range(len(gradients)):
        weight = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([weight], lr=1.0, betas=moments.betas, eps=moments.eps)
        weight.grad = gradients[row].double().view(5, 4)
        optimizer.state[weight] = {
            "step": torch.tensor(float(moments.step)),
            "exp_avg": moments.first["w"].double(),
            "exp_avg_sq": moments.second["w"].double(),
        }
        optimizer.step()
        step = -weight.detach().numpy().ravel()
        np.testing.assert_allclose(
            direction("adam-true", moments, gradients)[row], step, rtol=1e-4, atol=1e-9
        )


def test_sgd_is_the_gradient_and_sign_its_sign(gradients: torch.Tensor) -> None:
    np.testing.assert_array_equal(direction("sgd", None, gradients), gradients.double().numpy())
    np.testing.assert_array_equal(direction("sign", None, gradients), np.sign(gradients.numpy()))


@pytest.mark.parametrize("names", [["adma"], [], ["sgd", "sgd"]])
def test_wrong_lists_of_directions_are_usage_errors(names: list[str]) -> None:
    with pytest.raises(UsageError):
        needs_moments(names)


def test_only_adam_directions_need_moments() -> None:
    assert not needs_moments(["sgd", "sign"])
    assert needs_moments(["sgd", "precond"])
