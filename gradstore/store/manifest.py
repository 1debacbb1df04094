"""The manifest: every object's size and checksum, written last. A folder with one is sealed."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, GradstoreError, IncompatibleError
from gradstore.records import canonical_json, digest
from gradstore.storage import Folder
from gradstore.store.arrays import (
    LARGEST_OBJECT,
    ArraySpec,
    decode_chunk,
    parse_array,
)
from gradstore.store.layout import FORMAT, MANIFEST, METADATA, parse_group, parse_json, read_document

__all__ = [
    "Entry",
    "Manifest",
    "Sealed",
    "check_counts",
    "check_format",
    "is_sealed",
    "read_manifest",
]


_OBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*", re.ASCII)
_LONGEST = 1024


class Entry(NamedTuple):
    """What the manifest knows of an object."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Entry:
        """Measure `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())

    def damage(self, data: bytes | None) -> str:
        """What is wrong with the bytes found; empty if nothing is."""
        if data is None:
            return "is missing"
        if len(data) != self.size:
            return f"has {len(data)} bytes instead of {self.size}"
        return "" if Entry.of(data) == self else "does not match its checksum"


def check_format(version: object, where: object) -> None:
    """Refuse what another format wrote."""
    if type(version) is not int or version < 1:
        raise CorruptError(f"{where} gives no format version: restore it from a copy of the store")
    if version > FORMAT:
        raise IncompatibleError(
            f"{where} is of format {version}, this gradstore reads format {FORMAT}: upgrade gradstore"
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """A sealed folder's table of contents.

    Attributes
    ----------
    objects : Mapping from str to Entry
        By name relative to the folder; the manifest itself is not among them.
    facts : Mapping
        What else is known at sealing (JSON values), such as the number of valid rows.
    stated, document : str, bytes
        Digest that it bears and its bytes, if it was read: a later version may have told more of each object.
    """

    objects: Mapping[str, Entry]
    facts: Mapping[str, Any] = field(default_factory=dict)
    stated: str = ""
    document: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(entry.size for entry in self.objects.values())

    def _body(self) -> dict[str, Any]:
        objects = {
            name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in self.objects.items()
        }
        return {"format": FORMAT, "objects": objects, **self.facts}

    @property
    def digest(self) -> str:
        """Digest of everything else in the manifest, and so of every object."""
        return self.stated or digest(canonical_json(self._body()))

    def to_bytes(self) -> bytes:
        """Canonical JSON; as it was, if it was read."""
        return self.document or canonical_json({**self._body(), "digest": self.digest})


def is_sealed(folder: Folder) -> bool:
    """Whether a folder has a manifest."""
    return folder.size(MANIFEST) is not None


def read_manifest(folder: Folder) -> Manifest | None:
    """The manifest of a folder; None if it is not sealed.

    Raises
    ------
    CorruptError
        If it is damaged.
    IncompatibleError
        If a newer format wrote it.
    """
    data = read_document(folder, MANIFEST)
    if data is None:
        return None
    where = folder.where(MANIFEST)
    body = parse_json(data, where)
    check_format(body.get("format"), where)
    stated = body.pop("digest", None)
    if not isinstance(stated, str) or digest(canonical_json(body)) != stated:
        raise CorruptError(f"{where} does not match its own digest: restore it from a copy of the store")
    del body["format"]
    objects = body.pop("objects", None)
    if not isinstance(objects, dict):
        raise CorruptError(f"{where} lists no objects: restore it from a copy of the store")
    return Manifest({name: _entry(name, each, where) for name, each in objects.items()}, body, stated, data)


def _entry(name: str, stored: object, where: object) -> Entry:
    """What a manifest says of an object; its name must lie below the manifest's folder."""
    if ".." in name or not _OBJECT.fullmatch(name) or len(name) > _LONGEST:
        raise CorruptError(f"{where} names {_short(name)}, which leads out of the store or is no name in it")
    match stored:
        case {"bytes": int(size), "sha256": str(sha256)} if 0 <= size <= LARGEST_OBJECT:
            return Entry(size, sha256)
    raise CorruptError(
        f"{where} does not give the size and checksum of {name}: restore it from a copy of the store"
    )


def check_counts(manifest: Manifest, rows: int, where: object) -> None:
    """Refuse a data set's manifest whose numbers of rows are none (of at most `rows`)."""
    facts = manifest.facts
    reasons = facts.get("reasons", {})
    counts = [facts.get("valid", 0), facts.get("truncated", 0)]
    counts += reasons.values() if isinstance(reasons, dict) else [None]
    sources = facts.get("sources")
    counts += [] if sources is None else sources.values() if isinstance(sources, dict) else [None]
    if not all(type(count) is int and 0 <= count <= rows for count in counts):
        raise CorruptError(f"{where} counts no rows: restore it from a copy of the store")


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}…")


