"""Adafactor keeps the second moment as two vectors, and mostly no first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_factored_moments, load_model, load_moments
from gradstore.checkpoint.optimizer.moments import BETAS, EPS
from gradstore.errors import CheckpointError

Train = Callable[..., Any]


def adafactor(**options: Any) -> Callable[[list[dict[str, Any]]], Any]:
    def make(groups: list[dict[str, Any]]) -> Any:
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=1e-3, relative_step=False, scale_parameter=False, **options)

    return make


def torch_adafactor(groups: list[dict[str, Any]]) -> Any:
    return torch.optim.Adafactor(groups, lr=1e-3)


@pytest.mark.parametrize("optimizer", [adafactor(), torch_adafactor], ids=["transformers", "torch"])
def test_adafactor_has_a_second_moment_of_rank_one_and_no_first(
    optimizer: Callable[[list[dict[str, Any]]], Any], trained: Train
) -> None:
    made = trained("llama", optimizer)
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        state = made.state(theirs)
        row = state.get("exp_avg_sq_row", state.get("row_var")).flatten()
        column = state.get("exp_avg_sq_col", state.get("col_var")).flatten()
        second = moments.second[name]
        assert torch.allclose(second.mean(1), row, rtol=1e-4)
        assert torch.allclose(second.mean(0), column, rtol=1e-4)
        assert torch.allclose(second * row.mean(), torch.outer(row, column), rtol=1e-4)
    with pytest.raises(CheckpointError, match=r"no first moment.*Adafactor.*--direction precond"):
        moments.first[loaded.parameters[0][0]]
    assert (moments.betas, moments.eps) == (BETAS, EPS)


def test_adafactor_with_momentum_has_both(trained: Train) -> None:
    made = trained("llama", adafactor(beta1=0.9))
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
@pytest.mark.parametrize("optimizer", [adafactor(), torch_adafactor], ids=["transformers", "torch"])
def test_adafactor_of_a_full_fine_tune_gives_its_own_means(
    name: str, optimizer: Callable[[list[dict[str, Any]]], Any], tmp_path: Path
) -> None:
    from tests.architectures import make_model, train

    made: list[Any] = []

    def keep(groups: list[dict[str, Any]]) -> Any:
        made.append(optimizer(groups))
        return made[0]

    model = make_model(name)
    path = train(model, tmp_path / "checkpoint-3", keep)
    loaded = load_model(find_checkpoints(path)[0], parameters="full")
    moments = load_factored_moments(path, loaded)
    parameters = dict(model.named_parameters())
    for parameter in loaded.linears:
        state = made[0].state[parameters[parameter]]
        row = state.get("exp_avg_sq_row", state.get("row_var")).flatten()
        column = state.get("exp_avg_sq_col", state.get("col_var")).flatten()
        rows, columns = (column, row) if name == "gpt2" else (row, column)
        assert torch.equal(moments.rows[parameter], rows)
        assert torch.equal(moments.columns[parameter], columns)
