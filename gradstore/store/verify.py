"""Checks every stored byte against the manifests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gradstore.errors import GradstoreError
from gradstore.storage import Folder
from gradstore.store.artifacts import read_artifact
from gradstore.store.card import CARD
from gradstore.store.dataset import open_dataset
from gradstore.store.folder import DatasetFolder, begun
from gradstore.store.layout import ARTEFACTS, CHECKPOINTS, LOCK, MANIFEST, METADATA, parse_group
from gradstore.store.listing import INDEX, index_document
from gradstore.store.manifest import Entry, is_sealed, read_manifest
from gradstore.store.parts import COLUMN_ARRAYS, finished, read_part
from gradstore.store.store import Store, open_store

__all__ = ["Problem", "verify"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store.

    Attributes
    ----------
    where : str
        Path relative to the store.
    what : str
        What is wrong, and what to do where that is not plain.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


def verify(path: str | os.PathLike[str]) -> list[Problem]:
    """Read a whole store and compare it with its manifests.

    Found are objects that are damaged, missing or belong to nothing, data sets and directions that are not finished,
    data sets that do not belong to their checkpoint, and directions that do not belong to their data set.

    Returns
    -------
    list of Problem
        Empty if all is well.

    Raises
    ------
    StoreNotFoundError, IncompatibleError, CorruptError
        If the store cannot be opened at all.
    """
    store = open_store(path)
    check = _Check(store.folder)
    for place in (CHECKPOINTS, *ARTEFACTS):
        if store.folder.names(place):
            check.group(place)
    for checkpoint in store.checkpoints:
        place = f"{CHECKPOINTS}/{checkpoint}"
        with check.noting(place):
            check.known.add(f"{place}/{METADATA}")
            store.identity(checkpoint)
        for name in store.datasets(checkpoint):
            check.dataset(store, checkpoint, name)
    for kind in ARTEFACTS:
        for name in getattr(store, kind):
            with check.noting(f"{kind}/{name}"):
                if check.objects(f"{kind}/{name}"):
                    read_artifact(store, kind, name)
    check.index()
    check.strays()
    return check.problems


class _Check:
    """What one pass over a store has found, and which files it knows."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self.known = {METADATA, CARD, INDEX}
        self.unknowable: list[str] = []

    @contextmanager
    def noting(self, place: str) -> Iterator[None]:
        """Note an error as a problem of `place` and go on."""
        try:
            yield
        except GradstoreError as error:
            self.problems.append(Problem(place, str(error)))

    def group(self, place: str) -> None:
        """Check a group that is only a folder."""
        name = f"{place}/{METADATA}"
        self.known.add(name)
        with self.noting(name):
            parse_group(self.folder.get(name) or b"", name)

    def dataset(self, store: Store, checkpoint: str, name: str) -> None:
        """Check the columns and every direction of a data set, sealed or not."""
        place = f"{CHECKPOINTS}/{checkpoint}/{name}"
        folder = self.folder.at(place)
        opened = state = None
        with self.noting(place):
            if self.objects(place):
                identity = store.identity(checkpoint)
                opened = open_dataset(folder, name=name, checkpoint=checkpoint, identity=identity)
                if not begun(folder):
                    raise opened.incomplete()
        with suppress(GradstoreError):  # it was noted what is wrong
            state = DatasetFolder.read(folder)
        with self.noting(place):
            self._parts(state, place)
        for direction in begun(folder):
            with self.noting(f"{place}/{direction}"):
                well = self.objects(f"{place}/{direction}")
                self._parts(state, place, direction)
                if well and opened is not None:
                    opened.digest_of(direction)  # opens it, or says how to go on

    def objects(self, place: str) -> bool:
        """Check all objects of a sealed folder; whether all are well, as far as is known."""
        folder = self.folder.at(place)
        self.unknowable.append(f"{place}/")
        manifest = read_manifest(folder)
        if manifest is None:
            return True  # the reader says how to go on
        self.unknowable.pop()
        self.known.add(f"{place}/{MANIFEST}")
        damaged = [self._damaged(folder, place, name, entry) for name, entry in manifest.objects.items()]
        return not any(damaged)

    def _parts(self, state: DatasetFolder | None, place: str, direction: str = "") -> None:
        """Check the finished chunks of a direction, or of the columns, that is not sealed."""
        if state is None or is_sealed(state.of(direction)):
            return
        folder, chunks = state.of(direction), state.settings.chunks
        names = state.vectors[direction].scalars if direction else COLUMN_ARRAYS
        for chunk in sorted(finished(folder, len(chunks))):
            part = read_part(folder, chunk, names, len(chunks[chunk]))
            for name, entry in part.objects.items() if part else ():
                self._damaged(folder, f"{place}/{direction}", name, entry)

    def _damaged(self, folder: Folder, place: str, name: str, entry: Entry) -> bool:
        self.known.add(f"{place}/{name}")
        what = entry.damage(folder.get(name))
        if what:
            self.problems.append(Problem(f"{place}/{name}", what))
        return bool(what)

    def index(self) -> None:
        """Find a listing that is not what it should be; a store of an earlier gradstore has none."""
        listed = self.folder.get(INDEX)
        if listed is not None and listed != index_document(self.folder):
            what = f"is out of date: refresh it with `gradstore store card {self.folder}`"
            self.problems.append(Problem(INDEX, what))

    def strays(self) -> None:
        """Find the files that no manifest knows; locks and a folder's own dot files are no objects."""
        for name in self.folder.files():
            own = name.startswith(".") and "/" not in name
            if own or name in self.known or name.startswith(tuple(self.unknowable)) or name.endswith(LOCK):
                continue
            self.problems.append(Problem(name, "belongs to nothing in the store: delete it"))
