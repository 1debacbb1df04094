"""What the root of a store says: its format and, in an overlay, on what it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradstore.errors import CorruptError, StoreNotFoundError
from gradstore.records import canonical_json, digest
from gradstore.storage import Folder
from gradstore.store.base import MEMBER
from gradstore.store.layout import FORMAT, METADATA, group_document, parse_group, read_document
from gradstore.store.manifest import check_format

__all__ = ["read_root", "root_document"]

_DIGEST = "digest"


def root_document(base: Mapping[str, Any] | None = None) -> bytes:
    """``zarr.json`` of a store; of an overlay if there is a `base`."""
    ours: dict[str, Any] = {"format": FORMAT}
    if base is not None:
        ours[MEMBER] = dict(base)
        ours[_DIGEST] = digest(canonical_json(ours))
    return group_document(ours)


def read_root(folder: Folder) -> dict[str, Any] | None:
    """Members of a store's root but for their digest; None if there is no root.

    Raises
    ------
    StoreNotFoundError
        If it is the root of something else.
    IncompatibleError
        If a newer format wrote it.
    CorruptError
        If it is damaged.
    """
    data = read_document(folder, METADATA)
    if data is None:
        return None
    where = folder.where(METADATA)
    ours = parse_group(data, where)
    if "format" not in ours:
        raise StoreNotFoundError(f"{folder} is a Zarr group but no gradstore store")
    check_format(ours["format"], where)
    # Else one flipped bit in the name of a member would make it one of a later version, which is passed over.
    if (MEMBER in ours or _DIGEST in ours) and ours.pop(_DIGEST, None) != digest(canonical_json(ours)):
        raise CorruptError(
            f"{where} does not match its own digest: restore it from a copy, or make a new overlay"
        )
    return ours
