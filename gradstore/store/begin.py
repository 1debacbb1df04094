"""Begins a data set or a direction of one, and joins what others have begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gradstore.errors import IncompatibleError
from gradstore.storage import Folder
from gradstore.store.folder import DatasetFolder, tidy
from gradstore.store.layout import COLUMNS, LOCK, METADATA, group_document
from gradstore.store.manifest import is_sealed
from gradstore.store.settings import Settings, VectorSettings, check_chunks

__all__ = ["begin", "join"]


def join(
    stored: DatasetFolder | None,
    settings: Settings,
    vectors: Mapping[str, VectorSettings],
    *,
    any_chunk_rows: bool,
    what: str,
    here: str = "now",
    cure: str = "choose another name, or repeat the settings it has",
) -> Settings:
    """The settings under which directions are added to what is stored, or under which a data set begins.

    Parameters
    ----------
    stored : DatasetFolder, optional
    settings, vectors
        What is to be written.
    any_chunk_rows : bool
        Whether the stored rows of a chunk are as good as those of `settings`.
    what, here, cure : str
        For the message: what the data set is called, what the settings to be written are, and what to do.

    Raises
    ------
    IncompatibleError
        If something differs; the message lists both values.
    UsageError
        If a chunk of the stored number of rows is too large for these directions.
    """
    if stored is None:
        return settings
    if any_chunk_rows:
        settings = replace(settings, chunk_rows=stored.settings.chunk_rows)
    differences = stored.settings.differences(settings, here)
    for name in vectors:
        if name in stored.vectors:
            differences += [
                f"{name}: {each}" for each in stored.vectors[name].differences(vectors[name], here)
            ]
    if differences:
        raise IncompatibleError(f"{what} was made with other settings ({'; '.join(differences)}): {cure}")
    check_chunks(stored.settings, vectors)
    return stored.settings


def begin(
    folder: Folder,
    settings: Settings,
    vectors: Mapping[str, VectorSettings],
    *,
    any_chunk_rows: bool,
    what: str,
) -> DatasetFolder:
    """Publish the groups of a data set and of these directions, as far as they are not there.

    Holds the data set's lock for that moment only. What killed processes left is removed.

    Raises
    ------
    IncompatibleError, UsageError
        See `join`; nothing is written then.
    StoreWriteError
        If the system refuses.
    """
    with folder.lock(LOCK):
        stored = DatasetFolder.read(folder)
        settings = join(stored, settings, vectors, any_chunk_rows=any_chunk_rows, what=what)
        if stored is None:
            folder.put(METADATA, settings.document())
        if not is_sealed(folder):
            _ensure(folder, f"{COLUMNS}/{METADATA}", group_document())
        for name, each in vectors.items():
            place = folder.at(name)
            if stored is None or name not in stored.vectors:
                place.put(METADATA, each.document())
            if not is_sealed(place):
                _ensure(place, f"gradient/{METADATA}", each.gradient(settings).document())
        tidy(folder)
    return DatasetFolder(folder, settings, vectors)


def _ensure(folder: Folder, name: str, data: bytes) -> None:
    if folder.get(name) != data:
        folder.put(name, data)
