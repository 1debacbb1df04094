"""Where a checkpoint keeps its optimizer's state, and that state by parameter name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstore.checkpoint.optimizer.slots import Slot, read_slot
from gradstore.checkpoint.optimizer.universal import find_universal, universal_entries
from gradstore.checkpoint.safe import load_tensors
from gradstore.checkpoint.trained import TrainedParameters, public_name
from gradstore.errors import CheckpointError, IncompatibleError

__all__ = ["WAYS_OUT", "OptimizerState", "read_state"]

FILES = ("optimizer.pt", "optimizer.bin")
WAYS_OUT = "use `--direction sgd`, or make a checkpoint that has one with `gradstore warmup`"


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """An optimizer's state.

    Attributes
    ----------
    path : Path
        File or folder that it was read from, for messages.
    entries : Mapping from parameter name to Mapping
    settings : Mapping
        The first parameter group's settings, as far as they are stored.
    """

    path: Path
    entries: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]

    def slot(self, name: str, shape: tuple[int, ...]) -> Slot:
        """The moments of one parameter.

        Raises
        ------
        CheckpointError
            If the optimizer does not keep the second moment; the message says what it keeps.
        IncompatibleError
            If the moments have another shape than the parameter.
        """
        slot = read_slot(self.entries.get(name, {}))
        if isinstance(slot, str):
            raise CheckpointError(f"{self.path}: no Adam moments for {name} ({slot}). Either {WAYS_OUT}")
        if slot.shape != shape:
            raise IncompatibleError(
                f"{self.path}: the moments of {name} have shape {slot.shape}, the parameter {shape};"
                " the optimizer state belongs to another model or adapter"
            )
        return slot


def read_state(folder: Path, trained: TrainedParameters) -> OptimizerState:
    """Find and read the optimizer's state.

    Raises
    ------
    CheckpointError
        If there is none, or it is sharded: the message has the command that joins the shards.
    IncompatibleError
        If it does not belong to the trained parameters.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        zero = find_universal(folder)
        if zero is None:
            raise CheckpointError(_absent(folder))
        return OptimizerState(zero, _known(universal_entries(zero, trained), trained, zero), {})
    file = load_tensors(path)
    if isinstance(file.get("optimizer"), dict):  # what torch's converter makes of FSDP shards
        file = file["optimizer"]
    state, groups = file.get("state"), file.get("param_groups")
    if not isinstance(state, dict) or not isinstance(groups, list) or not groups:
        raise CheckpointError(f"{path}: not the state of a torch optimizer. Either {WAYS_OUT}")
    if not all(isinstance(part, dict) for part in (*groups, *state.values())):
        raise CheckpointError(f"{path}: not the state of a torch optimizer. Either {WAYS_OUT}")
    if state and all(isinstance(key, str) for key in state):
        named = {public_name(key): entry for key, entry in state.items()}
        return OptimizerState(path, _known(named, trained, path), groups[0])
    return OptimizerState(path, _by_index(state, groups, trained, path), groups[0])


def _by_index(
    state: Mapping[int, Any], groups: list[dict[str, Any]], trained: TrainedParameters, path: Path
) -> dict[str, Mapping[str, Any]]:
    """Names for a state keyed by number: the i-th parameter, one parameter group after the other."""
    sizes = [len(group.get("params", [])) for group in groups]
    numbers = [number for group in groups for number in group.get("params", [])]
    if len(numbers) != len(trained.names):
        raise IncompatibleError(
            f"{path}: holds moments of {len(numbers)} parameters, but the checkpoint trains {len(trained.names)};"
            " the optimizer state belongs to another model or adapter"
        )
    candidates = [
        {trained.names[i]: state.get(number, {}) for number, i in zip(numbers, order, strict=True)}
        for order in trained.orders(sizes)
    ]
    if not candidates:
        raise IncompatibleError(
            f"{path}: its parameter groups hold {', '.join(map(str, sizes))} parameters, which is not how a Trainer"
            " groups those of this checkpoint; the optimizer state belongs to another model or adapter"
        )
    shapes = dict(zip(trained.names, trained.shapes, strict=True))
    # If none fits, the likeliest one serves to name the parameter that differs.
    return next((entries for entries in candidates if _fits(entries, shapes)), candidates[0])


def _fits(entries: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    slots = {name: read_slot(entry) for name, entry in entries.items() if entry}
    return all(isinstance(slot, str) or slot.shape == shapes[name] for name, slot in slots.items())


def _known(
    entries: Mapping[str, Mapping[str, Any]], trained: TrainedParameters, path: Path
) -> Mapping[str, Mapping[str, Any]]:
    for name in entries:
        if name not in trained.names:
            raise IncompatibleError(
                f"{path}: holds moments of {name}, which the checkpoint does not train;"
                " the optimizer state belongs to another model or adapter"
            )
    return entries


def _absent(folder: Path) -> str:
    """Why there is no state to read, with the command that makes one."""
    for zero in sorted(folder.glob("global_step*")):
        if any(zero.glob("*zero_pp_rank_*")):
            return (
                f"{folder}: the optimizer state is sharded by DeepSpeed; convert it with `python -m"
                f" deepspeed.checkpoint.ds_to_universal --inject_missing_state --input_folder {_quoted(zero)}"
                f" --output_folder {_quoted(folder / 'universal')}`, or {WAYS_OUT}"
            )
    for shards in sorted(folder.glob("optimizer_*")):
        if shards.is_dir():
            return (
                f"{folder}: the optimizer state is sharded by FSDP; convert it with `python -m"
                f" torch.distributed.checkpoint.format_utils dcp_to_torch {_quoted(shards)}"
                f" {_quoted(folder / 'optimizer.bin')}`, or {WAYS_OUT}"
            )
    other = sorted(path.name for path in folder.glob("*optimizer*"))
    found = f" (found {', '.join(other)}, which cannot be read)" if other else ""
    return f"{folder}: no optimizer state; looked for {' and '.join(FILES)}{found}. Either {WAYS_OUT}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
