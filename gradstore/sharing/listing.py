"""``index.json``: what lies in a store, for readers on places that cannot be listed, such as web servers."""

from __future__ import annotations

from collections.abc import Iterator

from gradstore.records import canonical_json
from gradstore.storage import Folder
from gradstore.store.folder import begun
from gradstore.store.layout import ADAPTER, ARTEFACTS, CHECKPOINTS, FORMAT, MANIFEST, METADATA, is_name
from gradstore.store.manifest import is_sealed

__all__ = ["INDEX", "index_document"]

INDEX = "index.json"

_SIGNS = (METADATA, MANIFEST)


def index_document(folder: Folder) -> bytes:
    """The listing of a store's own folder: groups, and manifests of all that is sealed."""
    return canonical_json({"format": FORMAT, "paths": sorted(_paths(folder))})


def _paths(store: Folder) -> Iterator[str]:
    for place in (".", CHECKPOINTS, *ARTEFACTS):
        yield from _group(store, place)
    for checkpoint in _names(store, CHECKPOINTS):
        group = f"{CHECKPOINTS}/{checkpoint}"
        yield from _group(store, group)
        yield from _sealed(store, f"{group}/{ADAPTER}")
        for name in _names(store, group):
            dataset = f"{group}/{name}"
            if is_sealed(store.at(dataset)):
                yield from _sealed(store, dataset)
                for direction in begun(store.at(dataset)):
                    yield from _sealed(store, f"{dataset}/{direction}")
    for kind in ARTEFACTS:
        for name in _names(store, kind):
            yield from _sealed(store, f"{kind}/{name}")


def _names(store: Folder, place: str) -> list[str]:
    named = (name for name in store.names(place) if is_name(name))
    return [
        name for name in named if any(store.size(f"{place}/{name}/{each}") is not None for each in _SIGNS)
    ]


def _group(store: Folder, place: str) -> list[str]:
    name = METADATA if place == "." else f"{place}/{METADATA}"
    return [name] if store.size(name) is not None else []


def _sealed(store: Folder, place: str) -> list[str]:
    return [*_group(store, place), f"{place}/{MANIFEST}"] if is_sealed(store.at(place)) else []