class Sealed:
    """Reads the objects of a sealed folder by its manifest, so that nothing missing passes for zeros."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def entry(self, name: str) -> Entry:
        """What the manifest knows of an object."""
        if name not in self.manifest.objects:
            raise self.damage(name, "is not in the manifest")
        return self.manifest.objects[name]

    def damage(self, name: str, what: str) -> CorruptError:
        """The error for a damaged object."""
        return CorruptError(
            f"{self.folder.where(name)} {what}: restore it from a copy of the store, "
            f"or remove {self.folder} and make it again"
        )

    def get(self, name: str) -> bytes:
        """Bytes of an object, checked against the manifest."""
        entry = self.entry(name)
        size = self.folder.size(name) if self.folder.path is not None else entry.size
        if size not in (None, entry.size):  # told before it is read: it may be of any size
            raise self.damage(name, f"has {size} bytes instead of {entry.size}")
        data = self.folder.fetch(name, entry)
        what = entry.damage(data)
        if what and self.folder.forget(entry):  # only our copy was damaged
            data = self.folder.fetch(name, entry)
            what = entry.damage(data)
        if data is None or what:
            raise self.damage(name, what)
        return data

    def group(self, name: str = METADATA) -> dict[str, Any]:
        """Our attributes of a group."""
        return parse_group(self.get(name), self.folder.where(name))

    def spec(self, name: str, expected: ArraySpec | None = None) -> ArraySpec:
        """What an array is; `CorruptError` if it is not the `expected` one."""
        document = f"{name}/{METADATA}"
        spec = parse_array(self.get(document), self.folder.where(document))
        if spec.chunks > len(self.manifest.objects):
            raise self.damage(document, f"describes {spec.chunks} chunks, more than there are objects")
        if expected is not None and spec != expected:
            raise self.damage(
                document, f"describes {spec.dtype} {spec.shape}, not {expected.dtype} {expected.shape}"
            )
        return spec

    def chunk(self, name: str, spec: ArraySpec, index: int) -> npt.NDArray[Any]:
        """Decoded rows of a chunk."""
        key = f"{name}/{spec.key(index)}"
        return decode_chunk(spec, index, self.get(key), self.folder.where(key))

    def mapped(self, name: str, spec: ArraySpec, index: int) -> npt.NDArray[Any]:
        """Rows of an uncompressed chunk, mapped from its file; the size is checked, the checksum is not."""
        key = f"{name}/{spec.key(index)}"
        entry = self.entry(key)
        if entry.size != spec.object_bytes:
            raise self.damage(key, f"has {entry.size} bytes in the manifest instead of {spec.object_bytes}")
        path = self.folder.file(key, entry)
        if path is None:
            raise self.damage(key, "is missing")
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != entry.size:
                    raise self.damage(key, f"has {size} bytes instead of {entry.size}")
                view = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise GradstoreError(f"cannot read {path}: {error.strerror or error}") from error
        count = math.prod(spec.chunk_shape)
        numbers = np.frombuffer(view, np.dtype(spec.dtype).newbyteorder("<"), count)
        return numbers.reshape(spec.chunk_shape)[: len(spec.rows(index))]

    def _check_size(self, key: str, spec: ArraySpec) -> None:
        """Refuse a chunk that cannot be as large as it should be."""
        entry = self.entry(key)
        if spec.compression == "none" and entry.size != spec.object_bytes:
            raise self.damage(key, f"has {entry.size} bytes in the manifest instead of {spec.object_bytes}")
        if self.folder.path is not None and self.folder.size(key) is None:
            raise self.damage(key, "is missing")

    def array(self, name: str, expected: ArraySpec | None = None) -> npt.NDArray[Any]:
        """A whole array."""
        spec = self.spec(name, expected)
        for index in range(spec.chunks):  # before there is room for them
            self._check_size(f"{name}/{spec.key(index)}", spec)
        try:
            whole = np.zeros(spec.shape, dtype=spec.dtype)
        except MemoryError as error:
            raise GradstoreError(f"{self.folder.where(name)} does not fit into memory: {error}") from error
        for index in range(spec.chunks):
            rows = spec.rows(index)
            whole[rows.start : rows.stop] = self.chunk(name, spec, index)
        return whole
