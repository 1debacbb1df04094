"""A store: its checkpoints, data sets, graphs and selections by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gradstore.errors import IncompatibleError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.store.dataset import Dataset
from gradstore.store.files import Folder, Lock
from gradstore.store.layout import (
    CHECKPOINTS,
    FORMAT,
    LOCK,
    MANIFEST,
    METADATA,
    group_document,
    is_name,
    parse_group,
)
from gradstore.store.manifest import Sealed, check_format, read_manifest
from gradstore.store.overview import store_info, store_text
from gradstore.store.parts import chunk_progress
from gradstore.store.settings import Settings, identity_document, read_identity

__all__ = ["Store", "create_store", "join_checkpoint", "open_store"]


class Store:
    """A store that is open for reading; made by `open_store`.

    Opening reads one small file. Names are listed anew whenever asked for, so a store shows what other processes
    have added.

    Parameters
    ----------
    folder : Folder
    verified : bool
        Check every chunk of gradients against its checksum when it is read.
    """

    def __init__(self, folder: Folder, *, verified: bool = False) -> None:
        self.folder = folder
        self._verified = verified

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.root

    @property
    def writable(self) -> bool:
        """Whether this process may write to it."""
        return os.access(self.path, os.W_OK)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Sorted names of the checkpoints."""
        return self._groups(CHECKPOINTS)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Sorted names of the graphs."""
        return self._groups("graphs")

    @property
    def selections(self) -> tuple[str, ...]:
        """Sorted names of the selections."""
        return self._groups("selections")

    def identity(self, checkpoint: str) -> CheckpointIdentity:
        """What the rows under a checkpoint were made with.

        Raises
        ------
        StoreNotFoundError
            If there is no such checkpoint.
        """
        known = self.checkpoints
        identity = (
            read_identity(self.folder.at(f"{CHECKPOINTS}/{checkpoint}")) if checkpoint in known else None
        )
        if identity is None:
            raise StoreNotFoundError(f"{self.path}: {unknown_name('checkpoint', checkpoint, known)}")
        return identity

    def datasets(self, checkpoint: str | None = None) -> tuple[str, ...]:
        """Sorted names of the data sets of one checkpoint, or of all; finished or not."""
        if checkpoint is None:
            return tuple(sorted({name for each in self.checkpoints for name in self.datasets(each)}))
        if checkpoint not in self.checkpoints:
            raise StoreNotFoundError(
                f"{self.path}: {unknown_name('checkpoint', checkpoint, self.checkpoints)}"
            )
        return self._groups(f"{CHECKPOINTS}/{checkpoint}")

    def checkpoints_of(self, *datasets: str) -> tuple[str, ...]:
        """Sorted names of the checkpoints that hold all these data sets."""
        return tuple(each for each in self.checkpoints if set(datasets) <= set(self.datasets(each)))

    def dataset(self, name: str, checkpoint: str | None = None) -> Dataset:
        """Open a sealed data set.

        Parameters
        ----------
        name : str
        checkpoint : str, optional
            Needed only where several checkpoints hold it.

        Raises
        ------
        StoreNotFoundError
            If there is none of that name.
        UsageError
            If several checkpoints hold it and none is named.
        IncompleteError
            If its extraction has not finished; the message says how to resume it.
        CorruptError, IncompatibleError
            If what is stored is damaged or not of this format.
        """
        checkpoint = checkpoint or self._only_checkpoint(name)
        identity = self.identity(checkpoint)
        known = self.datasets(checkpoint)
        if name not in known:
            raise StoreNotFoundError(f"{self.path}, {checkpoint}: {unknown_name('data set', name, known)}")
        folder = self.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}")
        manifest = read_manifest(folder)
        if manifest is None:
            done, chunks = chunk_progress(folder)
            raise IncompleteError(
                f"data set {name!r} of {checkpoint!r} in {self.path} is not finished: run the same "
                f"`gradstore extract` command again to finish it ({done} of {chunks} chunks done)"
            )
        sealed = Sealed(folder, manifest)
        settings = Settings.parse(sealed.group(), folder.root / METADATA)
        return Dataset(
            sealed, settings, name=name, checkpoint=checkpoint, identity=identity, verified=self._verified
        )

    def info(self) -> dict[str, Any]:
        """Everything `repr` shows and more, as JSON values."""
        return store_info(self)

    def __repr__(self) -> str:
        return store_text(self)

    def _groups(self, place: str) -> tuple[str, ...]:
        return tuple(
            name for name in self.folder.names(place) if is_name(name) and self._is_group(f"{place}/{name}")
        )

    def _is_group(self, place: str) -> bool:
        return any(self.folder.size(f"{place}/{name}") is not None for name in (METADATA, MANIFEST))

    def _only_checkpoint(self, dataset: str) -> str:
        found = self.checkpoints_of(dataset)
        if not found:
            raise StoreNotFoundError(f"{self.path}: {unknown_name('data set', dataset, self.datasets())}")
        if len(found) > 1:
            raise UsageError(
                f"data set {dataset!r} is held by several checkpoints, name one: {', '.join(found)}"
            )
        return found[0]


def open_store(path: str | os.PathLike[str], *, verified: bool = False) -> Store:
    """Open a store.

    Parameters
    ----------
    path : path
        Its folder.
    verified : bool
        Check every chunk of gradients against its checksum when it is read; slower than mapping the files.
        Everything else is always checked.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    IncompatibleError
        If a newer format wrote it.
    CorruptError
        If its ``zarr.json`` is damaged.
    """
    folder = Folder(Path(path))
    data = folder.get(METADATA)
    if data is None:
        raise StoreNotFoundError(f"there is no gradstore store at {path}")
    where = folder.root / METADATA
    ours = parse_group(data, where)
    if "format" not in ours:
        raise StoreNotFoundError(f"{path} is a Zarr group but no gradstore store")
    check_format(ours["format"], where)
    return Store(folder, verified=verified)


def create_store(path: str | os.PathLike[str]) -> Store:
    """Open a store, or create it where there is nothing yet.

    Raises
    ------
    UsageError
        If something else is at `path`.
    StoreWriteError
        If the folder cannot be made.
    """
    folder = Folder(Path(path))
    if folder.get(METADATA) is None:
        if folder.root.is_file() or any(not name.startswith(".") for name in folder.names()):
            raise UsageError(f"{path} exists and is no gradstore store: choose another path")
        with Lock(folder, LOCK):
            if folder.get(METADATA) is None:
                folder.put(METADATA, group_document({"format": FORMAT}))
    return open_store(path)


def join_checkpoint(store: Store, checkpoint: str, identity: CheckpointIdentity) -> CheckpointIdentity:
    """Create a checkpoint group, or make sure that the one there is of the same checkpoint.

    Returns
    -------
    CheckpointIdentity
        The stored one.

    Raises
    ------
    IncompatibleError
        If the group's rows cannot be compared with rows of `identity`; the message lists what differs.
    """
    place = store.folder.at(f"{CHECKPOINTS}/{checkpoint}")
    with Lock(store.folder, LOCK):
        if store.folder.get(f"{CHECKPOINTS}/{METADATA}") is None:
            store.folder.put(f"{CHECKPOINTS}/{METADATA}", group_document())
        if place.get(METADATA) is None:
            place.put(METADATA, identity_document(identity))
    stored = read_identity(place)
    differences = stored.differences(identity) if stored else ["its zarr.json is gone"]
    if stored is None or differences:
        raise IncompatibleError(
            f"checkpoint {checkpoint!r} of {store.path} holds rows that cannot be compared with these "
            f"({'; '.join(differences)}): use another store, or rename the checkpoint folder"
        )
    return stored
