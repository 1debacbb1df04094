"""Which documents of a copy may take the place of damaged ones.

An object is known by its checksum. A document that is in no manifest is known by what agrees with it: a store's root, a
checkpoint's identity, and the manifests themselves.
"""

from __future__ import annotations

from gradstore.errors import GradstoreError
from gradstore.inspection.inspection import sealed_folders
from gradstore.storage import Folder
from gradstore.store.folder import begun
from gradstore.store.identity import comparability, read_identity
from gradstore.store.layout import ADAPTER, CHECKPOINTS, MANIFEST, METADATA
from gradstore.store.manifest import Entry, Manifest, read_manifest
from gradstore.store.store import Store

__all__ = ["fitting_document", "fitting_root"]


def fitting_root(folder: Folder, other: Store) -> bytes | None:
    """The root of `other` if that is a copy of the store in `folder`: what is sealed in both is the same.

    An overlay's root says on what it lies; it is taken only for a store of which the overlay has all.
    """
    ours = {
        place: manifest for place in sealed_folders(Store(folder)) if (manifest := _intact(folder.at(place)))
    }
    theirs = {place: manifest for place in ours if (manifest := _intact(other.folder.at(place)))}
    same = [place for place, manifest in theirs.items() if manifest.digest == ours[place].digest]
    if not same or len(same) < len(theirs if other.base is None else ours):
        return None
    return other.folder.get(METADATA)


def fitting_document(store: Store, other: Store, place: str, name: str) -> bytes | None:
    """The document of `other` if all that the store still has agrees with it; else None.

    Parameters
    ----------
    store, other : Store
    place, name : str
        Of a checkpoint its ``zarr.json``, or of a sealed folder its manifest.
    """
    fits = _manifest_fits if name == MANIFEST else _identity_fits
    try:
        return other.at(place).get(name) if fits(store, other, place) else None
    except GradstoreError:  # damaged there too
        return None


def _identity_fits(store: Store, other: Store, place: str) -> bool:
    """Whether the checkpoint's sealed data sets were made with it; without any, whether it has the same adapter."""
    identity, ours = read_identity(other.at(place)), store.folder.at(place)
    if identity is None:
        return False
    sealed = [manifest for name in begun(ours) if (manifest := _intact(ours.at(name)))]
    if sealed:
        return all(manifest.facts.get("checkpoint") == comparability(identity) for manifest in sealed)
    adapter, theirs = _intact(ours.at(ADAPTER)), _intact(other.at(place).at(ADAPTER))
    return adapter is not None and theirs is not None and adapter.digest == theirs.digest


def _manifest_fits(store: Store, other: Store, place: str) -> bool:
    """Whether it is the manifest that others name; where none does, whether all objects that are here are its own."""
    manifest, ours = read_manifest(other.at(place)), store.folder.at(place)
    if manifest is None or not _belongs(store, place, manifest):
        return False
    named = (
        []
        if _kind(place) != "data set"
        else [found.facts.get("dataset") for name in begun(ours) if (found := _intact(ours.at(name)))]
    )
    if named:
        return all(each == manifest.digest for each in named)
    there = [name for name in manifest.objects if ours.size(name) is not None]
    return bool(there) and all(Entry.of(ours.get(name) or b"") == manifest.objects[name] for name in there)


def _belongs(store: Store, place: str, manifest: Manifest) -> bool:
    """Whether a manifest names what lies above its folder, as far as that can be read."""
    above = store.folder.at(place.rpartition("/")[0])
    if _kind(place) == "direction":
        columns = _intact(above)
        return columns is None or manifest.facts.get("dataset") == columns.digest
    if _kind(place) == "data set":
        try:
            identity = read_identity(above)
        except GradstoreError:
            identity = None
        return identity is None or manifest.facts.get("checkpoint") == comparability(identity)
    return True


def _kind(place: str) -> str:
    parts = place.split("/")
    if parts[0] != CHECKPOINTS or parts[-1] == ADAPTER:
        return ""
    return {3: "data set", 4: "direction"}.get(len(parts), "")


def _intact(folder: Folder) -> Manifest | None:
    """A manifest; None if it is missing or damaged."""
    try:
        return read_manifest(folder)
    except GradstoreError:
        return None
