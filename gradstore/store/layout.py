"""Names, places and JSON documents of format 1; see docs/format.md."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradstore.errors import CorruptError, UsageError
from gradstore.records import canonical_json

if TYPE_CHECKING:
    from gradstore.storage import Folder

__all__ = [
    "ADAPTER",
    "ARTEFACTS",
    "CHECKPOINTS",
    "COLUMNS",
    "COMING",
    "CONTENT_BYTES",
    "FORMAT",
    "LARGEST_DOCUMENT",
    "LOCK",
    "MANIFEST",
    "METADATA",
    "NUMBER_COLUMNS",
    "PARTS",
    "STRING_COLUMNS",
    "bytes_text",
    "check_name",
    "claim_name",
    "group_document",
    "is_claim",
    "is_name",
    "parse_group",
    "parse_json",
    "plain_json",
    "read_document",
]

FORMAT = 1
CHECKPOINTS = "checkpoints"
ARTEFACTS = ("graphs", "selections")
COLUMNS = "columns"
ADAPTER = "adapter"
PARTS = "parts"
METADATA = "zarr.json"
MANIFEST = "manifest.json"
LOCK = ".lock"
COMING = ".coming"
"""In a folder to which something is being copied: the digest of the manifest that it will have."""
LARGEST_DOCUMENT = 64 << 20
"""Bytes of a JSON document that a reader accepts: what a manifest of a quarter of a million objects needs."""

STRING_COLUMNS = ("id", "source", "subtask", "reason", "record")
NUMBER_COLUMNS = {
    "loss": "float32",
    "tokens": "int32",
    "valid": "bool",
    "truncated": "bool",
    "contents": "uint8",
}
CONTENT_BYTES = 12
"""Numbers that `contents` has in a row; all other columns have one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)
_RESERVED = (ADAPTER, COLUMNS, PARTS, METADATA, MANIFEST)
_DEEPEST = 64
_CLAIM = re.compile(r"\.[0-9]+\.lock", re.ASCII)


def is_name(name: str) -> bool:
    """Whether `name` may be a folder of the store."""
    return _NAME.fullmatch(name) is not None and name not in _RESERVED


def check_name(kind: str, name: str) -> str:
    """Return `name`, or refuse it: names become folders on every file system and bucket.

    Raises
    ------
    UsageError
        If it is empty, long, reserved, or has other characters than letters, digits and ``._+-``.
    """
    if name in _RESERVED:
        raise UsageError(f"{kind} name {name!r} is reserved; choose another")
    if not is_name(name):
        raise UsageError(
            f"{kind} name {name!r} cannot be used: up to 128 letters, digits and ._+-, a letter or digit first"
        )
    return name


def claim_name(chunk: int) -> str:
    """Name of the lock file of a chunk, in the data set's folder."""
    return f".{chunk}{LOCK}"


def is_claim(name: str) -> bool:
    """Whether a file is the lock of a chunk."""
    return _CLAIM.fullmatch(name) is not None


def bytes_text(size: float) -> str:
    """A size for people.

    Examples
    --------
    >>> bytes_text(8 << 20)
    '8.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def read_document(folder: Folder, name: str) -> bytes | None:
    """Bytes of a ``zarr.json`` or ``manifest.json``; None if there is none.

    Raises
    ------
    CorruptError
        If it is larger than any that is written.
    """
    # Elsewhere than on a disk a second request would cost more than it guards against.
    size = folder.size(name) if folder.path is not None else None
    if size is not None and size > LARGEST_DOCUMENT:
        raise CorruptError(f"{folder.where(name)} has {bytes_text(size)}, more than any document has")
    return folder.get(name)


def parse_json(data: bytes, where: object) -> dict[str, Any]:
    """Parse the JSON object stored at `where`; anything else is a `CorruptError`.

    Strictly: UTF-8, no name twice in an object, no NaN or infinity, no half characters, nested 64 deep at most.
    """
    try:
        if len(data) > LARGEST_DOCUMENT:
            raise ValueError(f"{bytes_text(len(data))}, more than any document has")
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_not_finite, parse_float=_finite
        )
        check_depth(value)
        if b"\\u" in data:
            canonical_json(value)  # an escape can stand for half a character
    except (ValueError, RecursionError) as error:
        raise CorruptError(
            f"{where} is no valid JSON ({error}): restore it from a copy of the store"
        ) from None
    if not isinstance(value, dict):
        raise CorruptError(f"{where} holds no JSON object: restore it from a copy of the store")
    return value


def check_depth(value: Any) -> None:
    """`ValueError` if a JSON value is nested so deep that functions that call themselves would fail on it."""
    level = [value]
    for _ in range(_DEEPEST):
        nested = [each for each in level if isinstance(each, dict | list)]
        if not nested:
            return
        level = [child for each in nested for child in (each.values() if isinstance(each, dict) else each)]
    raise ValueError(f"nested more than {_DEEPEST} deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text)


def plain_json(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """`value` as any JSON reader will return it.

    Raises
    ------
    UsageError
        If it holds NaN, infinities, broken Unicode or objects that JSON does not know.
    """
    try:
        plain = json.loads(json.dumps(dict(value), allow_nan=False))
        canonical_json(plain)
        check_depth(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} cannot be written as JSON: {error}") from None
    return plain  # type: ignore[no-any-return]


def group_document(attributes: Mapping[str, Any] | None = None) -> bytes:
    """``zarr.json`` of a group; ours is the attribute ``gradstore``."""
    ours = {} if attributes is None else {"gradstore": dict(attributes)}
    return canonical_json({"zarr_format": 3, "node_type": "group", "attributes": ours})


def parse_group(data: bytes, where: object) -> dict[str, Any]:
    """Attribute ``gradstore`` of a group's ``zarr.json``; empty for a group that is only a folder."""
    document = parse_json(data, where)
    attributes = document.get("attributes")
    ours = attributes.get("gradstore", {}) if isinstance(attributes, dict) else None
    if document.get("zarr_format") != 3 or document.get("node_type") != "group" or not isinstance(ours, dict):
        raise CorruptError(f"{where} is no Zarr 3 group document: restore it from a copy of the store")
    return ours
