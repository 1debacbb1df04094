"""Arrays of format 1: which Zarr arrays are admitted, and their chunks as bytes.

Zarr encodes and decodes in memory; its own file writer is neither durable nor free of random names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, IncompatibleError
from gradstore.records import canonical_json
from gradstore.store.layout import METADATA, parse_json

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer

__all__ = [
    "CHUNK_BYTES",
    "DTYPES",
    "LARGEST_CHUNK",
    "ArraySpec",
    "decode_chunk",
    "encode_chunk",
    "parse_array",
    "rows_per_chunk",
]

CHUNK_BYTES = 8 << 20
LARGEST_CHUNK = 1 << 30
_ZSTD_LEVEL = 3
DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
)
_CODECS = (("bytes", "crc32c"), ("bytes", "zstd", "crc32c"))


def rows_per_chunk(rows: int, row_bytes: int) -> int:
    """Rows of an 8 MiB chunk; never more than there are, never none."""
    return max(1, min(rows, CHUNK_BYTES // max(1, row_bytes)))


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """A Zarr array cut along its first axis only.

    Attributes
    ----------
    shape : tuple of int
        At least one axis.
    chunk : int
        Rows of a chunk; the last chunk is padded with zeros.
    dtype : str
        Zarr's name of the type; bytes are little-endian.
    compressed : bool
        Whether zstd is among the codecs.
    """

    shape: tuple[int, ...]
    chunk: int
    dtype: str
    compressed: bool = False

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of every chunk."""
        return (self.chunk, *(max(1, axis) for axis in self.shape[1:]))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.shape[0] // self.chunk) if math.prod(self.shape) else 0

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk."""
        return math.prod(self.chunk_shape) * np.dtype(self.dtype).itemsize

    @property
    def object_bytes(self) -> int:
        """Bytes of an uncompressed chunk with its checksum, as stored."""
        return self.chunk_bytes + 4

    def rows(self, index: int) -> range:
        """Rows of a chunk."""
        return range(index * self.chunk, min((index + 1) * self.chunk, self.shape[0]))

    def key(self, index: int) -> str:
        """Name of a chunk's object, relative to the array."""
        return "/".join(["c", str(index), *"0" * (len(self.shape) - 1)])

    def document(self) -> bytes:
        """``zarr.json`` of the array."""
        return canonical_json(_document(self, self.shape))


def _document(spec: ArraySpec, shape: tuple[int, ...]) -> dict[str, Any]:
    dtype = np.dtype(spec.dtype)
    fill = False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0
    plain: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        plain["configuration"] = {"endian": "little"}
    zstd = (
        [{"name": "zstd", "configuration": {"level": _ZSTD_LEVEL, "checksum": False}}]
        if spec.compressed
        else []
    )
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.chunk_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [plain, *zstd, {"name": "crc32c"}],
        "attributes": {},
    }


def parse_array(data: bytes, where: object) -> ArraySpec:
    """Read an array's ``zarr.json``; only what format 1 describes is admitted.

    Raises
    ------
    CorruptError
        If it is no array document.
    IncompatibleError
        If it names other codecs, types or chunk grids: they are refused before any byte is decoded.
    """
    document = parse_json(data, where)
    try:
        codecs = tuple(codec["name"] for codec in document["codecs"])
        shape = tuple(document["shape"])
        chunk = document["chunk_grid"]["configuration"]["chunk_shape"][0]
        dtype = document["data_type"]
    except (KeyError, TypeError, IndexError):
        raise CorruptError(
            f"{where} is no Zarr 3 array document: restore it from a copy of the store"
        ) from None
    if codecs not in _CODECS:
        raise IncompatibleError(
            f"{where} uses the codecs {', '.join(map(str, codecs))}; format 1 has only bytes, zstd, crc32c"
        )
    whole = all(type(axis) is int and axis >= 0 for axis in (*shape, chunk))
    if dtype not in DTYPES or not shape or not whole or chunk == 0:
        raise IncompatibleError(f"{where} has a type or shape that format 1 does not have: {dtype}, {shape}")
    spec = ArraySpec(shape, chunk, dtype, "zstd" in codecs)
    document["attributes"] = {}
    if document != _document(spec, shape) or spec.chunk_bytes > LARGEST_CHUNK:
        raise IncompatibleError(f"{where} describes an array that format 1 does not have: see docs/format.md")
    return spec


def encode_chunk(spec: ArraySpec, rows: npt.NDArray[Any]) -> bytes:
    """Bytes of the chunk that holds `rows`, padded with zeros if it is the last."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec
    from zarr.storage import MemoryStore

    objects: dict[str, Buffer] = {}
    array = zarr.create_array(
        MemoryStore(objects),
        shape=spec.chunk_shape,
        chunks=spec.chunk_shape,
        dtype=spec.dtype,
        compressors=[*([ZstdCodec(level=_ZSTD_LEVEL)] if spec.compressed else []), Crc32cCodec()],
        fill_value=0,
        config={"write_empty_chunks": True},  # `open_array` would ignore this and drop a chunk of zeros
    )
    array[: len(rows)] = rows.astype(spec.dtype, copy=False)
    return objects[spec.key(0)].to_bytes()


def decode_chunk(spec: ArraySpec, index: int, data: bytes, where: object) -> npt.NDArray[Any]:
    """Rows of chunk `index`; Zarr checks the crc32c.

    Raises
    ------
    CorruptError
        If the bytes are not such a chunk.
    """
    if not spec.compressed and len(data) != spec.object_bytes:
        raise CorruptError(f"{where} has {len(data)} bytes instead of {spec.object_bytes}")
    import zarr
    from zarr.buffer import cpu
    from zarr.storage import MemoryStore

    document = canonical_json(_document(spec, spec.chunk_shape))
    objects: dict[str, Buffer] = {
        METADATA: cpu.Buffer.from_bytes(document),
        spec.key(0): cpu.Buffer.from_bytes(data),
    }
    array = zarr.open_array(store=MemoryStore(objects), mode="r", zarr_format=3)
    try:
        return np.asarray(array[: len(spec.rows(index))])
    except (ValueError, TypeError, RuntimeError) as error:
        raise CorruptError(f"{where} cannot be decoded: {error}") from error
