"""DeepSpeed's universal checkpoints: a folder for every parameter, with a file for every state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from gradstore.checkpoint.safe import load_value
from gradstore.checkpoint.trained import TrainedParameters, public_name
from gradstore.errors import CheckpointError

__all__ = ["find_universal", "universal_entries"]

STATES = ("exp_avg", "exp_avg_sq", "momentum_buffer", "step")


def find_universal(folder: Path) -> Path | None:
    """The ``zero`` folder of a universal checkpoint in `folder` or one level below."""
    candidates = [folder / "zero", *sorted(folder.glob("*/zero"))]
    return next((path for path in candidates if path.is_dir()), None)


def universal_entries(zero: Path, trained: TrainedParameters) -> dict[str, Mapping[str, Any]]:
    """An entry for each trained parameter that has states; frozen parameters have none."""
    shapes = dict(zip(trained.names, trained.shapes, strict=True))
    entries: dict[str, Mapping[str, Any]] = {}
    for path in sorted(zero.iterdir()):
        name = public_name(path.name)
        states = [state for state in STATES if (path / f"{state}.pt").is_file()]
        if states:
            entries[name] = _Entry(path, states, shapes.get(name))
    return entries


class _Entry(Mapping[str, Any]):
    """One parameter's states, read when they are asked for."""

    def __init__(self, folder: Path, states: list[str], shape: tuple[int, ...] | None) -> None:
        self._folder = folder
        self._states = states
        self._shape = shape

    def __getitem__(self, state: str) -> Any:
        if state not in self._states:
            raise KeyError(state)
        path = self._folder / f"{state}.pt"
        value = load_value(path)
        tensor = value.get("param") if isinstance(value, dict) else value
        if state == "step" or self._shape is None:
            return tensor
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"{path}: holds no tensor; convert the checkpoint again")
        # ZeRO-3 is converted to flat vectors, ZeRO-1 and 2 to tensors of the parameter's shape.
        flat = tensor.dim() == 1 and tensor.numel() == prod(self._shape)
        return tensor.reshape(self._shape) if flat else tensor

    def __contains__(self, state: object) -> bool:
        return state in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)
