"""Graphs and selections: named arrays and strings, sealed by a manifest and replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompleteError,
    StoreNotFoundError,
    UsageError,
)
from gradstore.registry import unknown_name
from gradstore.store.arrays import DTYPES
from gradstore.store.columns import read_strings, write_strings
from gradstore.store.layout import (
    ARTEFACTS,
    LOCK,
    MANIFEST,
    METADATA,
    check_name,
    group_document,
    is_name,
    plain_json,
)
from gradstore.store.manifest import Sealed, read_manifest
from gradstore.store.recorder import Recorder
from gradstore.store.store import Store

__all__ = ["Artefact", "read_artefact", "told_before", "write_artefact"]

T = TypeVar("T")
_TRIES = 3
"""Looks at an artefact's two places, while it moves from one to the other."""


class _ReplacedError(GradstoreError):
    """What was opened is no longer there."""


class _Lazy(Mapping[str, T]):
    """Values that are read when first asked for."""

    def __init__(self, names: Sequence[str], load: Callable[[str], T]) -> None:
        self._names, self._load = tuple(names), load
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Artefact:
    """A graph or a selection as stored; what is read is checked against the manifest. Made by `read_artefact`.

    Attributes
    ----------
    kind, name : str
    attributes : Mapping
        JSON values.
    arrays : Mapping from str to ndarray
        Read when asked for.
    strings : Mapping from str to ndarray of str objects
        Read when asked for.
    digest : str
        Changes if and only if something stored changes.
    """

    def __init__(self, places: Sequence[Sealed], kind: str, name: str) -> None:
        attributes, arrays, strings = _either(places, _members)
        self.kind, self.name, self.digest = kind, name, places[0].manifest.digest
        self.attributes: Mapping[str, Any] = attributes
        self.arrays: Mapping[str, npt.NDArray[Any]] = _Lazy(
            arrays, lambda name: _either(places, lambda sealed: sealed.array(name))
        )
        self.strings: Mapping[str, npt.NDArray[np.object_]] = _Lazy(
            strings, lambda name: _either(places, lambda sealed: read_strings(sealed, name))
        )

    def __repr__(self) -> str:
        names = ", ".join([*self.arrays, *self.strings])
        return f"Artefact {self.kind}/{self.name}: {names}"


def _fresh(name: str) -> str:
    """Where an artefact is written before it takes its place; once it has a manifest it counts."""
    return f".{name}.new"


def _either(places: Sequence[Sealed], read: Callable[[Sealed], T]) -> T:
    """What the first place gives, or the next: what is being put in place may have moved on meanwhile."""
    for sealed in places[:-1]:
        with suppress(CorruptError):
            return read(sealed)
    last = places[-1]
    try:
        return read(last)
    except CorruptError:
        now = read_manifest(last.folder)
        if now is not None and now.digest == last.manifest.digest:
            raise
    raise _ReplacedError(f"{last.folder} was replaced while it was read: run the same command again")


def _members(sealed: Sealed) -> tuple[dict[str, Any], list[str], list[str]]:
    """What an artefact's group says that it holds."""
    ours = sealed.group()
    attributes, *lists = (ours.get("attributes", {}), ours.get("arrays", []), ours.get("strings", []))
    named = all(
        isinstance(names, list) and all(isinstance(name, str) and is_name(name) for name in names)
        for names in lists
    )
    if not isinstance(attributes, dict) or not named or len(set(lists[0] + lists[1])) < sum(map(len, lists)):
        raise sealed.damage(METADATA, "does not describe an artefact")
    return attributes, lists[0], lists[1]


