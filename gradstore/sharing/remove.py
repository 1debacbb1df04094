"""Takes something out of a store, so that a kill leaves nothing that can be read by half."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from gradstore.errors import (
    GradstoreError,
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)
from gradstore.registry import unknown_name
from gradstore.sharing.card import write_card
from gradstore.sharing.shipment import digests_of
from gradstore.storage import Folder
from gradstore.store.artefacts import read_artefact
from gradstore.store.folder import begun
from gradstore.store.layout import (
    ADAPTER,
    ARTEFACTS,
    CHECKPOINTS,
    LOCK,
    MANIFEST,
    METADATA,
    is_claim,
    is_name,
)
from gradstore.store.store import Store

__all__ = ["Removal", "remove"]


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed, or would be.

    Attributes
    ----------
    what : str
        Path relative to the store.
    files, bytes : int
    dependents : list of str
        What was made from it and stays.
    """

    what: str
    files: int
    bytes: int
    dependents: list[str]


def remove(store: Store, what: str, *, force: bool = False, dry_run: bool = False) -> Removal:
    """Remove a checkpoint, a data set, one of its directions, a graph or a selection.

    Its manifests go first: from then on it is not finished to any reader, and the same call goes on if this one is
    killed. The base of an overlay is never touched.

    Parameters
    ----------
    store : Store
    what : str
        ``CHECKPOINT``, ``CHECKPOINT/DATASET``, ``CHECKPOINT/DATASET/DIRECTION``, ``graphs/NAME`` or
        ``selections/NAME``.
    force : bool
        Also if graphs, selections or data sets that continue it depend on it.
    dry_run : bool
        Only look.

    Returns
    -------
    Removal

    Raises
    ------
    StoreNotFoundError
        If there is no such thing.
    UsageError
        If it cannot be removed by itself, or lies in the base.
    IncompatibleError
        If something depends on it.
    StoreWriteError
        If another process writes it, or the system refuses.
    """
    place = _place(store, what)
    folder = store.folder.at(place)
    sizes = [folder.size(name) or 0 for name in folder.files()]
    dependents = list(_dependents(store, place))
    if dependents and not force and not dry_run:
        raise IncompatibleError(
            f"{what} of {store.location} is used by {', '.join(dependents)}: remove them first, or use --force"
        )
    if not dry_run:
        with ExitStack() as locks:
            _hold(locks, store, place)
            _remove(store.folder, place)
        write_card(store)
    return Removal(what, len(sizes), sum(sizes), dependents)


def _place(store: Store, what: str) -> str:
    """Path in the store of something that is there."""
    parts = what.strip("/").split("/")
    if parts[0] == CHECKPOINTS and len(parts) > 1:
        parts = parts[1:]
    artefact = parts[0] in ARTEFACTS and len(parts) == 2
    if not all(map(is_name, parts)) or len(parts) > 3:
        raise UsageError(
            f"{what!r} names nothing that can be removed: write CHECKPOINT, CHECKPOINT/DATASET, "
            "CHECKPOINT/DATASET/DIRECTION, graphs/NAME or selections/NAME"
        )
    place = "/".join(parts if artefact else [CHECKPOINTS, *parts])
    if any(not name.startswith(".") for name in store.folder.names(place)):
        if not artefact and len(parts) == 3:
            _check_not_only(store.folder, place)
        return place
    if store.base is not None and store.base.folder.names(place):
        raise UsageError(f"{what} is in {store.base.folder}, on which {store.location} lies: remove it there")
    above, _, name = place.rpartition("/")
    if name in store.folder.names(above):  # an empty folder, left by a removal that was killed at its end
        return place
    kind = parts[0].removesuffix("s") if artefact else ("checkpoint", "data set", "direction")[len(parts) - 1]
    known = [each for each in store.folder.names(above) if is_name(each)]
    raise StoreNotFoundError(f"{store.location}: {unknown_name(kind, name, known)}")


def _check_not_only(store: Folder, place: str) -> None:
    dataset, _, name = place.rpartition("/")
    if begun(store.at(dataset)) == (name,):
        whole = dataset.removeprefix(f"{CHECKPOINTS}/")
        raise UsageError(f"{name} is the only direction of {whole}: remove {whole}")


def _dependents(store: Store, place: str) -> Iterator[str]:
    """Graphs and selections made from it, and data sets that continue it."""
    root, _, rest = place.partition("/")
    if root != CHECKPOINTS:
        return
    checkpoint, *parts = rest.split("/")
    digest = _digest(store, checkpoint, *parts) if len(parts) == 2 else None
    for kind in ARTEFACTS:
        for name in getattr(store, kind):
            try:
                found = digests_of(read_artefact(store, kind, name).attributes)
            except GradstoreError:
                continue  # what is damaged uses nothing
            keys = [key for key in found if f"{key}/".startswith("/".join([checkpoint, *parts[:1], ""]))]
            if any(digest is None or found[key] == digest for key in keys) and (len(parts) < 2 or digest):
                yield f"{kind}/{name}"
    if len(parts) == 1:
        yield from (f"{checkpoint}/{name}" for name in _continued(store, checkpoint, parts[0]))


def _digest(store: Store, checkpoint: str, name: str, direction: str) -> str | None:
    try:
        return store.dataset(name, checkpoint).digest_of(direction)
    except (IncompleteError, UsageError):
        return None


def _continued(store: Store, checkpoint: str, dataset: str) -> Iterator[str]:
    for name in store.datasets(checkpoint):
        try:
            attributes = store.dataset(name, checkpoint).attributes
        except GradstoreError:
            continue
        if name != dataset and attributes.get("continues") == dataset:
            yield name


def _hold(locks: ExitStack, store: Store, place: str) -> None:
    """Take the locks of all who may write it."""
    busy = f"another process writes {place} of {store.location}: wait for it to end"
    folder, parts = store.folder, place.split("/")
    if parts[0] in ARTEFACTS:
        locks.enter_context(folder.at(parts[0]).lock(f".{parts[1]}{LOCK}", busy))
        return
    group = "/".join(parts[:2])
    names = parts[2:3] or [name for name in folder.names(group) if is_name(name)]
    if len(parts) == 2:
        locks.enter_context(folder.at(group).lock(LOCK, busy))
    for name in names:
        dataset = folder.at(f"{group}/{name}")
        locks.enter_context(dataset.lock(LOCK, busy))
        for claim in filter(is_claim, dataset.names()):
            lock = dataset.attempt(claim)
            if lock is None:
                raise StoreWriteError(busy)
            locks.enter_context(lock)


def _remove(store: Folder, place: str) -> None:
    """Manifests from the innermost folder outwards, then the groups' documents, then everything."""
    folder = store.at(place)
    for last in (MANIFEST, METADATA):
        for each in _folders(store, place):
            store.at(each).delete(last)
    for name in folder.names():
        if not name.startswith("."):
            folder.delete(name)
    store.delete(place)


def _folders(store: Folder, place: str) -> Iterator[str]:
    """The sealed folders in a folder, and itself; directions before their data set."""
    parts = place.split("/")
    if parts[0] == CHECKPOINTS and len(parts) < 4:
        for name in filter(is_name, store.names(place)):
            yield from _folders(store, f"{place}/{name}")
        if len(parts) == 2:
            yield f"{place}/{ADAPTER}"
    yield place
