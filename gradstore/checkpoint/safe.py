"""Reading torch files as data: tensors and plain containers, never code."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from gradstore.errors import CheckpointError

__all__ = ["load_tensors"]


def load_tensors(path: Path) -> dict[str, Any]:
    """Load a dictionary written by ``torch.save``.

    Raises
    ------
    CheckpointError
        If the file holds anything but data, or is damaged. Nothing in it has been executed.
    """
    import torch

    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not loaded, since it is damaged or holds more than tensors and plain values"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, not a dictionary of tensors")
    return value