def write_artefact(
    store: Store,
    kind: str,
    name: str,
    *,
    arrays: Mapping[str, npt.NDArray[Any]],
    strings: Mapping[str, Sequence[str]],
    attributes: Mapping[str, Any],
) -> Artefact:
    """Store a graph or a selection; one of the same name is replaced once the new one is whole.

    Parameters
    ----------
    store : Store
    kind : {"graphs", "selections"}
    name : str
    arrays : Mapping from str to ndarray
        At least one axis each; numbers or bool.
    strings : Mapping from str to sequence of str
    attributes : Mapping
        JSON values.

    Returns
    -------
    Artefact

    Raises
    ------
    UsageError
        If a name, a type or a value cannot be stored.
    StoreWriteError
        If another process writes it, or the system refuses; the one of the same name stays as it is.
    """
    _check(kind, name, arrays, strings)
    plain = plain_json(attributes, f"attributes of {kind} {name!r}")
    place, fresh = store.folder.at(kind), _fresh(name)
    busy = f"another process is writing {kind}/{name} of {store.location}: wait for it to end"
    with place.lock(f".{name}{LOCK}", busy):
        if place.get(f"{name}/{MANIFEST}") is None and place.get(f"{fresh}/{MANIFEST}") is not None:
            place.replace(fresh, name)  # whoever began that was killed
        place.delete(fresh)
        recorder = Recorder(place.at(fresh))
        ours = {"attributes": plain, "arrays": sorted(arrays), "strings": sorted(strings)}
        recorder.put(METADATA, group_document(ours))
        for each in sorted(arrays):
            recorder.put_array(each, arrays[each])
        for each in sorted(strings):
            write_strings(recorder, each, strings[each])
        recorder.seal()
        if place.get(METADATA) is None:
            place.put(METADATA, group_document())
        place.replace(fresh, name)
    return read_artefact(store, kind, name)


def told_before(store: Store, kind: str, name: str) -> Mapping[str, Any] | None:
    """What the artefact says of itself that `write_artefact` would replace; None if there is none.

    One of a store below an overlay stays, and does not count.

    Parameters
    ----------
    store : Store
        Where it would be written.
    kind : {"graphs", "selections"}
        What it is.
    name : str
        Its name.

    Returns
    -------
    Mapping or None
        Its attributes; empty if it cannot be read.
    """
    own = Store(store.folder)
    if name not in (own.graphs if kind == "graphs" else own.selections):
        return None
    with suppress(GradstoreError):
        return read_artefact(own, kind, name).attributes
    return {}


def _check(
    kind: str, name: str, arrays: Mapping[str, npt.NDArray[Any]], strings: Mapping[str, Sequence[str]]
) -> None:
    if kind not in ARTEFACTS:
        raise UsageError(unknown_name("kind of artefact", kind, ARTEFACTS))
    check_name(kind.removesuffix("s"), name)
    for each in (*arrays, *strings):
        check_name("array", each)
    if set(arrays) & set(strings):
        raise UsageError(f"{kind}/{name}: a name is either an array or strings, not both")
    for each, values in arrays.items():
        if values.dtype.name not in DTYPES or values.ndim == 0:
            raise UsageError(
                f"{kind}/{name}: array {each!r} of {values.dtype} {values.shape} cannot be stored"
            )


def read_artefact(store: Store, kind: str, name: str) -> Artefact:
    """Open a graph or a selection.

    Parameters
    ----------
    store : Store
        Where it lies.
    kind : {"graphs", "selections"}
        What it is.
    name : str
        Its name.

    Returns
    -------
    Artefact

    Raises
    ------
    StoreNotFoundError
        If there is none of that name.
    IncompleteError
        If it lacks its manifest.
    CorruptError
        If it is damaged.
    UsageError
        If the name cannot be one.
    """
    if kind not in ARTEFACTS:
        raise UsageError(unknown_name("kind of artefact", kind, ARTEFACTS))
    for place in (name, _fresh(name)) * _TRIES if is_name(name) else ():
        folder = store.at(f"{kind}/{place}")
        manifest = read_manifest(folder)
        if manifest is not None:
            folders = (folder,) if place == name else (folder, store.at(f"{kind}/{name}"))
            with suppress(_ReplacedError):
                return Artefact([Sealed(each, manifest) for each in folders], kind, name)
    known = store.graphs if kind == "graphs" else store.selections
    if name not in known:
        raise StoreNotFoundError(f"{store.location}: {unknown_name(kind.removesuffix('s'), name, known)}")
    raise IncompleteError(
        f"{store.at(f'{kind}/{name}')} has no manifest: run the command that makes it again"
    )
