"""The folder of a data set, sealed or not: what its groups say, and which of its chunks are finished."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from gradstore.errors import CorruptError
from gradstore.storage import Folder, Lock
from gradstore.store.layout import (
    LOCK,
    MANIFEST,
    METADATA,
    PARTS,
    is_claim,
    is_name,
    parse_group,
    read_document,
)
from gradstore.store.manifest import is_sealed
from gradstore.store.parts import finished, is_finished
from gradstore.store.settings import Settings, VectorSettings

__all__ = ["DatasetFolder", "begun", "tidy"]


def begun(folder: Folder) -> tuple[str, ...]:
    """Sorted names of the directions of a data set, sealed or not."""
    return tuple(
        name
        for name in folder.names()
        if is_name(name) and any(folder.size(f"{name}/{each}") is not None for each in (METADATA, MANIFEST))
    )


def tidy(folder: Folder) -> None:
    """Remove what killed processes left in a data set; the caller holds its lock."""
    directions = [folder.at(name) for name in begun(folder)]
    unsealed = False
    for each in (folder, *directions):
        if is_sealed(each):
            each.delete(PARTS)
        else:
            unsealed = True
    if unsealed:
        return  # its chunks may be claimed this very moment, and we must not seem to have them
    for name in filter(is_claim, folder.names()):
        lock = folder.attempt(name)
        if lock is not None:
            lock.release()


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """A data set and some or all of its directions.

    Attributes
    ----------
    folder : Folder
    settings : Settings
    vectors : Mapping from str to VectorSettings
        By direction, sorted.
    """

    folder: Folder
    settings: Settings
    vectors: Mapping[str, VectorSettings]

    @classmethod
    def read(cls, folder: Folder) -> Self | None:
        """What is there; None if a data set was not even begun.

        Raises
        ------
        CorruptError
            If a group's document is damaged, or a manifest is gone.
        """
        data = read_document(folder, METADATA)
        if data is None:
            return None
        where = folder.where(METADATA)
        settings = Settings.parse(parse_group(data, where), where)
        vectors = {}
        for name in begun(folder):
            where = folder.where(f"{name}/{METADATA}")
            vectors[name] = VectorSettings.parse(
                parse_group(read_document(folder, f"{name}/{METADATA}") or b"", where), where
            )
        found = cls(folder, settings, vectors)
        sealed = [name for name in vectors if is_sealed(found.of(name))]
        if sealed and not is_sealed(folder):
            raise CorruptError(
                f"{folder.where(MANIFEST)} is gone, though direction {sealed[0]!r} is finished: restore it from a "
                f"copy of the store, or remove {folder} and make it again"
            )
        return found

    def hold(self) -> Lock:
        """Wait for the lock under which a data set is begun and sealed."""
        return self.folder.lock(LOCK)

    def of(self, direction: str) -> Folder:
        """Folder of a direction."""
        return self.folder.at(direction)

    def sealed(self, directions: Collection[str]) -> bool:
        """Whether the columns and these directions are sealed."""
        return is_sealed(self.folder) and all(is_sealed(self.of(name)) for name in directions)

    def unfinished(self) -> dict[str, int]:
        """How many chunks are finished of each direction that is not sealed."""
        count = len(self.settings.chunks)
        return {
            name: len(finished(self.of(name), count)) for name in self.vectors if not is_sealed(self.of(name))
        }

    def missing(self, directions: Collection[str]) -> list[int]:
        """Chunks of which the columns or one of these directions is not finished."""
        count = len(self.settings.chunks)
        folders = (self.folder, *map(self.of, directions))
        done = set.intersection(*(finished(each, count) for each in folders))
        return [chunk for chunk in range(count) if chunk not in done]

    def todo(self, chunk: int, directions: Collection[str]) -> tuple[str, ...]:
        """Which of these directions must be computed for a chunk.

        All of them if its columns are missing, which happens only where a damaged part was deleted: they come from the
        same computation.
        """
        if not is_finished(self.folder, chunk):
            return tuple(directions)
        return tuple(name for name in directions if not is_finished(self.of(name), chunk))
