"""Part files: what a finished chunk leaves until its folder is sealed.

A chunk's columns are one part, in the data set's folder; each direction's norms, scales and checksums are another, in
the direction's. A part is published after the objects of which it speaks, so a chunk is finished if and only if its
part exists, or the folder's manifest, for which parts make way.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.records import canonical_json
from gradstore.storage import Folder
from gradstore.store.layout import CONTENT_BYTES, NUMBER_COLUMNS, PARTS, STRING_COLUMNS, parse_json
from gradstore.store.manifest import Entry, is_sealed
from gradstore.store.npz import read_npz

__all__ = [
    "COLUMN_ARRAYS",
    "Part",
    "check_part",
    "finished",
    "is_finished",
    "part_bytes",
    "part_path",
    "read_part",
]

COLUMN_ARRAYS = (
    *NUMBER_COLUMNS,
    *(f"{name}/{half}" for name in STRING_COLUMNS for half in ("data", "offsets")),
)
"""Arrays of a part that holds columns, by name relative to ``columns``."""

_NOTES = "notes"


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a finished chunk.

    Attributes
    ----------
    arrays : Mapping from str to ndarray
        Columns, or ``norm`` and ``scale``; a column of strings is two, ``data`` and ``offsets``.
    objects : Mapping from str to Entry
        The chunk's objects in the same folder.
    fidelity : Mapping, optional
        Measured in a direction's first chunk only.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    objects: Mapping[str, Entry] = field(default_factory=dict)
    fidelity: Mapping[str, Any] | None = None


def part_path(chunk: int) -> str:
    """Name of a chunk's part in its folder."""
    return f"{PARTS}/{chunk}.npz"


def finished(folder: Folder, chunks: int) -> set[int]:
    """Which of the first `chunks` chunks of a data set's or a direction's folder are finished."""
    names = (name.removesuffix(".npz") for name in folder.names(PARTS) if name.endswith(".npz"))
    done = {int(name) for name in names if name.isdecimal() and int(name) < chunks}
    # In this order: parts are removed only after the manifest is there.
    return set(range(chunks)) if len(done) < chunks and is_sealed(folder) else done


def is_finished(folder: Folder, chunk: int) -> bool:
    """Whether one chunk of a folder is finished."""
    return folder.size(part_path(chunk)) is not None or is_sealed(folder)


def part_bytes(part: Part) -> bytes:
    """The file of a part; once it is published, the chunk is finished."""
    notes = {
        "objects": {name: list(entry) for name, entry in part.objects.items()},
        "fidelity": part.fidelity,
    }
    buffer = io.BytesIO()
    # Numbers only, so nothing is pickled; NumPy 2.0 and 2.1 take `allow_pickle` for the name of an array.
    np.savez(buffer, **{**part.arrays, _NOTES: np.frombuffer(canonical_json(notes), dtype=np.uint8)})  # type: ignore[arg-type]
    return buffer.getvalue()


def read_part(folder: Folder, chunk: int, names: Collection[str], rows: int) -> Part | None:
    """Read the part of a chunk; None if there is none.

    Parameters
    ----------
    folder : Folder
    chunk : int
    names : collection of str
        Arrays that it must have.
    rows : int
        Rows of the chunk.

    Raises
    ------
    CorruptError
        If it is damaged; without it the chunk counts as unfinished and is made again.
    """
    data = folder.get(part_path(chunk))
    if data is None:
        return None
    where = folder.where(part_path(chunk))
    try:
        arrays = read_npz(data)
        notes = parse_json(arrays.pop(_NOTES).tobytes(), where)
        objects = {
            str(key): Entry(int(size), str(sha256)) for key, (size, sha256) in notes["objects"].items()
        }
        if not objects.keys() <= {f"gradient/c/{chunk}/0"} or not isinstance(notes["fidelity"], dict | None):
            raise ValueError("it speaks of other objects than its own")
        part = Part(arrays, objects, notes["fidelity"])
        check_part(part, names, rows)
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        AttributeError,
        CorruptError,
    ) as error:
        raise CorruptError(
            f"{where} is damaged ({error}): delete it and run the same command again"
        ) from error
    return part


def check_part(part: Part, names: Collection[str], rows: int) -> None:
    """`ValueError` unless a part has the arrays `names`, each for as many rows."""
    if set(part.arrays) != set(names):
        raise ValueError(f"it holds {', '.join(sorted(part.arrays))}")
    for name, values in part.arrays.items():
        dtype, tail = _expected(name)
        if values.dtype != dtype or values.ndim == 0 or values.shape[1:] != tail:
            raise ValueError(f"{name} is {values.dtype} of shape {values.shape}")
    for name, values in part.arrays.items():
        if name.endswith("/offsets"):
            total = len(part.arrays[f"{name.removesuffix('/offsets')}/data"])
            fits = (
                len(values) == rows + 1
                and values[0] == 0
                and values[-1] == total
                and (np.diff(values) >= 0).all()
            )
        else:
            fits = len(values) == rows or name.endswith("/data")
        if not fits:
            raise ValueError(f"{name} is not of {rows} rows")


def _expected(name: str) -> tuple[str, tuple[int, ...]]:
    """Type of a part's array, and its axes after the first."""
    if "/" in name:
        return ("int64" if name.endswith("/offsets") else "uint8"), ()
    return NUMBER_COLUMNS.get(name, "float32"), (CONTENT_BYTES,) if name == "contents" else ()
