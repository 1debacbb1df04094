"""Arrays of format 1: which Zarr arrays are admitted, and their chunks as bytes.

Zarr encodes and decodes in memory; its own file writer is neither durable nor free of random names.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, IncompatibleError
from gradstore.records import canonical_json
from gradstore.store.layout import parse_json

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer

__all__ = [
    "CHUNK_BYTES",
    "COMPRESSIONS",
    "DTYPES",
    "LARGEST_CHUNK",
    "LARGEST_OBJECT",
    "ArraySpec",
    "decode_chunk",
    "encode_chunk",
    "parse_array",
    "rows_per_chunk",
]

Bytes = npt.NDArray[np.uint8]

CHUNK_BYTES = 8 << 20
LARGEST_CHUNK = 1 << 30
LARGEST_OBJECT = LARGEST_CHUNK + (LARGEST_CHUNK >> 6)
"""Bytes of an object at most: what does not compress grows a little."""
COMPRESSIONS = ("none", "zstd", "blosc")
_CRC_BYTES = 4
_MOST_AXES = 8
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_HEADER_BYTES = 18  # of either codec, at most
_BLOSC_HEADER = struct.Struct(
    "<4B3I"
)  # two versions, flags, typesize; sizes before, of a block, and compressed
DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
)


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
    compression : {"none", "zstd", "blosc"}
        Only without compression can chunks be mapped into memory.
    """

    shape: tuple[int, ...]
    chunk: int
    dtype: str
    compression: str = "none"

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
        return self.chunk_bytes + _CRC_BYTES

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
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.chunk_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [plain, *_compressor(spec), {"name": "crc32c"}],
        "attributes": {},
    }


def _compressor(spec: ArraySpec) -> list[dict[str, Any]]:
    """One configuration of each, all of it written out, so that the bytes depend on nothing else."""
    configuration: dict[str, Any] = {"level": 3, "checksum": False}
    if spec.compression == "blosc":
        configuration = {
            "cname": "zstd",
            "clevel": 5,
            "shuffle": "shuffle",
            "typesize": np.dtype(spec.dtype).itemsize,
            "blocksize": 0,
        }
    return [] if spec.compression == "none" else [{"name": spec.compression, "configuration": configuration}]


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
    compression = codecs[1] if len(codecs) == 3 else "none"
    if (
        codecs not in (("bytes", "crc32c"), ("bytes", compression, "crc32c"))
        or compression not in COMPRESSIONS
    ):
        raise IncompatibleError(
            f"{where} uses the codecs {', '.join(map(str, codecs))}; format 1 has only bytes, zstd, blosc, crc32c"
        )
    whole = all(type(axis) is int and 0 <= axis < 1 << 63 for axis in (*shape, chunk))
    if dtype not in DTYPES or not 0 < len(shape) <= _MOST_AXES or not whole or chunk == 0:
        raise IncompatibleError(f"{where} has a type or shape that format 1 does not have: {dtype}, {shape}")
    spec = ArraySpec(shape, chunk, dtype, compression)
    document["attributes"] = {}
    if document != _document(spec, shape) or spec.chunk_bytes > LARGEST_CHUNK:
        raise IncompatibleError(f"{where} describes an array that format 1 does not have: see docs/format.md")
    return spec


def encode_chunk(spec: ArraySpec, rows: npt.NDArray[Any]) -> bytes:
    """Bytes of the chunk that holds `rows`, padded with zeros if it is the last."""
    return _plain(spec, rows) if spec.compression == "none" else _compressed(spec, rows)


def _plain(spec: ArraySpec, rows: npt.NDArray[Any]) -> bytes:
    """Numbers and their checksum: what zarr makes by way of three copies."""
    from google_crc32c import value as crc32c

    whole = np.ascontiguousarray(rows, np.dtype(spec.dtype).newbyteorder("<")).view(np.uint8).reshape(-1)
    if len(whole) < spec.chunk_bytes:
        whole = np.concatenate([whole, np.zeros(spec.chunk_bytes - len(whole), np.uint8)])
    return b"".join([whole.data, crc32c(whole).to_bytes(_CRC_BYTES, "little")])


