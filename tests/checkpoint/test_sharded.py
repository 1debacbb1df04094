"""Sharded states are refused with the command that joins them, and what it writes is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_model, load_moments
from gradstore.checkpoint.optimizer.moments import BETAS, EPS
from gradstore.errors import CheckpointError, IncompatibleError

Train = Callable[..., Any]
Copy = Callable[..., Path]


def test_deepspeed_shards_are_refused_with_the_command_that_joins_them(copy: Copy) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    (folder / "optimizer.pt").unlink()
    shards = folder / "global_step3"
    shards.mkdir()
    (shards / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    command = (
        "python -m deepspeed.checkpoint.ds_to_universal --inject_missing_state"
        f" --input_folder {shards} --output_folder {folder / 'universal'}"
    )
    with pytest.raises(CheckpointError) as caught:
        load_moments(folder, loaded)
    assert command in str(caught.value)


@pytest.mark.parametrize("stage", [2, 3])
def test_what_deepspeeds_converter_writes_is_read(stage: int, trained: Train) -> None:
    """Stages 1 and 2: a dictionary with the tensor, and fp32.pt of frozen weights too. Stage 3: a flat tensor."""
    made = trained("llama", lora_bias=True)
    (made.path / "optimizer.pt").unlink()
    zero = made.path / "universal" / "zero"
    for name, parameter in made.model.named_parameters():
        (zero / name).mkdir(parents=True)
        state = made.optimizer.state.get(parameter, {})
        tensors = {"fp32": parameter.detach()} | {k: v for k, v in state.items() if k != "step"}
        for key, tensor in tensors.items():
            whole = {"cat_dim": 0, "param": tensor} if stage == 2 else tensor.flatten()
            torch.save(whole, zero / name / f"{key}.pt")
        if state and stage == 2:
            torch.save(state["step"], zero / name / "step.pt")
    loaded = made.load()
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])
        assert torch.equal(moments.second[name], made.state(theirs)["exp_avg_sq"])
    assert moments.step == 3
    assert (moments.betas, moments.eps) == (BETAS, EPS)


def test_universal_checkpoint_of_another_model(copy: Copy) -> None:
    folder = copy()
    loaded = load_model(find_checkpoints(folder)[0])
    (folder / "optimizer.pt").unlink()
    for name in (*loaded.linears, "other.weight"):
        (folder / "zero" / name).mkdir(parents=True)
        torch.save({"param": torch.zeros(3, 3)}, folder / "zero" / name / "exp_avg_sq.pt")
    with pytest.raises(IncompatibleError, match=r"moments of other\.weight"):
        load_moments(folder, loaded)
    (folder / "zero" / "other.weight" / "exp_avg_sq.pt").unlink()
    with pytest.raises(IncompatibleError, match=r"have shape \(3, 3\)"):
        load_moments(folder, loaded)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_fsdp_shards_are_refused_with_a_command_whose_result_is_read(trained: Train) -> None:
    from torch.distributed import checkpoint as sharded
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    made = trained("llama")
    names = {id(p): name for name, p in made.model.named_parameters()}
    state = {names[id(p)]: dict(entry) for p, entry in made.optimizer.state.items()}
    groups = [{**made.optimizer.state_dict()["param_groups"][0], "params": list(state)}]
    shards = made.path / "optimizer_0"
    sharded.save({"optimizer": {"state": state, "param_groups": groups}}, checkpoint_id=shards)
    (made.path / "optimizer.pt").unlink()
    loaded = made.load()
    whole = made.path / "optimizer.bin"
    command = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {shards} {whole}"
    with pytest.raises(CheckpointError) as caught:
        load_moments(made.path, loaded)
    assert command in str(caught.value)
    dcp_to_torch_save(shards, whole)  # what the command calls
    moments = load_moments(made.path, loaded)
    for name, theirs in made.attributed(loaded).items():
        assert torch.equal(moments.first[name], made.state(theirs)["exp_avg"])
