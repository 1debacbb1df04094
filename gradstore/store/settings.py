"""What a data set and a checkpoint group say of themselves in their ``zarr.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gradstore.errors import CorruptError
from gradstore.records import CheckpointIdentity, canonical_json, digest
from gradstore.store.arrays import ArraySpec, rows_per_chunk
from gradstore.store.encodings import ENCODINGS, encoding
from gradstore.store.files import Folder
from gradstore.store.layout import METADATA, check_name, group_document, parse_group, plain_json

__all__ = ["Settings", "comparability", "identity_document", "read_identity"]

_PROVENANCE = "provenance"
_DECISIVE = (
    "base_digest",
    "adapter_digest",
    "tokenizer_digest",
    "template_digest",
    "parameters",
    "projection",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides a data set's bytes beside its content.

    Attributes
    ----------
    rows, dim : int
    chunk_rows : int
        Rows of a chunk.
    encoding : str
    directions : tuple of str
        Sorted.
    content_digest : str
        Digest of the rows it is made from.
    attributes : Mapping
        The caller's JSON values. All but ``provenance`` must be the same when a run is resumed; that one
        (versions of software, paths) is kept from the first run.
    """

    rows: int
    dim: int
    chunk_rows: int
    encoding: str
    directions: tuple[str, ...]
    content_digest: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunks(self) -> list[range]:
        """Rows of each chunk."""
        spec = self.gradient
        return [spec.rows(index) for index in range(spec.chunks)]

    @property
    def gradient(self) -> ArraySpec:
        """The array that holds the codes of a direction."""
        return ArraySpec((self.rows, self.dim), self.chunk_rows, encoding(self.encoding).dtype)

    def column(self, dtype: str) -> ArraySpec:
        """The array of a column of numbers."""
        probe = ArraySpec((self.rows,), 1, dtype)
        return ArraySpec((self.rows,), rows_per_chunk(self.rows, probe.chunk_bytes), dtype)

    def document(self) -> bytes:
        """``zarr.json`` of the data set's group."""
        return group_document(asdict(self))

    @classmethod
    def parse(cls, stored: Mapping[str, Any], where: object) -> Settings:
        """Inverse of `document`; fields of later versions are ignored.

        Raises
        ------
        CorruptError
            If something is missing or cannot be.
        """
        try:
            known = {f.name: stored[f.name] for f in fields(cls)}
            known["directions"] = tuple(check_name("direction", name) for name in known["directions"])
            settings = cls(**known)
            sizes = (settings.rows, settings.dim, settings.chunk_rows)
            whole = (
                all(type(size) is int and size > 0 for size in sizes) and settings.chunk_rows <= settings.rows
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{where} does not describe a data set ({error})") from None
        if not whole or settings.encoding not in ENCODINGS or not isinstance(settings.attributes, dict):
            raise CorruptError(
                f"{where} does not describe a data set: {sizes}, encoding {settings.encoding!r}"
            )
        return settings

    def differences(self, other: Settings) -> list[str]:
        """One phrase for every setting in which `other` differs from these stored ones."""
        mine, theirs = self._flat(), other._flat()
        return [
            f"{name} is {_short(mine.get(name))} there, {_short(theirs.get(name))} now"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]

    def _flat(self) -> dict[str, Any]:
        plain = asdict(self)
        attributes = plain.pop("attributes")
        attributes.pop(_PROVENANCE, None)
        return {**plain, **{f"attribute {name}": value for name, value in attributes.items()}}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}…"


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
    data = folder.get(METADATA)
    if data is None:
        return None
    where = folder.root / METADATA
    stored = parse_group(data, where)
    plain = stored.get("identity")
    if not isinstance(plain, dict) or digest(canonical_json(plain)) != stored.get("digest"):
        raise CorruptError(
            f"{where} holds no intact identity of a checkpoint: restore it from a copy of the store"
        )
    try:
        return CheckpointIdentity.from_json(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{where} holds no identity of a checkpoint ({error})") from None
