"""A store: its checkpoints, data sets, graphs and selections by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradstore.errors import GradstoreError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.storage import Folder, Location, open_folder
from gradstore.store.base import Base, read_base
from gradstore.store.dataset import Dataset, open_dataset
from gradstore.store.html import store_html
from gradstore.store.identity import read_identity
from gradstore.store.layout import (
    CHECKPOINTS,
    FORMAT,
    MANIFEST,
    METADATA,
    is_name,
)
from gradstore.store.overview import dataset_info, overview, unfinished_info
from gradstore.store.root import read_root

__all__ = ["Store", "open_store"]


class Store:
    """A store that is open for reading; made by `open_store`.

    Opening reads one small file. Names are listed anew whenever asked for, so a store shows what other processes
    have added. An overlay shows what is in its base as if it were its own, and never writes there.

    Parameters
    ----------
    folder : Folder
    base : Base, optional
        What the store lies on, if it is an overlay.
    verified : bool
        Check every chunk of gradients against its checksum when it is read.

    Attributes
    ----------
    folder : Folder
        Its own folder, where everything that is made goes.
    base : Base or None
    """

    def __init__(self, folder: Folder, *, base: Base | None = None, verified: bool = False) -> None:
        self.folder, self.base = folder, base
        self._verified = verified

    @property
    def location(self) -> str:
        """Its path or URL, without secrets."""
        return str(self.folder)

    @property
    def writable(self) -> bool:
        """Whether this process may write to it."""
        return self.folder.writable

    def at(self, place: str) -> Folder:
        """The folder of a group or an artefact: its own, or the base's where only that has one.

        Parameters
        ----------
        place : str
            Such as ``checkpoints/checkpoint-100``.

        Returns
        -------
        Folder
        """
        return next(
            (each.at(place) for each in self._layers() if _is_group(each, place)), self.folder.at(place)
        )

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

        Parameters
        ----------
        checkpoint : str
            Its name in the store.

        Returns
        -------
        CheckpointIdentity

        Raises
        ------
        StoreNotFoundError
            If there is no such checkpoint.
        """
        known = self.checkpoints
        place = f"{CHECKPOINTS}/{checkpoint}"
        found = [
            identity
            for each in self._layers()
            if checkpoint in known and (identity := read_identity(each.at(place))) is not None
        ]
        if not found:
            raise StoreNotFoundError(f"{self.location}: {unknown_name('checkpoint', checkpoint, known)}")
        if self.base is not None:
            self.base.check_identity(checkpoint, found[0], found[-1])
        return found[0]

    def datasets(self, checkpoint: str | None = None) -> tuple[str, ...]:
        """Sorted names of the data sets of one checkpoint, or of all; finished or not.

        Parameters
        ----------
        checkpoint : str, optional
            Default: all.

        Returns
        -------
        tuple of str

        Raises
        ------
        StoreNotFoundError
            If there is no such checkpoint.
        """
        if checkpoint is None:
            return tuple(sorted({name for each in self.checkpoints for name in self.datasets(each)}))
        if checkpoint not in self.checkpoints:
            raise StoreNotFoundError(
                f"{self.location}: {unknown_name('checkpoint', checkpoint, self.checkpoints)}"
            )
        return self._groups(f"{CHECKPOINTS}/{checkpoint}")

    def base_datasets(self, checkpoint: str) -> tuple[str, ...]:
        """Sorted names of the data sets of a checkpoint that are not its own but the base's.

        Parameters
        ----------
        checkpoint : str
            Its name in the store.

        Returns
        -------
        tuple of str
        """
        if self.base is None:
            return ()
        place = f"{CHECKPOINTS}/{checkpoint}"
        return (
            tuple(name for name in self.datasets(checkpoint) if self.base.holds(self.at(f"{place}/{name}")))
            if checkpoint in self.checkpoints
            else ()
        )

    def checkpoints_of(self, *datasets: str) -> tuple[str, ...]:
        """Sorted names of the checkpoints that hold all these data sets.

        Parameters
        ----------
        *datasets : str
            Names of data sets.

        Returns
        -------
        tuple of str
        """
        return tuple(each for each in self.checkpoints if set(datasets) <= set(self.datasets(each)))

    def dataset(self, name: str, checkpoint: str | None = None) -> Dataset:
        """Open a sealed data set.

        Parameters
        ----------
        name : str
        checkpoint : str, optional
            Needed only where several checkpoints hold it.

        Returns
        -------
        Dataset

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
            raise StoreNotFoundError(
                f"{self.location}, {checkpoint}: {unknown_name('data set', name, known)}"
            )
        folder = self.at(f"{CHECKPOINTS}/{checkpoint}/{name}")
        dataset = open_dataset(
            folder,
            name=name,
            checkpoint=checkpoint,
            identity=identity,
            verified=self._verified,
            pinned=self.base.pins(checkpoint, name) if self.base and self.base.holds(folder) else None,
        )
        if not dataset.directions:
            raise dataset.incomplete()
        return dataset

    def info(self) -> dict[str, Any]:
        """Checkpoints, data sets, graphs and selections as JSON values; what `repr` shows and more."""
        checkpoints = [self._checkpoint_info(name) for name in self.checkpoints]
        return {
            "location": self.location,
            "base": str(self.base.folder) if self.base else None,
            "format": FORMAT,
            "bytes": sum(dataset.get("bytes", 0) for each in checkpoints for dataset in each["datasets"]),
            "checkpoints": checkpoints,
            "graphs": list(self.graphs),
            "selections": list(self.selections),
        }

    def __repr__(self) -> str:
        return overview(self.info())

    def _repr_html_(self) -> str:
        return store_html(self.info())

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
            return unfinished_info(self.at(f"{CHECKPOINTS}/{checkpoint}/{name}"))
        except GradstoreError as error:
            return {"name": name, "problem": str(error)}

    def _groups(self, place: str) -> tuple[str, ...]:
        names = {
            name
            for each in self._layers()
            for name in each.names(place)
            if is_name(name) and _is_group(each, f"{place}/{name}")
        }
        return tuple(sorted(names))

    def _layers(self) -> Iterator[Folder]:
        yield self.folder
        if self.base is not None:
            yield self.base.folder

    def _only_checkpoint(self, dataset: str) -> str:
        found = self.checkpoints_of(dataset)
        if not found:
            raise StoreNotFoundError(f"{self.location}: {unknown_name('data set', dataset, self.datasets())}")
        if len(found) > 1:
            raise UsageError(
                f"data set {dataset!r} is held by several checkpoints, name one: {', '.join(found)}"
            )
        return found[0]


def open_store(location: Location, *, verified: bool = False) -> Store:
    """Open a store.

    Parameters
    ----------
    location : path or URL
        A folder on a disk, ``s3://…``, ``gs://…``, ``az://…``, ``hf://…`` or, to read, ``https://…``.
    verified : bool
        Check every chunk of gradients against its checksum when it is read; slower than mapping the files.
        Everything else is always checked.

    Returns
    -------
    Store

    Raises
    ------
    StoreNotFoundError
        If there is no store, or an overlay's base is gone.
    IncompatibleError
        If a newer format wrote it, or it is an overlay and not on this machine.
    CorruptError
        If its ``zarr.json`` is damaged.

    Examples
    --------
    >>> from gradstore.testing import tiny_store
    >>> _ = tiny_store("tiny.zarr")
    >>> open_store("tiny.zarr").dataset("pool").read("sgd", 0, 2).shape
    (2, 24)
    """
    folder = open_folder(location)
    ours = read_root(folder)
    if ours is None:
        raise StoreNotFoundError(f"there is no gradstore store at {folder}")
    base = read_base(ours, folder)
    if base is not None:
        theirs = read_root(base.folder)
        if theirs is None:
            raise StoreNotFoundError(f"{folder} lies on {base.folder}, and there is no gradstore store there")
        base.check_root(theirs)
    return Store(folder, base=base, verified=verified)


def _is_group(folder: Folder, place: str) -> bool:
    return any(folder.size(f"{place}/{name}") is not None for name in (METADATA, MANIFEST))
