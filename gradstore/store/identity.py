"""What a checkpoint group says of the checkpoint that its rows were made with."""

from __future__ import annotations

import math

from gradstore.errors import CorruptError
from gradstore.records import CheckpointIdentity, canonical_json, digest
from gradstore.storage import Folder
from gradstore.store.layout import METADATA, group_document, parse_group, plain_json, read_document

__all__ = ["comparability", "identity_document", "read_identity"]

_DECISIVE = (
    "base_digest",
    "adapter_digest",
    "tokenizer_digest",
    "template_digest",
    "parameters",
    "projection",
)


def comparability(identity: CheckpointIdentity) -> str:
    """Digest of what `CheckpointIdentity.differences` compares; a sealed data set is tied to it."""
    plain = identity.to_json()
    return digest(canonical_json({name: plain[name] for name in _DECISIVE}))


def identity_document(identity: CheckpointIdentity) -> bytes:
    """``zarr.json`` of a checkpoint group."""
    plain = plain_json(identity.to_json(), "the checkpoint's identity")
    return group_document({"identity": plain, "digest": digest(canonical_json(plain))})


def read_identity(folder: Folder) -> CheckpointIdentity | None:
    """Identity of a checkpoint group; None if there is no group.

    Raises
    ------
    CorruptError
        If it is damaged.
    """
    data = read_document(folder, METADATA)
    if data is None:
        return None
    where = folder.where(METADATA)
    stored = parse_group(data, where)
    plain = stored.get("identity")
    if not isinstance(plain, dict) or digest(canonical_json(plain)) != stored.get("digest"):
        raise CorruptError(
            f"{where} holds no intact identity of a checkpoint: restore it from a copy of the store"
        )
    try:
        identity = CheckpointIdentity.from_json(plain)
        _check(identity)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"{where} holds no identity of a checkpoint ({error})") from None
    return identity


def _check(identity: CheckpointIdentity) -> None:
    """`ValueError` for a member of another type than it should have."""
    names = ("base", "base_revision", "base_digest", "adapter_digest", "tokenizer_digest", "template_digest")
    texts = [getattr(identity, name) for name in names]
    numbers = (identity.step, identity.projection.dim, identity.projection.seed)
    if not all(isinstance(text, str) for text in (*texts, identity.projection.kind)):
        raise ValueError("a name or digest is no text")
    if not all(type(number) is int and abs(number) < 1 << 64 for number in numbers):
        raise ValueError("step, dim or seed is no whole number")
    if type(identity.weight) not in (int, float) or not 0 <= identity.weight < math.inf:
        raise ValueError(f"the weight is {identity.weight!r}")
    if not isinstance(identity.lora, dict):
        raise ValueError("lora is no object")
