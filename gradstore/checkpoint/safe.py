"""Reading torch files as data: tensors and plain containers, never code."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from gradstore.errors import CheckpointError

__all__ = ["load_tensors", "load_value"]


def load_tensors(path: Path) -> dict[str, Any]:
    """Load a dictionary written by ``torch.save``; its tensors stay in the file until they are used.

    Raises
    ------
    CheckpointError
        If the file holds anything but data, or is damaged. Nothing in it has been executed.
    """
    value = load_value(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}, not a dictionary of tensors")
    return value


def load_value(path: Path) -> Any:
    """Load what ``torch.save`` wrote.

    Raises
    ------
    CheckpointError
        If the file holds anything but data, or is damaged. Nothing in it has been executed.
    """
    import torch

    try:
        # Only the zip format, which torch has written since 1.6, can be mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"{path}: not loaded, since it is damaged or holds {_what(error)}") from error


def _what(error: Exception) -> str:
    """What a refused file holds, as far as torch says it."""
    refused = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
    return f"{refused.group(1)}, which is not data" if refused else "more than tensors and plain values"
