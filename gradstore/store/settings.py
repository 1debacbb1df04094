"""What a data set and each of its directions say of themselves in their ``zarr.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from gradstore.errors import CorruptError, UsageError
from gradstore.records import canonical_json
from gradstore.store.arrays import CHUNK_BYTES, COMPRESSIONS, LARGEST_CHUNK, ArraySpec, rows_per_chunk
from gradstore.store.encodings import ENCODINGS, encoding
from gradstore.store.layout import CONTENT_BYTES, NUMBER_COLUMNS, check_name, group_document, plain_json
from gradstore.store.licence import licence_differences

__all__ = ["Settings", "VectorSettings", "check_chunks", "wanted"]

_PROVENANCE = "provenance"
MOST_CHUNKS = 1 << 18
"""Chunks of a data set: more do not fit into a manifest."""


@dataclass(frozen=True, slots=True)
class VectorSettings:
    """How the rows of a direction are kept.

    Attributes
    ----------
    dim : int
        Numbers of a row.
    encoding : str
    compression : {"none", "zstd", "blosc"}
        Of the codes.
    """

    dim: int
    encoding: str
    compression: str = "none"

    @property
    def row_bytes(self) -> int:
        """Bytes of an encoded row, not compressed."""
        return encoding(self.encoding).row_bytes(self.dim)

    @property
    def scalars(self) -> tuple[str, ...]:
        """What is kept of each row beside its codes."""
        return ("norm", "scale") if encoding(self.encoding).scaled else ("norm",)

    def gradient(self, settings: Settings) -> ArraySpec:
        """The array that holds the codes."""
        kind = encoding(self.encoding)
        shape = (settings.rows, kind.width(self.dim))
        return ArraySpec(shape, settings.chunk_rows, kind.dtype, self.compression)

    def document(self) -> bytes:
        """``zarr.json`` of the direction's group."""
        plain = asdict(self)
        if self.compression == "none":
            del plain["compression"]
        return group_document(plain)

    @classmethod
    def parse(cls, stored: Mapping[str, Any], where: object) -> Self:
        """Inverse of `document`; fields of later versions are ignored.

        Raises
        ------
        CorruptError
            If something is missing or cannot be.
        """
        dim, kind, compression = stored.get("dim"), stored.get("encoding"), stored.get("compression", "none")
        known = kind in tuple(ENCODINGS) and compression in COMPRESSIONS
        if type(dim) is not int or not 1 <= dim < 1 << 32 or not isinstance(kind, str) or not known:
            raise CorruptError(
                f"{where} does not describe a direction: dim {dim!r}, encoding {kind!r}, compression {compression!r}"
            )
        return cls(dim, kind, compression)

    def differences(self, other: VectorSettings, here: str = "now") -> list[str]:
        """One phrase for every setting in which `other` differs from these stored ones."""
        return _differences(asdict(self), asdict(other), here)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides a data set's bytes beside its content and its directions.

    Attributes
    ----------
    rows : int
    chunk_rows : int
        Rows of a chunk.
    content_digest : str
        Digest of the rows it is made from.
    attributes : Mapping
        The caller's JSON values. All but ``provenance`` must be the same when a run is resumed; that one
        (versions of software, paths) is kept from the first run. Licences in it, if given again, must be the same.
    """

    rows: int
    chunk_rows: int
    content_digest: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chunks(self) -> list[range]:
        """Rows of each chunk."""
        return [self.span(chunk) for chunk in range(-(-self.rows // self.chunk_rows))]

    def span(self, chunk: int) -> range:
        """Rows of one chunk."""
        return range(chunk * self.chunk_rows, min((chunk + 1) * self.chunk_rows, self.rows))

    def column(self, name: str) -> ArraySpec:
        """The array of a column of numbers."""
        tail = (CONTENT_BYTES,) if name == "contents" else ()
        return self._whole(NUMBER_COLUMNS[name], tail)

    @property
    def scalars(self) -> ArraySpec:
        """The array of a direction's norms or scales."""
        return self._whole("float32", ())

    def _whole(self, dtype: str, tail: tuple[int, ...]) -> ArraySpec:
        row = ArraySpec((self.rows, *tail), 1, dtype).chunk_bytes
        return ArraySpec((self.rows, *tail), rows_per_chunk(self.rows, row), dtype)

    def document(self) -> bytes:
        """``zarr.json`` of the data set's group."""
        return group_document(asdict(self))

    @classmethod
    def parse(cls, stored: Mapping[str, Any], where: object) -> Self:
        """Inverse of `document`; fields of later versions are ignored.

        Raises
        ------
        CorruptError
            If something is missing or cannot be.
        """
        try:
            settings = cls(**{f.name: stored[f.name] for f in fields(cls)})
        except KeyError as error:
            raise CorruptError(f"{where} does not describe a data set ({error})") from None
        sizes = (settings.rows, settings.chunk_rows)
        whole = all(type(size) is int and size > 0 for size in sizes) and sizes[1] <= sizes[0]
        if not whole or -(-sizes[0] // sizes[1]) > MOST_CHUNKS:
            raise CorruptError(f"{where} does not describe a data set: rows and rows of a chunk are {sizes}")
        if not isinstance(settings.attributes, dict) or not isinstance(settings.content_digest, str):
            raise CorruptError(
                f"{where} does not describe a data set: attributes or digest are of a wrong type"
            )
        return settings

    def differences(self, other: Settings, here: str = "now") -> list[str]:
        """One phrase for every setting in which `other` differs from these stored ones."""
        return [
            *_differences(self._flat(), other._flat(), here),
            *licence_differences(self.attributes, other.attributes, here),
        ]

    def _flat(self) -> dict[str, Any]:
        plain = asdict(self)
        attributes = plain.pop("attributes")
        attributes.pop(_PROVENANCE, None)
        return {**plain, **{f"attribute {name}": value for name, value in attributes.items()}}


def wanted(
    *,
    rows: int,
    directions: Mapping[str, int],
    encoding: str,
    chunk_rows: int | None,
    content_digest: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> tuple[Settings, dict[str, VectorSettings]]:
    """Settings of a data set and of its directions (name → dim) from arguments, refused where they cannot be right.

    Raises
    ------
    UsageError
        If a name, a number or an attribute cannot be stored.
    """
    names = {check_name("direction", name): dim for name, dim in sorted(directions.items())}
    if not names:
        raise UsageError("a data set needs at least one direction")
    if rows < 1 or min(names.values()) < 1:
        raise UsageError(
            f"a data set needs rows and numbers, not {rows} rows of {min(names.values())} numbers"
        )
    kind = _encoding(encoding)
    vectors = {name: VectorSettings(dim, kind) for name, dim in names.items()}
    widest = max(max(each.row_bytes, each.dim) for each in vectors.values())  # a chunk is also decoded whole
    size = max(1, CHUNK_BYTES // widest) if chunk_rows is None else chunk_rows
    if chunk_rows is None:
        size = max(size, -(-rows // MOST_CHUNKS))
    settings = Settings(rows, min(rows, size), content_digest, plain_json(attributes or {}, "attributes"))
    check_chunks(settings, vectors)
    return settings, vectors


def check_chunks(settings: Settings, vectors: Mapping[str, VectorSettings]) -> None:
    """Refuse chunks that no reader admits."""
    if settings.chunk_rows > 0 and -(-settings.rows // settings.chunk_rows) > MOST_CHUNKS:
        raise UsageError(
            f"a data set has at most {MOST_CHUNKS:,} chunks, and {settings.rows:,} rows need more with chunk_rows "
            f"{settings.chunk_rows}: choose at least {-(-settings.rows // MOST_CHUNKS)}"
        )
    largest = max(each.row_bytes for each in vectors.values()) * settings.chunk_rows
    if settings.chunk_rows < 1 or largest > LARGEST_CHUNK:
        raise UsageError(
            f"chunk_rows must be at least 1 and a chunk at most 1 GiB, not {settings.chunk_rows} rows"
        )


def _encoding(name: str) -> str:
    return encoding(name).name


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any], here: str) -> list[str]:
    return [
        f"{name} is {_short(mine.get(name))} there, {_short(theirs.get(name))} {here}"
        for name in dict.fromkeys([*mine, *theirs])
        if mine.get(name) != theirs.get(name)
    ]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}…"
