"""What an overlay lies on: another store, read only, and the digests that it had when they were tied together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gradstore.errors import CorruptError, IncompatibleError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.storage import Folder, open_folder
from gradstore.store.identity import comparability
from gradstore.store.layout import METADATA

__all__ = ["Base", "check_pin", "read_base"]

MEMBER = "base"
"""Member of the root's attributes that makes a store an overlay."""


@dataclass(frozen=True, slots=True)
class Pins:
    """What a base had when the overlay was made; what it has beside that is new, and read as it is.

    Attributes
    ----------
    checkpoints : Mapping from str to str
        Digest of what makes each checkpoint's rows comparable.
    datasets : Mapping from str to Mapping
        By ``CHECKPOINT/DATASET``, digests of the manifests: by direction, and by ``""`` for the columns.
    """

    checkpoints: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Base:
    """The store below an overlay."""

    folder: Folder
    known: Pins
    overlay: str
    """How messages call the overlay."""

    def pins(self, checkpoint: str, dataset: str) -> Mapping[str, str]:
        """Digests that a data set's manifests must have."""
        return self.known.datasets.get(f"{checkpoint}/{dataset}", {})

    def holds(self, folder: Folder) -> bool:
        """Whether a folder of a store is one of the base's."""
        return str(folder).startswith(f"{self.folder}/")

    def check_identity(self, name: str, ours: CheckpointIdentity, theirs: CheckpointIdentity) -> None:
        """Refuse a checkpoint that is another than it was, or than the overlay's of that name."""
        digest = comparability(theirs)
        if comparability(ours) != digest:
            raise IncompatibleError(
                f"checkpoint {name!r} of {self.overlay} is not that of its base {self.folder} "
                f"({'; '.join(theirs.differences(ours))}): make a new overlay"
            )
        if self.known.checkpoints.get(name, digest) != digest:
            raise changed(f"checkpoint {name!r} of {self.folder}")

    def check_root(self, theirs: Mapping[str, Any]) -> None:
        """Refuse to lie on an overlay."""
        if MEMBER in theirs:
            raise UsageError(f"{self.folder} is an overlay itself: make yours on what it lies on")

    def member(self) -> dict[str, Any]:
        """What the overlay's root keeps of it (JSON values)."""
        return {"url": str(self.folder), **asdict(self.known)}


def changed(what: str) -> IncompatibleError:
    """The error for a base that is not what it was."""
    return IncompatibleError(
        f"{what} has changed since the overlay was made on it, and what was made from it no longer fits: "
        "make a new overlay with `gradstore store new`"
    )


def check_pin(pinned: Mapping[str, str], name: str, digest: str, folder: Folder) -> None:
    """Refuse a folder of a base that is not what it was."""
    if pinned.get(name, digest) != digest:
        raise changed(str(folder))


def read_base(root: Mapping[str, Any], overlay: Folder) -> Base | None:
    """The base that a store's root names; None if the store is no overlay.

    Raises
    ------
    IncompatibleError
        If the store is not on this machine: what lies elsewhere does not decide what is opened here.
    CorruptError
        If the member is not one of format 1.
    """
    member = root.get(MEMBER)
    if member is None:
        return None
    if overlay.path is None:
        raise IncompatibleError(f"{overlay} is an overlay and of use only on the machine where it was made")
    match member:
        case {"url": str(url), "checkpoints": dict(checkpoints), "datasets": dict(datasets)} if all(
            isinstance(each, dict) for each in datasets.values()
        ):
            return Base(open_folder(url), Pins(checkpoints, datasets), str(overlay))
    raise CorruptError(f"{overlay.where(METADATA)} names no base: make a new overlay")
