"""Part files: the columns of one finished chunk, until the data set is sealed.

A chunk is finished if and only if its part file exists; the part is published after the chunk's objects.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.records import canonical_json
from gradstore.store.files import Folder
from gradstore.store.layout import METADATA, PARTS, parse_group
from gradstore.store.manifest import Entry
from gradstore.store.settings import Settings

__all__ = ["Part", "chunk_progress", "finished", "is_finished", "read_part", "write_part"]

_NOTES = "notes"


@dataclass(frozen=True, slots=True)
class Part:
    """What a finished chunk leaves for the sealing.

    Attributes
    ----------
    columns : Mapping from str to ndarray
        One-dimensional arrays by name relative to the data set; a column of strings is two, ``data`` and ``offsets``.
    objects : Mapping from str to Entry
        The chunk's objects.
    fidelity : Mapping
        By direction; measured in the first chunk only.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    objects: Mapping[str, Entry]
    fidelity: Mapping[str, Any]


def _name(chunk: int) -> str:
    return f"{PARTS}/{chunk}.npz"


def finished(folder: Folder) -> set[int]:
    """Chunks that have a part file."""
    names = (name.removesuffix(".npz") for name in folder.names(PARTS) if name.endswith(".npz"))
    return {int(name) for name in names if name.isdecimal()}


def is_finished(folder: Folder, chunk: int) -> bool:
    """Whether a chunk has a part file."""
    return folder.size(_name(chunk)) is not None


def chunk_progress(folder: Folder) -> tuple[int, int]:
    """Finished chunks and all chunks of a data set that is not sealed."""
    where = folder.root / METADATA
    settings = Settings.parse(parse_group(folder.get(METADATA) or b"", where), where)
    return len(finished(folder)), len(settings.chunks)


def write_part(folder: Folder, chunk: int, part: Part) -> None:
    """Publish a part: this finishes the chunk."""
    notes = {
        "objects": {name: list(entry) for name, entry in part.objects.items()},
        "fidelity": part.fidelity,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        **{**part.columns, _NOTES: np.frombuffer(canonical_json(notes), dtype=np.uint8)},
    )
    folder.put(_name(chunk), buffer.getvalue())


def read_part(folder: Folder, chunk: int) -> Part:
    """Read the part of a finished chunk.

    Raises
    ------
    CorruptError
        If it is damaged; without it the chunk counts as unfinished and is made again.
    """
    name = _name(chunk)
    data = folder.get(name)
    try:
        with np.load(io.BytesIO(data or b""), allow_pickle=False) as archive:
            columns = {key: archive[key] for key in archive.files}
        notes = json.loads(columns.pop(_NOTES).tobytes())
        objects = {key: Entry(*entry) for key, entry in notes["objects"].items()}
        return Part(columns, objects, notes["fidelity"])
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptError(
            f"{folder.root / name} is damaged ({error}): delete it and run the same command again"
        ) from error
