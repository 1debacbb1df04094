"""Creates a store, and the groups of checkpoints in it."""

from __future__ import annotations

import os
from pathlib import Path

from gradstore.errors import CorruptError, IncompatibleError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.store.files import Folder
from gradstore.store.identity import identity_document, read_identity
from gradstore.store.layout import CHECKPOINTS, FORMAT, LOCK, METADATA, group_document
from gradstore.store.lock import Lock
from gradstore.store.store import Store, open_store

__all__ = ["check_comparable", "create_store", "join_checkpoint"]


def create_store(path: str | os.PathLike[str]) -> Store:
    """Open a store, or create it where there is nothing yet.

    Raises
    ------
    UsageError
        If something else is at `path`.
    StoreWriteError
        If the folder cannot be made.
    """
    folder = Folder(Path(path))
    names = (
        folder.names()
    )  # listed before looking for the store, which another process may create this moment
    if folder.get(METADATA) is None:
        if folder.root.is_file() or any(not name.startswith(".") for name in names):
            raise UsageError(f"{path} exists and is no gradstore store: choose another path")
        with Lock(folder, LOCK):
            if folder.get(METADATA) is None:
                folder.put(METADATA, group_document({"format": FORMAT}))
    return open_store(path)


def join_checkpoint(store: Store, checkpoint: str, identity: CheckpointIdentity) -> CheckpointIdentity:
    """Create a checkpoint group, or make sure that the one there is of the same checkpoint.

    Returns
    -------
    CheckpointIdentity
        The stored one.

    Raises
    ------
    IncompatibleError
        If the group's rows cannot be compared with rows of `identity`; the message lists what differs.
    """
    place = store.folder.at(f"{CHECKPOINTS}/{checkpoint}")
    with Lock(store.folder, LOCK):
        if store.folder.get(f"{CHECKPOINTS}/{METADATA}") is None:
            store.folder.put(f"{CHECKPOINTS}/{METADATA}", group_document())
        if place.get(METADATA) is None:
            place.put(METADATA, identity_document(identity))
    stored = read_identity(place)
    if stored is None:
        raise CorruptError(f"{place.root / METADATA} is gone: restore it from a copy of the store")
    check_comparable(store.path, checkpoint, stored, identity)
    return stored


def check_comparable(
    path: str | os.PathLike[str], checkpoint: str, stored: CheckpointIdentity, identity: CheckpointIdentity
) -> None:
    """Refuse rows of another checkpoint than that whose rows are stored under the same name.

    Parameters
    ----------
    path : path
        The store, for the message.
    checkpoint : str
        Name of the checkpoint group.
    stored, identity : CheckpointIdentity
        The group's, and that of the rows to be written.

    Raises
    ------
    IncompatibleError
        The message lists what differs.
    """
    differences = stored.differences(identity)
    if differences:
        raise IncompatibleError(
            f"checkpoint {checkpoint!r} of {path} holds rows that cannot be compared with these "
            f"({'; '.join(differences)}): use another store, or rename the checkpoint folder"
        )
