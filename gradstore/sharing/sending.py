"""Sends sealed folders to a store, several objects at a time, and publishes each when all of it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from gradstore.errors import IncompatibleError
from gradstore.progress import Bar, Progress
from gradstore.sharing.shipment import ArtefactPart, CheckpointPart, DatasetPart, SealedFolder, Shipment
from gradstore.storage import Folder
from gradstore.store.create import join_checkpoint
from gradstore.store.layout import CHECKPOINTS, COMING, LOCK, MANIFEST, METADATA, group_document
from gradstore.store.manifest import Entry, Sealed, is_sealed, read_manifest
from gradstore.store.store import Store

__all__ = ["Sender", "checked"]

_WORKERS = 8
_IN_FLIGHT = 256 << 20


def checked(sealed: SealedFolder, name: str) -> bytes:
    """Bytes of a source's object; `CorruptError` if they do not match the manifest."""
    entry = sealed.manifest.objects[name]
    data = sealed.folder.get(name)  # not `fetch`: what is passed on need not be kept here as well
    what = entry.damage(data)
    if data is None or what:
        raise Sealed(sealed.folder, sealed.manifest).damage(name, what)
    return data


class Sender:
    """Sends to one store.

    Each folder first gets a note of the manifest that it will have. Objects appear under their names only whole, and
    were checked before: where the note is that of our manifest, an object of the right size is the right one and is
    not sent again. Where it is another's, what lies there is removed. The manifest comes after all objects,
    and the note goes when the manifest is there.

    Parameters
    ----------
    store : Store
    progress : Progress
    """

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store, self._progress = store, progress
        self._sent = 0

    def send(self, goods: Shipment, what: str) -> int:
        """Send everything; the number of bytes that were sent, without manifests."""
        total = sum(each.manifest.size for each in goods.sealed())
        with self._progress(total, "bytes", what) as bar, _pool() as pool:
            for checkpoint in goods.checkpoints:
                join_checkpoint(self._store, checkpoint.name, checkpoint.identity)
                self._adapter(checkpoint, pool, bar)
            for dataset in goods.datasets:
                self._dataset(dataset, pool, bar)
            for artefact in goods.artefacts:
                self._artefact(artefact, pool, bar)
        return self._sent

    def tidy(self, goods: Shipment) -> None:
        """Remove the notes and locks of what was published before its sender was killed."""
        for each in goods.sealed():
            place = self._store.folder.at(each.place)
            if place.size(COMING) is not None and is_sealed(place):
                place.delete(COMING)
        for place, name in self._locks(goods):
            lock = place.attempt(name) if place.size(name) is not None else None
            if lock is not None:
                lock.release()

    def _locks(self, goods: Shipment) -> Iterator[tuple[Folder, str]]:
        for checkpoint in goods.checkpoints:
            yield self._store.folder.at(f"{CHECKPOINTS}/{checkpoint.name}"), LOCK
        for dataset in goods.datasets:
            yield self._store.folder.at(dataset.columns.place), LOCK
        for artefact in goods.artefacts:
            yield self._store.folder.at(artefact.kind), f".{artefact.name}{LOCK}"

    def _adapter(self, part: CheckpointPart, pool: ThreadPoolExecutor, bar: Bar) -> None:
        if part.adapter is None:
            return
        with self._store.folder.at(f"{CHECKPOINTS}/{part.name}").lock(LOCK):
            self._folders([part.adapter], pool, bar)

    def _dataset(self, part: DatasetPart, pool: ThreadPoolExecutor, bar: Bar) -> None:
        with self._store.folder.at(part.columns.place).lock(LOCK):
            # The columns come first: a direction without them would be damage.
            self._folders(part.sealed(), pool, bar)

    def _folders(self, sealed: Iterable[SealedFolder], pool: ThreadPoolExecutor, bar: Bar) -> None:
        """Send all objects, then publish one folder after the other; those that have come meanwhile are left."""
        folders = [(each, self._store.folder.at(each.place)) for each in sealed]
        missing = [(each, place) for each, place in folders if _missing(each, place, bar)]
        self._objects(missing, pool, bar)
        for each, place in missing:
            _publish(each, place)

    def _artefact(self, part: ArtefactPart, pool: ThreadPoolExecutor, bar: Bar) -> None:
        folder = self._store.folder.at(part.kind)
        with folder.lock(f".{part.name}{LOCK}"):
            if folder.get(METADATA) is None:
                folder.put(METADATA, group_document())
            self._folders([part.sealed], pool, bar)

    def _objects(
        self, folders: Iterable[tuple[SealedFolder, Folder]], pool: ThreadPoolExecutor, bar: Bar
    ) -> None:
        """Send all objects but the groups' documents, by which a folder is found."""
        running: dict[Future[int], int] = {}
        try:
            for sealed, place, name, entry, resumed in _to_send(folders):
                while running and sum(running.values()) + entry.size > _IN_FLIGHT:
                    self._collect(running, bar)
                running[pool.submit(_send, sealed, place, name, resumed)] = entry.size
            while running:
                self._collect(running, bar)
        finally:  # nothing is under way any more when the lock is released
            for each in running:
                each.cancel()
            wait(running)

    def _collect(self, running: dict[Future[int], int], bar: Bar) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for each in done:
            bar.update(running.pop(each))
            self._sent += each.result()


def _missing(sealed: SealedFolder, place: Folder, bar: Bar) -> bool:
    """Whether a folder is still missing now that nobody else can write it."""
    there = read_manifest(place)
    if there is None:
        return True
    if there.digest != sealed.manifest.digest:
        raise IncompatibleError(
            f"{place} was written by another process meanwhile (digest is {there.digest} there, "
            f"{sealed.manifest.digest} here): run the same command again to see the difference"
        )
    bar.update(sealed.manifest.size)
    return False


def _to_send(
    folders: Iterable[tuple[SealedFolder, Folder]],
) -> Iterator[tuple[SealedFolder, Folder, str, Entry, bool]]:
    for sealed, place in folders:
        resumed = _noted(sealed, place)
        for name, entry in sealed.manifest.objects.items():
            yield sealed, place, name, entry, resumed


def _noted(sealed: SealedFolder, place: Folder) -> bool:
    """Leave our note; whether it was there, and with it what we sent before."""
    digest = sealed.manifest.digest.encode()
    if place.get(COMING) == digest:
        return True
    for name in place.names():
        if not name.startswith("."):
            place.delete(name)
    place.put(COMING, digest)
    return False


def _send(sealed: SealedFolder, place: Folder, name: str, resumed: bool) -> int:
    """Send an object unless it is there; the bytes sent."""
    if name == METADATA:
        return 0  # with the manifest
    if resumed and place.size(name) == sealed.manifest.objects[name].size:
        return 0
    data = checked(sealed, name)
    place.put(name, data)
    return len(data)


def _publish(sealed: SealedFolder, place: Folder) -> None:
    if METADATA in sealed.manifest.objects:
        place.put(METADATA, checked(sealed, METADATA))
    place.create(MANIFEST, sealed.manifest.to_bytes())
    place.delete(COMING)


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once something has failed."""
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
