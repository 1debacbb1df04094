"""A store's card: what its README.md and index.json are made of, and when they are written."""

from __future__ import annotations

from typing import Any

from gradstore.errors import GradstoreError, IncompleteError
from gradstore.sharing.card_text import card_text
from gradstore.sharing.listing import INDEX, index_document
from gradstore.store.attachment import carries_adapter
from gradstore.store.dataset import Dataset
from gradstore.store.layout import ARTEFACTS, LOCK
from gradstore.store.licence import licences
from gradstore.store.overview import dataset_info
from gradstore.store.source_counts import told_sources
from gradstore.store.store import Store

__all__ = ["CARD", "card_files", "write_card"]

CARD = "README.md"


def write_card(store: Store) -> bool:
    """Bring README.md and index.json in the root of a store up to date; whether that changed anything.

    They depend only on what is sealed: whoever writes them last, and however often, they are the same. The
    description of an overlay is of what is its own.

    Raises
    ------
    StoreWriteError
        If the system refuses.
    """
    with store.folder.lock(LOCK):  # what another process seals meanwhile it will describe itself
        stale = {name: data for name, data in card_files(store).items() if store.folder.get(name) != data}
        for name, data in stale.items():
            store.folder.put(name, data)
    return bool(stale)


def card_files(store: Store) -> dict[str, bytes]:
    """README.md and index.json as they should be."""
    return {CARD: card_text(_described(store)).encode(), INDEX: index_document(store.folder)}


def _described(store: Store) -> dict[str, Any]:
    own = Store(store.folder)
    return {
        "overlay": store.base is not None,
        "checkpoints": [_checkpoint(own, name) for name in own.checkpoints],
        **{kind: list(getattr(own, kind)) for kind in ARTEFACTS},
    }


def _checkpoint(store: Store, name: str) -> dict[str, Any]:
    try:
        identity = store.identity(name).to_json()
    except GradstoreError:
        return {"name": name, "damaged": True}
    datasets = []
    for each in store.datasets(name):
        try:
            datasets.append(_dataset(store.dataset(each, name)))
        except IncompleteError:
            continue  # described once it is finished
        except GradstoreError:
            datasets.append({"name": each, "damaged": True})
    return {
        "name": name,
        "identity": identity,
        "adapter": carries_adapter(store, name),
        "datasets": datasets,
    }


def _dataset(dataset: Dataset) -> dict[str, Any]:
    found = dataset_info(dataset)
    sources = told_sources(dataset.manifest.facts, lambda: dataset.sources)
    provenance = dataset.attributes.get("provenance")
    versions = provenance.get("versions") if isinstance(provenance, dict) else None
    return {
        **{
            name: found[name]
            for name in ("name", "rows", "valid", "truncated", "target", "directions", "bytes")
        },
        "sources": sources and sorted(sources.items(), key=lambda item: (-item[1], item[0])),
        "licences": licences(dataset.attributes),
        "embedded": dataset.has_records,
        "versions": versions if isinstance(versions, dict) else {},
    }
