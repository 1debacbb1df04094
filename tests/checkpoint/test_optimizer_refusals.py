"""A state that is not there, or not that of this checkpoint, is named with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import (
    InitLora,
    find_checkpoints,
    load_factored_moments,
    load_model,
    load_moments,
)
from gradstore.errors import CheckpointError, IncompatibleError

Train = Callable[..., Any]


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(path / "optimizer.pt", weights_only=True)
    change(state)
    torch.save(state, path / "optimizer.pt")


def test_name_that_the_checkpoint_does_not_train(copy: Callable[..., Path]) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    entry = {"exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
    torch.save({"state": {"elsewhere.weight": entry}, "param_groups": [{}]}, folder / "optimizer.pt")
    with pytest.raises(IncompatibleError, match=r"moments of elsewhere\.weight, which .* does not train"):
        load_moments(folder, loaded)


def test_no_optimizer_state_names_the_files_and_the_ways_out(copy: Callable[..., Path]) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    (folder / "optimizer.pt").unlink()
    with pytest.raises(
        CheckpointError, match=r"optimizer\.pt and optimizer\.bin.*--direction sgd.*gradstore warmup"
    ):
        load_moments(folder, loaded)


def test_moments_of_another_shape_name_the_parameter(copy: Callable[..., Path]) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    name, shape = loaded.parameters[3]
    wrong = {"exp_avg": torch.zeros(9, 9), "exp_avg_sq": torch.zeros(9, 9)}
    rewrite(folder, lambda state: state["state"].update({3: wrong}))
    with pytest.raises(IncompatibleError, match=rf"{name} have shape \(9, 9\), the parameter \({shape[0]}, "):
        load_moments(folder, loaded)


def test_moments_of_another_number_of_parameters(copy: Callable[..., Path]) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    rewrite(folder, lambda state: state["param_groups"][0]["params"].pop())
    with pytest.raises(IncompatibleError, match="moments of 27 parameters, but the checkpoint trains 28"):
        load_moments(folder, loaded)


def test_groups_of_other_sizes(copy: Callable[..., Path]) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])

    def move(state: dict[str, Any]) -> None:
        first, second = state["param_groups"]
        second["params"].append(first["params"].pop())

    rewrite(folder, move)
    with pytest.raises(IncompatibleError, match="groups hold 27, 1 parameters"):
        load_moments(folder, loaded)


NO_ADAM: list[tuple[Callable[[list[dict[str, Any]]], Any], str]] = [
    (lambda groups: torch.optim.SGD(groups, lr=1e-3, momentum=0.9), "SGD with momentum.*momentum_buffer"),
    (lambda groups: torch.optim.SGD(groups, lr=1e-3), "found nothing"),
    (lambda groups: torch.optim.RMSprop(groups, lr=1e-3), "RMSprop.*square_avg"),
    (lambda groups: torch.optim.Adagrad(groups, lr=1e-3), "Adagrad"),
    (lambda groups: torch.optim.Adamax(groups, lr=1e-3), "Adamax.*exp_inf"),
    (lambda groups: torch.optim.Muon([g for g in groups if g["params"]], lr=1e-3), "Muon"),
    (lambda groups: torch.optim.Rprop(groups, lr=1e-3), "found .*prev"),
]


@pytest.mark.parametrize(("optimizer", "message"), NO_ADAM, ids=lambda value: str(value)[:24])
def test_other_optimizers_are_named_by_what_they_hold(
    optimizer: Callable[[list[dict[str, Any]]], Any], message: str, trained: Train
) -> None:
    made = trained("llama", optimizer, target_modules=["q_proj"])
    with pytest.raises(CheckpointError, match=rf"no Adam moments for .*{message}.*--direction sgd"):
        load_moments(made.path, made.load())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"exp_avg": torch.zeros(4, 32)}, "Lion"),
        ({"z": torch.zeros(4, 32), "exp_avg_sq": torch.zeros(4, 32)}, "schedule-free"),
        ({"exp_avg": 1, "exp_avg_sq": 2}, "exp_avg_sq is int, not a tensor"),
    ],
)
def test_states_that_only_look_like_adams(
    entry: dict[str, Any], message: str, copy: Callable[..., Path]
) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    rewrite(folder, lambda state: state["state"].update(dict.fromkeys(state["state"], entry)))
    with pytest.raises(CheckpointError, match=message):
        load_moments(folder, loaded).first[loaded.parameters[0][0]]


def test_a_fresh_adapter_has_no_moments(copy: Callable[..., Path]) -> None:
    folder = find_checkpoints(copy(full=True))[0]
    loaded = load_model(folder, init_lora=InitLora())
    with pytest.raises(CheckpointError, match=r"fresh adapter has no optimizer state.*gradstore warmup"):
        load_moments(folder.path, loaded)


def test_full_moments_of_a_run_that_trained_an_adapter(copy: Callable[..., Path]) -> None:
    folder = find_checkpoints(copy())[0]
    loaded = load_model(folder, parameters="full")
    with pytest.raises(CheckpointError, match=r"no moments of model\.layers.*only an adapter was trained"):
        load_factored_moments(folder.path, loaded)


def test_base_model_without_an_optimizer(architecture: Callable[..., Path]) -> None:
    base = architecture("llama").parents[1] / "base"
    loaded = load_model(find_checkpoints(base)[0], parameters="full")
    with pytest.raises(CheckpointError, match=r"no optimizer state; looked for optimizer\.pt"):
        load_factored_moments(base, loaded)
