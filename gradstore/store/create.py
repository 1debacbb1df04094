"""Creates a store, and the groups of checkpoints in it."""

from __future__ import annotations

import os
from dataclasses import asdict

from gradstore.errors import IncompatibleError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.storage import open_folder
from gradstore.store.identity import identity_document
from gradstore.store.layout import CHECKPOINTS, LOCK, METADATA, group_document
from gradstore.store.root import root_document
from gradstore.store.store import Store, open_store

__all__ = ["check_comparable", "create_store", "join_checkpoint"]

EXTERNAL = "external"
_SPELLED = {"kind": "projection"}
_TOLD = (
    ("adapter_digest", "adapter", ""),
    ("base_digest", "base model", "name the same with `--base`"),
    ("tokenizer_digest", "tokenizer", "put the same beside the checkpoint"),
    ("template_digest", "chat template", "give the same `--chat-template`"),
    ("parameters", "set of trained parameters", ""),
)


def create_store(path: str | os.PathLike[str]) -> Store:
    """Open a store, or create it where there is nothing yet.

    Parameters
    ----------
    path : path or URL
        Where it lies.

    Returns
    -------
    Store

    Raises
    ------
    UsageError
        If something else is at `path`.
    StoreWriteError
        If the folder cannot be made.
    """
    folder = open_folder(path)
    names = (
        folder.names()
    )  # listed before looking for the store, which another process may create this moment
    if folder.get(METADATA) is None:
        if (folder.path is not None and folder.path.is_file()) or any(
            not name.startswith(".") for name in names
        ):
            raise UsageError(f"{folder} exists and is no gradstore store: choose another path")
        with folder.lock(LOCK):
            if folder.get(METADATA) is None:
                folder.put(METADATA, root_document())
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
    with store.folder.lock(LOCK):
        if store.folder.get(f"{CHECKPOINTS}/{METADATA}") is None:
            store.folder.put(f"{CHECKPOINTS}/{METADATA}", group_document())
        if place.get(METADATA) is None:
            known = checkpoint in store.checkpoints  # in the base of an overlay
            place.put(METADATA, identity_document(store.identity(checkpoint) if known else identity))
    stored = store.identity(checkpoint)
    check_comparable(store.location, checkpoint, stored, identity)
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
    if stored.differences(identity):
        what, cure = _refusal(stored, identity)
        raise IncompatibleError(
            f"checkpoint {checkpoint!r} of {path} holds rows that cannot be compared with these "
            f"(the store has {what}): {cure}use another store"
        )


def _refusal(stored: CheckpointIdentity, identity: CheckpointIdentity) -> tuple[str, str]:
    """What differs, and what makes it the same."""
    theirs, ours = asdict(stored.projection), asdict(identity.projection)
    names = [name for name in theirs if theirs[name] != ours[name]]
    what = [f"{_SPELLED.get(name, name)} {theirs[name]}, this command {ours[name]}" for name in names]
    told = [(text, cure) for name, text, cure in _TOLD if getattr(stored, name) != getattr(identity, name)]
    what += [f"another {text}" for text, _ in told]
    if stored.adapter_digest != identity.adapter_digest:  # then all else may differ for this
        cures = ["rename the checkpoint folder"]
    else:
        options = [f"--{_SPELLED.get(name, name)} {theirs[name]}" for name in names]
        imported = EXTERNAL in (theirs["kind"], ours["kind"])  # no option makes vectors the same
        cures = [f"add `{' '.join(options)}`"] if options and not imported else []
        cures += [cure for _, cure in told if cure]
    return "; ".join(what), ", or ".join([" and ".join(cures), ""]) if cures else ""