def _compressed(spec: ArraySpec, rows: npt.NDArray[Any]) -> bytes:
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec  # blosc with one thread: zarr sees to it
    from zarr.storage import MemoryStore

    known: dict[str, Any] = {"zstd": ZstdCodec, "blosc": BloscCodec}
    objects: dict[str, Buffer] = {}
    array = zarr.create_array(
        MemoryStore(objects),
        shape=spec.chunk_shape,
        chunks=spec.chunk_shape,
        dtype=spec.dtype,
        compressors=[*(known[codec["name"]].from_dict(codec) for codec in _compressor(spec)), Crc32cCodec()],
        fill_value=0,
        config={"write_empty_chunks": True},  # `open_array` would ignore this and drop a chunk of zeros
    )
    array[: len(rows)] = rows.astype(spec.dtype, copy=False)
    return objects[spec.key(0)].to_bytes()


def decode_chunk(spec: ArraySpec, index: int, data: bytes, where: object) -> npt.NDArray[Any]:
    """Rows of chunk `index`, perhaps read-only.

    Compressed bytes are decoded into the memory that the chunk needs and no more, whatever they claim to hold.

    Raises
    ------
    CorruptError
        If the bytes are not such a chunk.
    """
    if spec.compression == "none" and len(data) != spec.object_bytes:
        raise CorruptError(f"{where} has {len(data)} bytes instead of {spec.object_bytes}")
    from google_crc32c import value as crc32c

    body = np.frombuffer(data, np.uint8)[:-_CRC_BYTES]
    if crc32c(body) != int.from_bytes(data[-_CRC_BYTES:], "little"):
        raise CorruptError(f"{where} cannot be decoded: its crc32c does not match")
    raw = body if spec.compression == "none" else _decompressed(spec, body, where)
    if spec.dtype == "bool" and raw.max() > 1:
        raise CorruptError(f"{where} cannot be decoded: it holds other bytes than 0 and 1")
    whole = raw.view(np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.chunk_shape)
    return whole[: len(spec.rows(index))]


def _decompressed(spec: ArraySpec, body: Bytes, where: object) -> Bytes:
    """The bytes of a chunk, if a compressed `body` says that it has as many."""
    from numcodecs import blosc, zstd

    head = body[:_HEADER_BYTES].tobytes()
    declared = _zstd_size(head) if spec.compression == "zstd" else _blosc_size(head, len(body))
    if declared != spec.chunk_bytes:
        found = "no size" if declared is None else f"{declared} bytes"
        raise CorruptError(
            f"{where} cannot be decoded: it declares {found}, and a chunk has {spec.chunk_bytes} bytes"
        )
    raw = np.empty(spec.chunk_bytes, np.uint8)
    blosc.use_threads = False  # as zarr has it
    try:
        (zstd if spec.compression == "zstd" else blosc).decompress(body, raw)
    except (ValueError, RuntimeError) as error:
        raise CorruptError(f"{where} cannot be decoded: {error}") from error
    return raw


def _zstd_size(head: bytes) -> int | None:
    """Content size that the first frame declares (RFC 8878, 3.1.1.1); None if it declares none."""
    if len(head) < 5 or head[:4] != _ZSTD_MAGIC:
        return None
    descriptor = head[4]
    single = descriptor >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    size = (single, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(head[start : start + size], "little") + 256 * (size == 2) if size else None


def _blosc_size(head: bytes, length: int) -> int | None:
    """Size before compression; None if the header does not fit the `length` of the bytes, which no decoder notices."""
    if len(head) < _BLOSC_HEADER.size:
        return None
    _, _, _, typesize, size, block, compressed = _BLOSC_HEADER.unpack_from(head)
    fits = compressed == length and typesize > 0 and 0 < block <= size
    return size if fits else None
