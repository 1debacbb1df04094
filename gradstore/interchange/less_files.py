"""Writes a folder as LESS does, so that its scripts go on from there; see `gradstore.interchange.less`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import StoreWriteError, UsageError, first_line
from gradstore.interchange.npy_files import Float, write_blocks
from gradstore.progress import Bar, silent
from gradstore.storage.complete import fresh_folder

if TYPE_CHECKING:
    from gradstore.store import Dataset

__all__ = ["save_tensor", "write_less"]

ROWS = 160
"""Rows of a file, as in LESS."""
KINDS = ("adam", "sgd", "sign")

_SMALLEST_NORM = np.float32(1e-12)  # as torch.nn.functional.normalize


def write_less(dataset: Dataset, direction: str, out: Path, bar: Bar) -> Path:
    """Write ``{name}-ckpt{step}-{direction}/dim{K}`` in `out` and return it.

    Raises
    ------
    UsageError
        If LESS knows no such direction.
    """
    if direction not in KINDS:
        raise UsageError(f"LESS's files are of {', '.join(KINDS)}, not {direction!r}; export npy or parquet")
    shape = (len(dataset), dataset.dim(direction))
    place = out / f"{dataset.name}-ckpt{_step(dataset)}-{direction}" / f"dim{shape[1]}"
    with fresh_folder(place) as folder:
        for start in range(0, shape[0], ROWS):
            stop = min(start + ROWS, shape[0])
            save_tensor(dataset.read(direction, start, stop), folder / f"grads-{stop}.pt")
        with silent(shape[0], "rows", "") as unseen:
            _whole(dataset, direction, folder / "all_unormalized.pt", unseen, None)
        _whole(dataset, direction, folder / "all_orig.pt", bar, _unit)
    return place


def save_tensor(array: npt.NDArray[Any], path: Path) -> None:
    """Write an array, mapped or in memory, as ``torch.save`` writes a tensor.

    Raises
    ------
    StoreWriteError
        If the system refuses.
    """
    import torch

    try:
        with path.open("wb") as file:
            torch.save(torch.from_numpy(array), file)
    except (RuntimeError, OSError) as error:  # torch's writer reports a full disk as RuntimeError
        cause = error if isinstance(error, OSError) else error.__context__ or error
        reason = cause.strerror if isinstance(cause, OSError) else first_line(error)
        raise StoreWriteError(f"{path} cannot be written: {reason}") from error


def _whole(
    dataset: Dataset, direction: str, path: Path, bar: Bar, change: Callable[[Float], Float] | None
) -> None:
    """All rows in one file, changed or as they are. Mapped from a raw file, so not in memory."""
    raw, shape = path.with_suffix(".raw"), (len(dataset), dataset.dim(direction))
    with raw.open("wb") as file:
        write_blocks(dataset, direction, file, bar, change)
    save_tensor(np.memmap(raw, np.float32, "r+", shape=shape), path)
    raw.unlink()


def _unit(rows: Float) -> Float:
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)).astype(np.float32)
    return np.asarray(rows / np.maximum(norms, _SMALLEST_NORM)[:, None])


def _step(dataset: Dataset) -> int:
    """Step of the checkpoint, or the number that its name ends with, or 0."""
    number = re.search(r"(\d+)$", dataset.checkpoint, re.ASCII)
    return dataset.identity.step or (int(number[1]) if number else 0)
