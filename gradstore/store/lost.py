"""Groups that have lost the documents by which they are found, while what lies in them is still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradstore.storage import Folder
from gradstore.store.folder import begun
from gradstore.store.layout import ADAPTER, CHECKPOINTS, MANIFEST, METADATA, is_name
from gradstore.store.manifest import is_sealed

__all__ = ["Lost", "lost_groups"]


@dataclass(frozen=True, slots=True)
class Lost:
    """A checkpoint without its ``zarr.json``, or a data set without both of its documents.

    Attributes
    ----------
    place : str
        Such as ``checkpoints/checkpoint-100``.
    document : str
        What it has lost.
    what : str
        The same in words.
    """

    place: str
    document: str
    what: str


def lost_groups(store: Folder) -> Iterator[Lost]:
    """All there are in a store's own folder.

    A killed `gradstore store rm` leaves none: it takes the documents from the innermost folder outwards.
    """
    for name in store.names(CHECKPOINTS):
        place = f"{CHECKPOINTS}/{name}"
        group = store.at(place)
        if not is_name(name):
            continue
        if not _is_found(group):
            inside = [*begun(group), *([ADAPTER] if is_sealed(group.at(ADAPTER)) else [])]
            if inside:
                what = f"holds {', '.join(inside)} and has lost its {METADATA}"
                yield Lost(place, METADATA, what)
            continue
        for each in filter(is_name, group.names()):
            dataset = group.at(each)
            inside = (
                [] if _is_found(dataset) else [one for one in begun(dataset) if is_sealed(dataset.at(one))]
            )
            if inside:
                what = f"holds {', '.join(inside)} and has lost its {MANIFEST} and {METADATA}"
                yield Lost(f"{place}/{each}", MANIFEST, what)


def _is_found(group: Folder) -> bool:
    return any(group.size(name) is not None for name in (METADATA, MANIFEST))
