"""A store: its checkpoints, data sets, graphs and selections by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gradstore.errors import GradstoreError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.store.dataset import Dataset, open_dataset
from gradstore.store.files import Folder
from gradstore.store.identity import read_identity
from gradstore.store.layout import CHECKPOINTS, FORMAT, MANIFEST, METADATA, is_name, parse_group
from gradstore.store.manifest import check_format
from gradstore.store.overview import dataset_info, overview, unfinished_info

__all__ = ["Store", "open_store"]


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
        dataset = open_dataset(
            self.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}"),
            name=name,
            checkpoint=checkpoint,
            identity=identity,
            verified=self._verified,
        )
        if not dataset.directions:
            raise dataset.incomplete()
        return dataset

    def info(self) -> dict[str, Any]:
        """Checkpoints, data sets, graphs and selections as JSON values; what `repr` shows and more."""
        checkpoints = [self._checkpoint_info(name) for name in self.checkpoints]
        return {
            "path": str(self.path),
            "format": FORMAT,
            "bytes": sum(dataset.get("bytes", 0) for each in checkpoints for dataset in each["datasets"]),
            "checkpoints": checkpoints,
            "graphs": list(self.graphs),
            "selections": list(self.selections),
        }

    def __repr__(self) -> str:
        return overview(self.info())

    def _checkpoint_info(self, name: str) -> dict[str, Any]:
        try:
            identity: dict[str, Any] = {"identity": self.identity(name).to_json()}
        except GradstoreError as error:
            identity = {"problem": str(error)}
        return {
            "name": name,
            **identity,
            "datasets": [self._dataset_info(each, name) for each in self.datasets(name)],
        }

    def _dataset_info(self, name: str, checkpoint: str) -> dict[str, Any]:
        """One data set; an unfinished one has its progress instead of numbers, a damaged one a ``problem``."""
        try:
            return dataset_info(self.dataset(name, checkpoint))
        except IncompleteError:
            return unfinished_info(self.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}"))
        except GradstoreError as error:
            return {"name": name, "problem": str(error)}

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
