"""NumPy files: ``.npy``, and one array of a ``.npz``."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError, UsageError
from gradstore.interchange.source import (
    Source,
    check_kind,
    member,
    read_json,
    read_lines,
    regular,
    told_direction,
)
from gradstore.registry import unknown_name

__all__ = ["map_npy", "read_npy", "read_npz"]

_BROKEN = (ValueError, OverflowError, EOFError, TypeError, SyntaxError, MemoryError)


def read_npy(path: Path, key: str | None) -> Source:  # noqa: ARG001 (a Reader)
    """A ``.npy`` file, or a folder of them that `gradstore.export` wrote: with ids beside the vectors."""
    if not path.is_dir():
        return Source(map_npy(regular(path)), "npy", path)
    array = map_npy(member(path, "gradients.npy"))
    ids = read_lines(member(path, "ids.txt"))
    about = read_json(member(path, "meta.json"))
    return Source(array, "npy", path, {"ids": ids}, direction=told_direction(about))


def map_npy(path: Path) -> npt.NDArray[Any]:
    """Map a ``.npy`` file of real numbers.

    Raises
    ------
    DataError
        If it holds something else, is cut off, or its header cannot be.
    """
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file)
            start = file.tell()
    except _BROKEN as error:
        raise DataError(f"{path}: no file that numpy.save wrote of numbers ({error})") from None
    check_kind(shape, dtype, path)
    _check_size(path, path.stat().st_size, start + shape[0] * shape[1] * dtype.itemsize)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def read_npz(path: Path, key: str | None) -> Source:
    """One array of a ``.npz`` archive, compressed or not."""
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{path}: no whole file that numpy.savez wrote ({error})") from None
    known = [name.removesuffix(".npy") for name in names]
    if key is None and len(known) != 1:
        raise UsageError(f"{path}: holds {', '.join(known) or 'no array'}; name one with --key")
    if key is not None and key not in known:
        raise UsageError(f"{path}: {unknown_name('array', key, known)}")
    return Source(_Member(path, f"{key or known[0]}.npy"), "npz", path)


class _Member:
    """An array in an archive, read from front to back; going back begins anew."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._archive = zipfile.ZipFile(path)
        try:
            with self._archive.open(name) as file:
                self.shape, fortran, self.dtype = _header(file)
                self._start = file.tell()
        except (*_BROKEN, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{path}: {name} is no whole array of numbers ({error})") from None
        check_kind(self.shape, self.dtype, f"{path}, {name}")
        if fortran:
            raise DataError(f"{path}: {name} is stored column by column; save numpy.ascontiguousarray of it")
        self._row = self.shape[1] * self.dtype.itemsize
        size = self._archive.getinfo(name).file_size
        _check_size(f"{path}, {name}", size, self._start + self.shape[0] * self._row)
        self._file: IO[bytes] = io.BytesIO()
        self._open()

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        place, wanted = self._start + start * self._row, (stop - start) * self._row
        try:
            if place < self._file.tell():
                self._open()
            self._file.seek(place)
            data = self._file.read(wanted)
        except (zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
            raise DataError(f"{self._path}: {self._name} is damaged ({error})") from None
        if len(data) != wanted:
            raise DataError(f"{self._path}: {self._name} ends too early")
        return np.frombuffer(data, self.dtype).reshape(stop - start, self.shape[1])

    def _open(self) -> None:
        self._file.close()
        self._file = self._archive.open(self._name)


def _check_size(where: object, size: int, wanted: int) -> None:
    if size != wanted:
        raise DataError(f"{where}: has {size:,} bytes, but its header says {wanted:,}: it is cut off")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} is for arrays of named fields")
