"""Files that ``torch.save`` wrote: read as data, mapped, never as code."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CheckpointError, DataError, UsageError
from gradstore.interchange.source import Source, check_kind, regular
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    import torch

__all__ = ["TensorRows", "map_tensor", "map_value", "read_pt"]


def read_pt(path: Path, key: str | None) -> Source:
    """One tensor, alone or in a dictionary."""
    value = map_value(regular(path))
    if isinstance(value, dict):
        return Source(TensorRows(_chosen(value, path, key), path), "pt", path)
    if key is not None:
        raise UsageError(f"{path}: holds no dictionary, so there is nothing to choose with a key")
    return Source(TensorRows(value, path), "pt", path)


def map_tensor(path: Path) -> TensorRows:
    """Map a file that holds nothing but a matrix.

    Raises
    ------
    DataError
        If it holds anything else.
    """
    return TensorRows(map_value(path), path)


def map_value(path: Path) -> Any:
    """What ``torch.save`` wrote; its tensors stay in the file.

    Raises
    ------
    DataError
        If it holds anything but data. Nothing in it has been executed.
    """
    from gradstore.checkpoint.safe import load_value  # needs torch, which other formats do without

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about pickles that it then refuses
            return load_value(path)
    except CheckpointError as error:
        raise DataError(str(error)) from error


class TensorRows:
    """The rows of a mapped tensor as NumPy arrays; bfloat16 becomes float32.

    Parameters
    ----------
    value : Any
        What the file holds.
    path : Path

    Raises
    ------
    DataError
        If it is no ordinary matrix of real numbers, or claims more numbers than its file has bytes for.
    """

    def __init__(self, value: Any, path: Path) -> None:
        import torch

        if not isinstance(value, torch.Tensor):
            raise DataError(f"{path}: holds a {type(value).__name__}, not a tensor")
        tensor = value.detach()
        plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
        if not plain or not tensor.is_contiguous():
            raise DataError(
                f"{path}: holds a tensor that is not a plain matrix, row after row; save it as one"
            )
        if tensor.numel() * tensor.element_size() > path.stat().st_size:
            raise DataError(f"{path}: claims shape {tuple(tensor.shape)}, more than the file can hold")
        kind = str(tensor.dtype).removeprefix("torch.")
        self._tensor = tensor
        self.shape = tuple(tensor.shape)
        try:
            self.dtype: np.dtype[Any] = np.dtype(np.float32 if kind == "bfloat16" else kind)
        except TypeError:
            raise DataError(f"{path}: holds {kind}, not real numbers that NumPy knows") from None
        check_kind(self.shape, self.dtype, path)

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        piece = self._tensor[rows]
        if str(piece.dtype) == "torch.bfloat16":
            piece = piece.float()
        return np.asarray(piece.numpy())


def _chosen(value: dict[Any, Any], path: Path, key: str | None) -> torch.Tensor:
    import torch

    found = {str(name): item for name, item in value.items() if isinstance(item, torch.Tensor)}
    if key is not None:
        if key not in found:
            raise UsageError(f"{path}: {unknown_name('tensor', key, found)}")
        return found[key]
    if len(found) != 1:
        names = ", ".join(re.sub(r"\s", " ", name)[:40] for name in list(found)[:5]) or "no tensor"
        raise UsageError(f"{path}: holds {names}{' …' if len(found) > 5 else ''}; name one with --key")
    return next(iter(found.values()))
