"""Reads NumPy archives that nobody vouches for: no pickle, no compression, no more memory than the bytes given."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_npz"]

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY\x01\x00"
_START = 10
_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf][1248])', 'fortran_order': False, 'shape': \(((?:[0-9]{1,18},? ?){1,4})\), \} *\n"
)


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
    """One member; NumPy's own reader would parse the header as Python."""
    size = int.from_bytes(data[8:_START], "little")
    header, body = _HEADER.fullmatch(data, _START, _START + size), data[_START + size :]
    if not name.endswith(_SUFFIX) or data[:8] != _MAGIC or len(data) < _START + size or header is None:
        raise ValueError(f"{name} is no array of numbers")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(axis) for axis in header[2].split(b",") if axis)
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError(f"{name} has {len(body)} bytes, not those of {shape} {dtype}")
    return np.frombuffer(body, dtype).reshape(shape)
