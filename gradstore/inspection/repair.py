"""Puts back what is damaged, as far as it can be had byte for byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradstore.errors import CorruptError, GradstoreError, UsageError
from gradstore.inspection.documents import fitting_document, fitting_root
from gradstore.inspection.findings import Broken, Problem
from gradstore.inspection.inspection import sealed_folders
from gradstore.inspection.verify import inspect
from gradstore.progress import Progress, silent
from gradstore.sharing.card import write_card
from gradstore.storage import Folder, Location, open_folder, same_place
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import CHECKPOINTS, LOCK, METADATA, group_document
from gradstore.store.manifest import Entry
from gradstore.store.parts import part_path
from gradstore.store.root import read_root
from gradstore.store.store import Store, open_store

__all__ = ["Repair", "repair"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did.

    Attributes
    ----------
    replaced : list of str
        Objects that are again what their manifest says.
    reopened : list of str
        Chunks of unfinished data sets that the same `gradstore extract` will compute again.
    problems : list of Problem
        What is wrong still.
    advice : list of str
        How what is damaged still can be had again.
    """

    replaced: list[str]
    reopened: list[str]
    problems: list[Problem]
    advice: list[str]


def repair(path: Location, *, source: Location | None = None, progress: Progress = silent) -> Repair:
    """Verify a store and put back what is damaged.

    What is sealed stays sealed: an object is replaced only by bytes that its manifest's checksum admits. They come from
    `source`, which may be a copy of the store, or a store into which the same extraction wrote just that chunk. A
    document that has no checksum (a manifest, a checkpoint's identity, the root) is replaced by that of a copy if all
    that is there agrees with it. A damaged chunk of a data set that is not finished is forgotten, so that the
    extraction computes it when it goes on.

    Parameters
    ----------
    path : path or URL
    source : path or URL, optional
        Another store, which is only read.
    progress : Progress, optional

    Raises
    ------
    UsageError
        If `source` is the store itself.
    StoreNotFoundError, IncompatibleError, CorruptError
        If a store cannot be opened at all, or its root is damaged and `source` is no copy of it.
    StoreWriteError
        If the system refuses.
    """
    folder = open_folder(path)
    other = None if source is None else open_store(source)
    if other is not None and same_place(folder, other.folder):
        raise UsageError(f"{source} is the store that is to be repaired: give a copy of it")
    replaced: dict[str, None] = {}
    reopened: dict[str, None] = {}
    if other is not None and _restore_root(folder, other):
        replaced[METADATA] = None
    store = open_store(path)
    found = inspect(store, progress)
    while True:  # a document that is there again may show what it hid
        done = len(replaced) + len(reopened)
        for broken in found.broken:
            if not broken.place:
                write_card(store)
                replaced[broken.name] = None
            elif broken.part >= 0:
                _reopen(store, broken)
                reopened[f"{broken.place}/{part_path(broken.part)}"] = None
            elif _replace(store, other, broken):
                replaced[f"{broken.place}/{broken.name}"] = None
        if len(replaced) + len(reopened) == done:
            return Repair(list(replaced), list(reopened), found.problems, list(_advice(store, found.broken)))
        found = inspect(store, progress)


def _restore_root(folder: Folder, other: Store) -> bool:
    """Put back a root that is gone or damaged; whether that was so and could be done.

    Raises
    ------
    CorruptError
        If `other` is no copy of the store.
    """
    try:
        if read_root(folder) is not None:
            return False
        what = f"{folder.where(METADATA)} is missing"
    except CorruptError as error:
        what = str(error)
    if not any(True for _ in sealed_folders(Store(folder))):
        return False  # nothing shows that a store was there
    data = fitting_root(folder, other)
    if data is None:
        raise CorruptError(f"{what}; {other.location} is no copy of this store: give one that is")
    folder.put(METADATA, data)
    return True


def _reopen(store: Store, broken: Broken) -> None:
    """Forget a chunk that is not sealed: without its part it counts as not computed."""
    dataset = "/".join(broken.place.split("/")[:3])
    with store.folder.at(dataset).lock(LOCK):
        store.folder.at(broken.place).delete(part_path(broken.part))


def _replace(store: Store, other: Store | None, broken: Broken) -> bool:
    if broken.entry == Entry.of(group_document()):  # the same in every store
        data: bytes | None = group_document()
    elif other is None:
        return False
    elif broken.entry is None:
        data = fitting_document(store, other, broken.place, broken.name)
    else:
        data = _whole(other, broken.place, broken.name, broken.entry)
    if data is not None:
        store.folder.at(broken.place).put(broken.name, data)
    return data is not None


def _whole(other: Store, place: str, name: str, entry: Entry) -> bytes | None:
    try:
        data = other.at(place).get(name)
    except GradstoreError:  # damaged there too
        return None
    return data if data is not None and Entry.of(data) == entry else None


def _advice(store: Store, broken: Iterable[Broken]) -> Iterator[str]:
    """For each damaged sealed folder, how to have its objects again."""
    places: dict[str, list[str]] = defaultdict(list)
    for each in broken:
        if each.place and each.part < 0:
            places[each.place].append(each.name)
    finish = f"`gradstore store verify {store.location} --repair --from OTHER`"
    for place, names in places.items():
        chunks = _chunks(names)
        again = ""
        if place.startswith(f"{CHECKPOINTS}/") and chunks:
            dataset = DatasetFolder.read(store.folder.at("/".join(place.split("/")[:3])))
            if dataset is not None and dataset.settings.attributes.get("format") != "imported":
                count, rows = len(dataset.settings.chunks), dataset.settings.chunk_rows
                parts = ", ".join(f"--part {chunk + 1}/{count}" for chunk in chunks)
                again = (
                    f", or let the `gradstore extract` that made it write only what is damaged to a new store OTHER "
                    f"(--chunk-rows {rows} and {parts})"
                )
        yield f"{place}: {len(names)} damaged; with a copy OTHER of the store{again}: {finish}"


def _chunks(names: Iterable[str]) -> list[int]:
    """Numbers of chunks of codes; none if anything else is damaged too."""
    parts = [name.split("/") for name in names]
    whole = all(part[:2] == ["gradient", "c"] and part[2].isdecimal() for part in parts if len(part) > 2)
    return [int(part[2]) for part in parts] if whole and all(len(part) > 2 for part in parts) else []
