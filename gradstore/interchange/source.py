"""What every reader of foreign files returns: rows that are read a slice at a time, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError
from gradstore.records import DIRECTIONS

if TYPE_CHECKING:
    from gradstore.interchange.importer import Matrix

__all__ = [
    "Raw",
    "Source",
    "Stacked",
    "check_kind",
    "inside",
    "member",
    "names_in",
    "read_json",
    "read_lines",
    "regular",
    "told_direction",
]

LARGEST_JSON = 1 << 30


@dataclass(frozen=True)
class Source:
    """Vectors in files of another tool.

    Attributes
    ----------
    gradients : Matrix
        Shape (rows, numbers of a row); only the slices that are asked for are read.
    format : str
        One of `gradstore.interchange.IMPORTS`.
    path : Path
    columns : Mapping
        What the files tell of each row: any of ``ids``, ``rows``, ``sources``, ``subtasks``, ``loss`` and ``tokens``.
    step : int, optional
        Optimizer step of the model checkpoint.
    direction : str, optional
        Which of `gradstore.records.DIRECTIONS` the vectors are.
    notes : tuple of str
        What a user should know, one line each, such as that the norms are lost.
    """

    gradients: Matrix
    format: str
    path: Path
    columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]] = field(default_factory=dict)
    step: int | None = None
    direction: str | None = None
    notes: tuple[str, ...] = ()


class Stacked:
    """Matrices of one width and type below each other.

    Parameters
    ----------
    pieces : sequence of Matrix
        At least one.
    where : path
        For the message.

    Raises
    ------
    DataError
        If they differ in width or type.
    """

    def __init__(self, pieces: Sequence[Matrix], where: Path) -> None:
        kinds = {(piece.shape[1], str(piece.dtype)) for piece in pieces}
        if len(kinds) > 1:
            found = " and ".join(f"{width} {kind}" for width, kind in sorted(kinds))
            raise DataError(f"{where}: its files hold rows of {found}: they are not of one run")
        self._pieces = list(pieces)
        self._starts = np.cumsum([0, *(piece.shape[0] for piece in pieces)])
        self.shape = (int(self._starts[-1]), pieces[0].shape[1])
        self.dtype: np.dtype[Any] = np.dtype(pieces[0].dtype)

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for piece, begin in zip(self._pieces[first:], self._starts[first:].tolist(), strict=False):
            if begin >= stop:
                break
            lo, hi = max(start, begin), min(stop, begin + piece.shape[0])
            out[lo - start : hi - start] = piece[lo - begin : hi - begin]
        return out


class Raw:
    """Rows end to end in a file that holds nothing else; ``bfloat16`` becomes float32.

    Parameters
    ----------
    path : Path
    shape : tuple of int
    dtype : str
        A NumPy type of real numbers, or ``"bfloat16"``.

    Raises
    ------
    DataError
        If the type is none of these, or the file has another size.
    """

    def __init__(self, path: Path, shape: tuple[int, int], dtype: str) -> None:
        brain = dtype == "bfloat16"
        try:
            kind = np.dtype("<u2" if brain else dtype)
        except TypeError:
            raise DataError(f"{path}: {dtype!r} is no type of real numbers") from None
        if kind.kind not in "fiu":
            raise DataError(f"{path}: {dtype!r} is no type of real numbers")
        size, wanted = path.stat().st_size, shape[0] * shape[1] * kind.itemsize
        if min(shape) < 1 or size != wanted:
            raise DataError(
                f"{path}: has {size:,} bytes, but {shape[0]:,} rows of {shape[1]:,} numbers ({dtype}) have "
                f"{wanted:,}: it is cut off, or the run is not finished"
            )
        self._mapped = np.memmap(path, kind, "r", shape=shape)
        self._brain = brain
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if brain else kind

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        codes = np.asarray(self._mapped[rows])
        return (codes.astype(np.uint32) << 16).view(np.float32) if self._brain else codes


def check_kind(shape: Sequence[int], dtype: np.dtype[Any], where: object) -> None:
    """Refuse what is no matrix of real numbers.

    Raises
    ------
    DataError
    """
    whole = all(type(size) is int and size > 0 for size in shape)
    if len(shape) != 2 or dtype.kind not in "fiu" or not whole:
        raise DataError(
            f"{where}: holds {dtype} of shape {tuple(shape)}, not a matrix of real numbers (rows, numbers of a row)"
        )


def regular(path: Path) -> Path:
    """Return `path` if it is an ordinary file, so that no pipe or device is waited for.

    Raises
    ------
    DataError
    """
    if not path.is_file():
        raise DataError(
            f"{path}: {'is no ordinary file' if path.exists() else 'there is no such file or folder'}"
        )
    return path


def told_direction(about: Any) -> str | None:
    """The direction in a description that we wrote ourselves."""
    name = about.get("direction") if isinstance(about, dict) else None
    return name if name in DIRECTIONS else None


def names_in(folder: Path) -> list[str]:
    """Sorted names in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def member(folder: Path, name: str) -> Path:
    """An ordinary file of a folder; see `inside`."""
    return regular(inside(folder, name))


def inside(folder: Path, name: str) -> Path:
    """What a folder holds under a name; links must not lead out of it, since what they show would enter the store.

    Raises
    ------
    DataError
    """
    path = folder / name
    try:
        stays = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        stays = False
    if not stays:
        raise DataError(f"{path}: a link that leads out of its folder; copy there what it shows")
    return path


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises
    ------
    DataError
        If it is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 text ({error})") from None


def read_json(path: Path) -> Any:
    """The JSON document in a file.

    Raises
    ------
    DataError
        If it is none, or above 1 GiB.
    """
    if path.stat().st_size > LARGEST_JSON:
        raise DataError(f"{path}: a description of more than 1 GiB is not read")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no valid JSON ({error})") from None
