"""Checks every stored byte against the manifests, and whether what is stored can be."""

from __future__ import annotations

from gradstore.errors import GradstoreError
from gradstore.inspection.findings import Problem
from gradstore.inspection.inspection import Inspection, sealed_folders
from gradstore.progress import Progress, silent
from gradstore.storage import Location
from gradstore.store.manifest import read_manifest
from gradstore.store.store import Store, open_store

__all__ = ["inspect", "verify"]


def verify(path: Location, *, progress: Progress = silent) -> list[Problem]:
    """Read a whole store, compare it with its manifests, and look whether its numbers can be.

    Found are objects that are damaged, missing or belong to nothing; data sets and directions that are not finished;
    data sets that do not belong to their checkpoint, and directions that do not belong to their data set; counts,
    ids, norms and codes that contradict each other; graphs with impossible neighbours, or built from rows that have
    changed since. Of an overlay its own content is checked, and whether its base is what it was. Vectors are read a
    chunk at a time.

    Parameters
    ----------
    path : path or URL
    progress : Progress, optional
        ``progress(total, unit, label)`` gives a bar, of bytes.

    Returns
    -------
    list of Problem
        Empty if all is well.

    Raises
    ------
    StoreNotFoundError, IncompatibleError, CorruptError
        If the store cannot be opened at all.
    """
    return inspect(open_store(path), progress).problems


def inspect(store: Store, progress: Progress) -> Inspection:
    """One pass over a store."""
    total = _bytes(store)
    with progress(total, "bytes", "verify") as bar:
        found = Inspection(store, bar, total)
        found.run()
    return found


def _bytes(store: Store) -> int:
    """What the manifests say that there is to read; of a damaged one nothing, since it will be told."""
    total = 0
    for place in sealed_folders(Store(store.folder)):
        try:
            manifest = read_manifest(store.folder.at(place))
        except GradstoreError:
            continue
        total += manifest.size if manifest else 0
    return total
