"""Reads NumPy archives that nobody vouches for: no pickle, no compression, no more memory than the bytes given."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_npz"]

_SUFFIX = ".npy"
_MOST_AXES = 8


def read_npz(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an archive as `numpy.savez` writes it.

    `numpy.load` decompresses whatever it is given and allocates whatever a header says.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict from str to ndarray
        Read-only views.

    Raises
    ------
    ValueError
        If it is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if any(each.compress_type != zipfile.ZIP_STORED for each in members):
                raise ValueError("its members are compressed")
            if sum(each.file_size for each in members) > len(data):
                raise ValueError("its members overlap")
            found = {
                each.filename.removesuffix(_SUFFIX): _array(each.filename, archive.read(each))
                for each in members
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(str(error)) from None
    if len(found) < len(members):
        raise ValueError("a member is there twice")
    return found


def _array(name: str, data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    if not name.endswith(_SUFFIX) or np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is no array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biuf" or fortran or len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise ValueError(f"{name} is no array of numbers")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{name} has {len(data) - file.tell()} bytes, not those of {shape} {dtype}")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)
