"""What of a store is to be copied to another place: sealed folders only, chosen by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradstore.errors import CorruptError, IncompleteError, StoreNotFoundError, UsageError
from gradstore.progress import Log
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.storage import Folder
from gradstore.store.artefacts import read_artefact
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import ADAPTER, ARTEFACTS, CHECKPOINTS, COLUMNS, MANIFEST, METADATA
from gradstore.store.manifest import Manifest, read_manifest
from gradstore.store.store import Store

__all__ = [
    "ArtefactPart",
    "CheckpointPart",
    "DatasetPart",
    "SealedFolder",
    "Shipment",
    "digests_of",
    "shipment",
]


@dataclass(frozen=True, slots=True)
class SealedFolder:
    """One sealed folder of the source.

    Attributes
    ----------
    place : str
        Its path in a store.
    folder : Folder
        Where it lies now.
    manifest : Manifest
    """

    place: str
    folder: Folder
    manifest: Manifest

    @classmethod
    def read(cls, store: Store, place: str) -> SealedFolder | None:
        """The folder of a store; None if it is not sealed.

        Raises
        ------
        CorruptError
            If its manifest is damaged, or names what no manifest may.
        """
        folder = store.at(place)
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        for name in manifest.objects:
            parts = name.split("/")
            if "\\" in name or not name.isprintable() or any(not part or part[0] == "." for part in parts):
                raise CorruptError(
                    f"{folder.where(MANIFEST)} names an object {name!r}, which no store may have"
                )
            if parts[-1] == MANIFEST:
                raise CorruptError(
                    f"{folder.where(MANIFEST)} names a manifest; restore it from a copy of the store"
                )
        return cls(place, folder, manifest)

    @property
    def files(self) -> list[str]:
        """Paths in a store of all that it holds, its manifest included."""
        return [f"{self.place}/{name}" for name in (*self.manifest.objects, MANIFEST)]

    @property
    def size(self) -> int:
        """Bytes of all that it holds."""
        return self.manifest.size + len(self.manifest.to_bytes())


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """A data set in some of its directions.

    Attributes
    ----------
    columns : SealedFolder
        The data set's own folder.
    directions : Mapping from str to SealedFolder
    with_columns : bool
        Whether the columns are copied too.
    """

    checkpoint: str
    name: str
    state: DatasetFolder
    columns: SealedFolder
    directions: Mapping[str, SealedFolder]
    with_columns: bool = True

    def sealed(self) -> list[SealedFolder]:
        """Every sealed folder that is copied, the columns first."""
        return [*([self.columns] if self.with_columns else []), *self.directions.values()]


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """A checkpoint's group, and its adapter if the store carries it."""

    name: str
    identity: CheckpointIdentity
    adapter: SealedFolder | None


@dataclass(frozen=True, slots=True)
class ArtefactPart:
    """A graph or a selection."""

    kind: str
    name: str
    sealed: SealedFolder
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shipment:
    """All that is to be copied."""

    checkpoints: list[CheckpointPart]
    datasets: list[DatasetPart]
    artefacts: list[ArtefactPart]

    def sealed(self) -> Iterator[SealedFolder]:
        """Every sealed folder."""
        for checkpoint in self.checkpoints:
            if checkpoint.adapter is not None:
                yield checkpoint.adapter
        for dataset in self.datasets:
            yield from dataset.sealed()
        for artefact in self.artefacts:
            yield artefact.sealed


def shipment(
    store: Store,
    *,
    checkpoints: Sequence[str] | None,
    datasets: Sequence[str] | None,
    directions: Sequence[str] | None,
    artefacts: bool,
    log: Log,
) -> Shipment:
    """Choose what to copy; what is not finished stays behind.

    Raises
    ------
    StoreNotFoundError
        If a name is unknown.
    UsageError
        If nothing is left.
    CorruptError, IncompatibleError
        If something chosen is damaged.
    """
    names = _named("checkpoint", store.checkpoints, checkpoints, store)
    _named("data set", store.datasets(), datasets, store)
    found = [
        part
        for checkpoint in names
        for name in store.datasets(checkpoint)
        if (datasets is None or name in datasets)
        and (part := _dataset(store, checkpoint, name, directions, log)) is not None
    ]
    if not found:
        raise UsageError(
            f"{store.location} has nothing finished that was asked for: see `gradstore store ls`"
        )
    used = dict.fromkeys(part.checkpoint for part in found)
    return Shipment(
        [
            CheckpointPart(
                name, store.identity(name), SealedFolder.read(store, f"{CHECKPOINTS}/{name}/{ADAPTER}")
            )
            for name in used
        ],
        found,
        list(_artefacts(store)) if artefacts else [],
    )


def digests_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Digests of all rows that a graph or a selection was made from, by ``CHECKPOINT/DATASET``."""
    found = attributes.get("digests")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _named(kind: str, known: Collection[str], wanted: Sequence[str] | None, store: Store) -> Sequence[str]:
    for name in wanted or ():
        if name not in known:
            raise StoreNotFoundError(f"{store.location}: {unknown_name(kind, name, known)}")
    return list(known) if wanted is None else list(dict.fromkeys(wanted))


def _dataset(
    store: Store, checkpoint: str, name: str, directions: Sequence[str] | None, log: Log
) -> DatasetPart | None:
    place = f"{CHECKPOINTS}/{checkpoint}/{name}"
    try:
        dataset = store.dataset(name, checkpoint)
    except IncompleteError:
        log(f"left out: {checkpoint}/{name} is not finished")
        return None
    wanted = [each for each in dataset.directions if directions is None or each in directions]
    for each in dataset.unfinished():
        if directions is None or each in directions:
            log(f"left out: direction {each} of {checkpoint}/{name} is not finished")
    if not wanted:
        log(
            f"left out: {checkpoint}/{name} has {', '.join(dataset.directions)}, not {', '.join(directions or ())}"
        )
        return None
    for each in wanted:
        dataset.digest_of(each)  # refuses what does not belong together
    columns, state = SealedFolder.read(store, place), DatasetFolder.read(store.at(place))
    vectors = {each: SealedFolder.read(store, f"{place}/{each}") for each in wanted}
    if columns is None or state is None or None in vectors.values():
        raise CorruptError(f"{store.at(place)} changes while it is read: wait until nothing writes it")
    strays = [
        each for each in columns.manifest.objects if each != METADATA and not each.startswith(f"{COLUMNS}/")
    ]
    if strays:
        raise CorruptError(f"{columns.folder.where(MANIFEST)} names {strays[0]!r}, which is no column")
    return DatasetPart(
        checkpoint,
        name,
        state,
        columns,
        {each: sealed for each, sealed in vectors.items() if sealed is not None},
    )


def _artefacts(store: Store) -> Iterator[ArtefactPart]:
    for kind in ARTEFACTS:
        for name in getattr(store, kind):
            sealed = SealedFolder.read(store, f"{kind}/{name}")
            if sealed is not None:
                yield ArtefactPart(
                    kind, name, sealed, digests_of(read_artefact(store, kind, name).attributes)
                )
