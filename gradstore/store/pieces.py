"""Reads a data set chunk by chunk as parts, whether it is sealed or not, so that stores can be joined and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError
from gradstore.storage import Folder
from gradstore.store.arrays import ArraySpec
from gradstore.store.direction import open_direction
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import COLUMNS, NUMBER_COLUMNS, STRING_COLUMNS
from gradstore.store.manifest import Sealed, is_sealed, read_manifest
from gradstore.store.parts import COLUMN_ARRAYS, Part, check_part, is_finished, part_path, read_part

__all__ = ["Pieces"]


class Pieces:
    """The finished chunks of a data set; what is read is checked.

    Parameters
    ----------
    dataset : DatasetFolder
    """

    def __init__(self, dataset: DatasetFolder) -> None:
        self.dataset = dataset
        self._slices: dict[str, _Slices] = {}

    def directions(self, chunk: int) -> tuple[str, ...]:
        """Directions in which a chunk is finished."""
        return tuple(name for name in self.dataset.vectors if is_finished(self.dataset.of(name), chunk))

    def columns(self, chunk: int) -> Part | None:
        """Columns of a chunk; None if they are not there."""
        folder, rows = self.dataset.folder, self.dataset.settings.span(chunk)
        part = None if is_sealed(folder) else read_part(folder, chunk, COLUMN_ARRAYS, len(rows))
        if part is not None or not is_sealed(folder):
            return part
        slices = self._sealed("")
        arrays = {name: slices.read(f"{COLUMNS}/{name}", rows.start, rows.stop) for name in NUMBER_COLUMNS}
        for name in STRING_COLUMNS:
            offsets = slices.read(f"{COLUMNS}/{name}/offsets", rows.start, rows.stop + 1)
            if len(offsets):
                arrays[f"{name}/data"] = slices.read(
                    f"{COLUMNS}/{name}/data", int(offsets[0]), int(offsets[-1])
                )
                arrays[f"{name}/offsets"] = offsets - offsets[0]
        return self._checked(Part(arrays), "", COLUMN_ARRAYS, chunk)

    def vectors(self, direction: str, chunk: int) -> Part:
        """Norms, scales and checksums of a finished chunk."""
        folder, rows = self.dataset.of(direction), self.dataset.settings.span(chunk)
        vectors = self.dataset.vectors[direction]
        part = None if is_sealed(folder) else read_part(folder, chunk, vectors.scalars, len(rows))
        if part is not None:
            return part
        slices = self._sealed(direction)
        arrays = {name: slices.read(name, rows.start, rows.stop) for name in vectors.scalars}
        name = f"gradient/{vectors.gradient(self.dataset.settings).key(chunk)}"
        entry, facts = slices.sealed.entry(name), slices.sealed.manifest.facts
        part = Part(arrays, {name: entry}, facts.get("fidelity") if chunk == 0 else None)
        return self._checked(part, direction, vectors.scalars, chunk)

    def objects(self, direction: str, part: Part, chunk: int) -> dict[str, bytes]:
        """The objects of which a part speaks.

        Raises
        ------
        CorruptError
            If one is gone or does not match its checksum.
        """
        folder = self.dataset.of(direction)
        found = {}
        for name, entry in part.objects.items():
            data = folder.get(name)
            what = entry.damage(data)
            if data is None or what:
                raise _damage(folder, name, chunk, what)
            found[name] = data
        return found

    def _sealed(self, direction: str) -> _Slices:
        if direction not in self._slices:
            folder = self.dataset.of(direction)
            manifest = read_manifest(folder)
            if manifest is None:
                raise CorruptError(f"{folder} changes while it is read: wait until nothing writes it")
            self._slices[direction] = _Slices(Sealed(folder, manifest))
            if direction:
                columns = self._sealed("").sealed.manifest.digest
                open_direction(folder, direction, self.dataset.settings, columns)  # it belongs to the columns
        return self._slices[direction]

    def _checked(self, part: Part, direction: str, names: tuple[str, ...], chunk: int) -> Part:
        try:
            check_part(part, names, len(self.dataset.settings.span(chunk)))
        except ValueError as error:
            raise CorruptError(f"{self.dataset.of(direction)} is damaged in chunk {chunk}: {error}") from None
        return part


class _Slices:
    """Values of a sealed folder's arrays, asked for in order; keeps one decoded chunk of each array."""

    def __init__(self, sealed: Sealed) -> None:
        self.sealed = sealed
        self._specs: dict[str, ArraySpec] = {}
        self._held: dict[str, tuple[int, npt.NDArray[Any]]] = {}

    def read(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Values `start` to `stop` of an array, or as many as there are."""
        if name not in self._specs:
            self._specs[name] = self.sealed.spec(name)
        spec = self._specs[name]
        stop = min(stop, spec.shape[0])
        pieces = [np.empty((0, *spec.shape[1:]), spec.dtype)]
        while start < stop:
            index, begin = divmod(start, spec.chunk)
            if name not in self._held or self._held[name][0] != index:
                self._held[name] = (index, self.sealed.chunk(name, spec, index))
            pieces.append(self._held[name][1][begin : begin + stop - start])
            start += len(pieces[-1])
        return np.concatenate(pieces)


def _damage(folder: Folder, name: str, chunk: int, what: str) -> CorruptError:
    cure = "restore it from a copy of the store"
    if not is_sealed(folder):
        cure = f"delete {folder.where(part_path(chunk))} and run the extraction of that store again"
    return CorruptError(f"{folder.where(name)} {what}: {cure}")
