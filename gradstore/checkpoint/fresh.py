"""A new LoRA adapter on a base model: for gradients without any warm-up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from gradstore.checkpoint.linears import base_linears, check_target_modules
from gradstore.errors import UsageError

__all__ = ["InitLora", "fresh_adapter", "tensors_digest"]

ALL = "all-linear"
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, slots=True)
class InitLora:
    """What decides a fresh adapter.

    lora_B is zero, so that the model still computes what its base does; the gradient of lora_A is zero then, and all
    of an example's gradient is in lora_B.

    Attributes
    ----------
    r, alpha : int
        Rank, and the scale alpha / r of the adapter's output.
    target_modules : tuple of str
        Names of the layers to adapt, or ``("all-linear",)``. Empty for the attention projections q, k, v and o; for a
        model without these names what peft adapts by default in models of its type, or else all linear layers.
    seed : int
        Decides lora_A, alike on every device.
    """

    r: int = 8
    alpha: int = 16
    target_modules: tuple[str, ...] = ()
    seed: int = 0


def fresh_adapter(model: nn.Module, init: InitLora) -> tuple[nn.Module, dict[str, object]]:
    """The peft model of a fresh adapter, and its configuration for the record.

    Raises
    ------
    UsageError
        If rank or alpha is not positive.
    CheckpointError
        If a target module is not in the model.
    """
    from peft import LoraConfig, get_peft_model

    if init.r < 1 or init.alpha < 1:
        raise UsageError(
            f"a fresh adapter needs a rank and alpha of 1 or more, not {init.r} and {init.alpha}"
        )
    paths = [name.removesuffix(".weight") for name in base_linears(model)]
    names = {path.rpartition(".")[2] for path in paths}
    targets = init.target_modules or default_targets(model, names)
    check_target_modules([name for name in targets if name != ALL], names)
    chosen = names if ALL in targets else set(targets)
    config = LoraConfig(
        r=init.r,
        lora_alpha=init.alpha,
        # Whole paths, since other parts of the model (an image tower) may use the same names.
        target_modules=[path for path in paths if path.rpartition(".")[2] in chosen],
        fan_in_fan_out=type(model.get_submodule(paths[0])).__name__ == "Conv1D",
        task_type="CAUSAL_LM",
    )
    # The global generator is put back as it was; lora_A is drawn on the CPU and moved to the model's device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(init.seed)  # not the GPUs', which are left alone
        adapted: nn.Module = get_peft_model(model, config)
    record = {
        "peft_type": "LORA",
        "r": init.r,
        "lora_alpha": init.alpha,
        "target_modules": sorted(chosen),
        "init_lora_weights": "fresh",
        "seed": init.seed,
    }
    return adapted, record


def default_targets(model: nn.Module, names: set[str]) -> tuple[str, ...]:
    """The layers that a fresh adapter goes on by default; `names` are those there are."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_TYPE

    if names.issuperset(ATTENTION):
        return ATTENTION
    usual = tuple(BY_TYPE.get(getattr(model.config, "model_type", ""), ()))
    return usual if usual and names.issuperset(usual) else (ALL,)


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Digest of named tensors: their names, shapes and float32 values."""
    state = hashlib.sha256()
    for name, tensor in tensors.items():
        state.update(f"{name} {tuple(tensor.shape)} ".encode())
        state.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()[:32]
