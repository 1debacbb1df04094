"""Makes an overlay: a store of one's own on another that is only read."""

from __future__ import annotations

from gradstore.errors import IncompleteError, UsageError
from gradstore.storage import Location, open_folder
from gradstore.store.base import Base, Pins
from gradstore.store.identity import comparability
from gradstore.store.layout import LOCK, METADATA
from gradstore.store.root import root_document
from gradstore.store.store import Store, open_store

__all__ = ["new_store"]


def new_store(location: Location, *, on: Location | None = None) -> Store:
    """Create an empty store, or an overlay on another store.

    An overlay shows everything that its base has as if it were its own; whatever is made (targets, graphs, selections)
    goes into the overlay, and the base is never written. The digests of all that the base has now are kept: should any
    of it change, it is refused. What the base gains later is seen as well.

    Parameters
    ----------
    location : path or URL
        Where nothing is yet. An overlay is a folder on this machine.
    on : path or URL, optional
        The base.

    Returns
    -------
    Store

    Raises
    ------
    UsageError
        If something is at `location`, or the base is an overlay.
    StoreNotFoundError
        If there is no store to lie on.

    Examples
    --------
    >>> from gradstore.testing import tiny_store
    >>> _ = tiny_store("theirs.zarr")
    >>> new_store("mine.zarr", on="theirs.zarr").datasets()
    ('pool', 'target')
    """
    folder = open_folder(location)
    if folder.names() or (folder.path is not None and folder.path.exists() and not folder.path.is_dir()):
        raise UsageError(f"{folder} exists: choose another path")
    if on is not None and folder.path is None:
        raise UsageError(f"{folder}: an overlay is a folder on this machine; choose a path")
    root = root_document(_base(str(folder), on).member() if on is not None else None)
    with folder.lock(LOCK, f"another process makes {folder}: wait for it to end"):
        folder.put(METADATA, root)
    return open_store(location)


def _base(overlay: str, on: Location) -> Base:
    folder = open_folder(on)
    if folder.path is not None:
        folder = open_folder(folder.path.resolve())  # an overlay may be opened from anywhere
    store = open_store(str(folder))
    if store.base is not None:
        raise UsageError(f"{folder} is an overlay itself: make yours on {store.base.folder}")
    return Base(folder, _pins(store), overlay)


def _pins(store: Store) -> Pins:
    checkpoints = {name: comparability(store.identity(name)) for name in store.checkpoints}
    datasets = {}
    for checkpoint in checkpoints:
        for name in store.datasets(checkpoint):
            try:
                dataset = store.dataset(name, checkpoint)
            except IncompleteError:  # it may be finished later, and is new then
                continue
            datasets[f"{checkpoint}/{name}"] = {
                "": dataset.digest,
                **{each: dataset.digest_of(each) for each in dataset.directions},
            }
    return Pins(checkpoints, datasets)
