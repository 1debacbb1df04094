"""Adam's moments from a checkpoint, mapped to parameter names with every shape checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradstore.checkpoint.safe import load_tensors
from gradstore.errors import CheckpointError, IncompatibleError

if TYPE_CHECKING:
    import torch

__all__ = ["Moments", "load_moments"]

OPTIMIZER_FILE = "optimizer.pt"
WAYS_OUT = "use `--direction sgd`, or make a checkpoint that has one with `gradstore warmup`"


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's state for every trained parameter.

    Attributes
    ----------
    first, second : Mapping from parameter name to float32 tensor of the parameter's shape
        ``exp_avg`` and ``exp_avg_sq``.
    step : int
        Updates made so far.
    betas : (float, float)
    eps : float
        As read from the file; LESS's formula uses its own constants.
    """

    first: Mapping[str, torch.Tensor]
    second: Mapping[str, torch.Tensor]
    step: int
    betas: tuple[float, float]
    eps: float


def load_moments(folder: Path, parameters: Sequence[tuple[str, tuple[int, ...]]]) -> Moments:
    """Read ``optimizer.pt`` as the Hugging Face Trainer writes it.

    Its state is keyed by index: the i-th trained parameter, those with weight decay first, then those without
    (biases and normalisation weights). LoRA matrices all belong to the first group.

    Parameters
    ----------
    folder : Path
        The checkpoint folder.
    parameters : sequence of (name, shape)
        The trained parameters in ``named_parameters`` order.

    Raises
    ------
    CheckpointError
        If there is no such file, it is no Adam state, or it holds anything but data.
    IncompatibleError
        If the number of parameters or any shape differs; the message names it.
    """
    path = folder / OPTIMIZER_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: no optimizer state; looked for {OPTIMIZER_FILE}. Either {WAYS_OUT}")
    file = load_tensors(path)
    state, groups = file.get("state"), file.get("param_groups")
    if not isinstance(state, dict) or not isinstance(groups, list) or not groups:
        raise CheckpointError(f"{path}: not the state of a torch optimizer. Either {WAYS_OUT}")
    order = [index for group in groups for index in group.get("params", [])]
    if len(order) != len(parameters):
        raise IncompatibleError(
            f"{path}: holds moments of {len(order)} parameters, but the adapter trains {len(parameters)};"
            " the optimizer state belongs to another adapter"
        )
    first: dict[str, torch.Tensor] = {}
    second: dict[str, torch.Tensor] = {}
    steps = {0}
    for index, (name, shape) in zip(order, parameters, strict=True):
        entry = state.get(index)
        if not isinstance(entry, dict) or "exp_avg" not in entry or "exp_avg_sq" not in entry:
            keys = ", ".join(map(str, entry)) if isinstance(entry, dict) else "nothing"
            raise CheckpointError(f"{path}: no Adam moments for {name} (found {keys}). Either {WAYS_OUT}")
        for key, into in (("exp_avg", first), ("exp_avg_sq", second)):
            if tuple(entry[key].shape) != shape:
                raise IncompatibleError(
                    f"{path}: {key} of {name} has shape {tuple(entry[key].shape)}, the parameter {shape};"
                    " the optimizer state belongs to another adapter"
                )
            into[name] = entry[key].float()
        steps.add(int(entry.get("step", 0)))
    betas = groups[0].get("betas", (0.9, 0.999))
    return Moments(
        first, second, max(steps), (float(betas[0]), float(betas[1])), float(groups[0].get("eps", 1e-8))
    )
