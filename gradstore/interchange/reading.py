"""Finds out what kind of files vectors are in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from gradstore.errors import DataError, UsageError
from gradstore.interchange.less import matrix_folder
from gradstore.interchange.source import Source, names_in
from gradstore.registry import unknown_name

__all__ = ["IMPORTS", "open_source"]

Reader = Callable[[Path, str | None], Source]

_READERS = {
    "bergson": "bergson:read_bergson",
    "less": "less:read_less",
    "logix": "logix:read_logix",
    "npy": "arrays:read_npy",
    "npz": "arrays:read_npz",
    "parquet": "columns:read_parquet",
    "pt": "tensors:read_pt",
    "qless": "qless:read_qless",
    "trak": "trak:read_trak",
}
IMPORTS = tuple(_READERS)
"""Formats that can be imported."""

_KEYED = {
    "npz": "an array",
    "pt": "a tensor of a dictionary",
    "parquet": "the column of vectors",
    "trak": "grads (the default), features, or EXPERIMENT_grads",
}
_FILES = (
    (r"all_quantized_\d+bits_abs\w+\.pt", "qless"),
    (r"all_(orig|unormalized)\.pt", "less"),
    (r".*\.npy", "npy"),
    (r".*\.npz", "npz"),
    (r".*\.(pt|pth)", "pt"),
    (r".*\.parquet", "parquet"),
    (r".*\.mmap", "trak"),
)
_MEMBERS = (  # in this order: QLESS leaves its files beside those of LESS, which hold more
    (r"gradients\.bin", "bergson"),
    (r"gradients\.npy", "npy"),
    (r"grads-\d+\.pt|all_(orig|unormalized)\.pt", "less"),
    (r"all_quantized_\d+bits_abs\w+\.pt", "qless"),
    (r"log_rank_\d+_chunk_\d+\.mmap", "logix"),
    (r"grads\.mmap|features\.mmap|\w+_grads\.mmap|id_\d+\.json", "trak"),
)


def open_source(path: str | os.PathLike[str], *, fmt: str | None = None, key: str | None = None) -> Source:
    """Open vectors in files of another tool; only headers are read.

    Nothing in the files is ever executed: pickled objects are refused.

    Parameters
    ----------
    path : path
        A file or a folder.
    fmt : str, optional
        One of `IMPORTS`; by default told from the names of the files.
    key : str, optional
        Which array, tensor or column, for formats that hold several.

    Returns
    -------
    Source

    Raises
    ------
    UsageError
        If there is no such format, or it knows no key.
    DataError
        If the format cannot be told, or the files are damaged, incomplete or not of this format.
    """
    place = Path(path)
    if not place.exists():
        raise DataError(f"{place}: there is no such file or folder")
    if fmt is not None and fmt not in IMPORTS:
        raise UsageError(unknown_name("format", fmt, IMPORTS))
    fmt = fmt or _detected(place)
    if key is not None and fmt not in _KEYED:
        raise UsageError(f"{place}: {fmt} files hold one matrix; a key is for {', '.join(_KEYED)}")
    module, name = _READERS[fmt].split(":")
    read: Reader = getattr(import_module(f"gradstore.interchange.{module}"), name)
    return read(place, key)


def _detected(path: Path) -> str:
    if not path.is_dir():
        for pattern, fmt in _FILES:
            if re.fullmatch(pattern, path.name, re.ASCII):
                return fmt
        raise DataError(f"{path}: {_unknown(path.suffix or 'no suffix')}")
    names = names_in(matrix_folder(path))
    if "zarr.json" in names:
        raise DataError(f"{path}: is a store itself; join stores with `gradstore store merge`")
    for pattern, fmt in _MEMBERS:
        if any(re.fullmatch(pattern, name, re.ASCII) for name in names):
            return fmt
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    raise DataError(f"{path}: {_unknown(shown or 'an empty folder')}")


def _unknown(found: str) -> str:
    return f"no known format ({found}); name one of {', '.join(IMPORTS)} with --format"
