"""All trained parameters of a model, by the names used here, in the orders in which optimizers keep them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

__all__ = ["TrainedParameters", "public_name", "trained_parameters"]

WRAPPERS = {"_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "default"}
# The names by which transformers' Trainer tells what gets no weight decay.
NO_DECAY = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")


@dataclass(frozen=True, slots=True)
class TrainedParameters:
    """Every parameter that the training updated, attributed or not.

    Attributes
    ----------
    names : tuple of str
        In ``named_parameters`` order.
    shapes : tuple of tuple of int
    layouts : tuple of tuple of int
        For each way in which trainers are known to form parameter groups, the group of every parameter.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    layouts: tuple[tuple[int, ...], ...]

    def orders(self, sizes: Sequence[int]) -> Iterator[list[int]]:
        """Orders of the parameters in an optimizer whose groups have these sizes, the likeliest first."""
        filled = [size for size in sizes if size]
        for layout in self.layouts:
            groups = sorted(set(layout))
            if [layout.count(group) for group in groups] == filled:
                yield sorted(range(len(layout)), key=layout.__getitem__)


def public_name(name: str) -> str:
    """A parameter's name without what peft, FSDP, DDP and torch.compile put into it."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    return ".".join(parts[1:] if parts[0] == "module" else parts)


def trained_parameters(model: nn.Module) -> TrainedParameters:
    """The parameters of `model` that require a gradient."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    owners = [model.get_submodule(name.rpartition(".")[0]) for name, _ in trained]
    rules: tuple[Callable[[str, nn.Module], int], ...] = (_trainer, _earlier_trainer, _loraplus)
    layouts = [
        tuple(rule(name, owner) for (name, _), owner in zip(trained, owners, strict=True)) for rule in rules
    ]
    layouts.append((0,) * len(trained))
    return TrainedParameters(
        tuple(public_name(name) for name, _ in trained),
        tuple(tuple(parameter.shape) for _, parameter in trained),
        tuple(dict.fromkeys(layouts)),
    )


def _trainer(name: str, owner: nn.Module) -> int:
    """Trainer today: by name, and by nn.LayerNorm."""
    return int(isinstance(owner, nn.LayerNorm) or bool(NO_DECAY.search(name.lower())))


def _earlier_trainer(name: str, owner: nn.Module) -> int:
    """Trainer before it looked for norms by name: a model's own RMSNorm had decay."""
    return int("bias" in name or isinstance(owner, nn.LayerNorm))


def _loraplus(name: str, owner: nn.Module) -> int:
    """LoRA+ (peft's create_loraplus_optimizer): A, embeddings, B, and what has no decay."""
    if "lora_embedding" in name:
        return 1
    dimensions = getattr(owner, name.rpartition(".")[2]).dim()
    if "lora_B" not in name and dimensions > 1:
        return 0
    return 3 if "bias" in name or isinstance(owner, nn.LayerNorm) else 2
