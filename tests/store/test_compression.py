"""Compressed chunks: the same numbers, the same bytes every time, and no bomb is decoded."""

from __future__ import annotations

import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import numpy as np
import pytest
from numcodecs import Blosc, Zstd, blosc

from gradstore.errors import CorruptError
from gradstore.inspection import verify
from gradstore.sharing import convert
from gradstore.store import open_store
from gradstore.store.arrays import ArraySpec, decode_chunk, encode_chunk

SPEC = {name: ArraySpec((64, 512), 64, "uint8", name) for name in ("zstd", "blosc")}
HUGE = 1 << 28


def with_crc(body: bytes) -> bytes:
    return body + google_crc32c.value(body).to_bytes(4, "little")


def size_field(size: int) -> bytes:
    return size.to_bytes(8, "little")


def zstd_frame(size: int) -> bytes:
    """A frame of run-length blocks: four bytes for 128 KiB of zeros."""
    whole, rest = divmod(size, 1 << 17)
    blocks = [1 << 17] * whole + [rest] * (rest > 0)
    headers = [(n << 3 | 1 << 1 | (i == len(blocks) - 1)).to_bytes(3, "little") for i, n in enumerate(blocks)]
    head = b"\x28\xb5\x2f\xfd" + b"\xe0" + size_field(size)
    return head + b"".join(each + b"\0" for each in headers)


def without_size(size: int) -> bytes:
    """The same frame with a window descriptor instead of its size."""
    frame = zstd_frame(size)
    return frame[:4] + b"\x00\x50" + frame[13:]


def refused(data: bytes, spec: ArraySpec, message: str) -> None:
    decode_chunk(spec, 0, encode_chunk(spec, np.ones((64, 512), np.uint8)), "before")  # all is imported
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError, match=rf"^here cannot be decoded: .*{message}"):
            decode_chunk(spec, 0, data, "here")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_the_bombs_would_go_off_elsewhere() -> None:
    assert len(Zstd().decode(zstd_frame(1 << 20))) == 1 << 20
    assert len(Zstd().decode(without_size(1 << 20))) == 1 << 20
    assert len(zstd_frame(HUGE)) < 10_000


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        (lambda: zstd_frame(HUGE), f"declares {HUGE} bytes, and a chunk has 32768"),
        (lambda: zstd_frame(100).replace(size_field(100), size_field(1 << 62)), f"declares {1 << 62} bytes"),
        (lambda: zstd_frame(100), "declares 100 bytes"),
        (lambda: without_size(HUGE), "declares no size"),
        (lambda: without_size(1 << 15), "declares no size"),
        (lambda: zstd_frame(1 << 15) + zstd_frame(HUGE), ""),
        (lambda: zstd_frame(1 << 15) + zstd_frame(1 << 15), ""),
        (lambda: zstd_frame(1 << 15) + without_size(HUGE), ""),
        (lambda: zstd_frame(HUGE).replace(size_field(HUGE), size_field(1 << 15)), ""),
        (lambda: b"\x50\x2a\x4d\x18\x04\0\0\0junk" + zstd_frame(HUGE), "declares no size"),
        (lambda: zstd_frame(1 << 15)[:-4], ""),
        (lambda: b"\x28\xb5\x2f\xfd", "declares no size"),
        (lambda: b"", "declares no size"),
    ],
)
def test_a_zstd_bomb_is_refused_in_little_memory(bomb: Callable[[], bytes], message: str) -> None:
    refused(with_crc(bomb()), SPEC["zstd"], message)


def blosc_frame(**changes: int) -> bytes:
    """A good frame with other numbers in its header."""
    data = Blosc(cname="zstd", clevel=5, shuffle=Blosc.SHUFFLE).encode(np.zeros(1 << 15, np.uint8))
    names = ("version", "inner", "flags", "typesize", "size", "block", "compressed")
    header = dict(zip(names, struct.unpack("<4B3I", data[:16]), strict=True)) | changes
    return struct.pack("<4B3I", *header.values()) + data[16:]


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        (lambda: blosc_frame(size=HUGE), f"declares {HUGE} bytes"),
        (lambda: Blosc(cname="zstd").encode(np.zeros(HUGE // 8, np.uint8)), f"declares {HUGE // 8} bytes"),
        (lambda: blosc_frame(block=HUGE), "declares no size"),
        (lambda: blosc_frame(block=0), "declares no size"),
        (lambda: blosc_frame(typesize=0), "declares no size"),
        (lambda: blosc_frame(compressed=HUGE), "declares no size"),
        (lambda: blosc_frame(compressed=20), "declares no size"),
        (lambda: blosc_frame() + b"more", "declares no size"),
        (lambda: blosc_frame(version=200), ""),
        (lambda: blosc_frame(flags=0xE0), ""),
        (lambda: blosc_frame()[:16], "declares no size"),
        (lambda: b"", "declares no size"),
    ],
)
def test_a_blosc_bomb_is_refused_in_little_memory(bomb: Callable[[], bytes], message: str) -> None:
    refused(with_crc(bomb()), SPEC["blosc"], message)


@pytest.mark.parametrize("name", SPEC)
def test_nothing_is_decompressed_that_the_crc_does_not_vouch_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SPEC[name]
    data = bytearray(encode_chunk(spec, np.arange(64 * 512).reshape(64, 512).astype(np.uint8)))
    monkeypatch.setattr(f"numcodecs.{name}.decompress", None)
    for place in (0, len(data) // 2, len(data) - 1):
        data[place] ^= 1
        refused_early(bytes(data), spec)
        data[place] ^= 1
    refused_early(b"", SPEC["zstd"], "declares no size")


def refused_early(data: bytes, spec: ArraySpec, message: str = "its crc32c does not match") -> None:
    with pytest.raises(CorruptError, match=message):
        decode_chunk(spec, 0, data, "here")


@pytest.mark.parametrize("name", SPEC)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float16", "float32"])
def test_the_bytes_are_the_same_every_time_and_in_every_thread(name: str, dtype: str) -> None:
    """Large enough for several blocks of blosc, which many threads could put in any order."""
    values = np.random.default_rng(0).integers(0, 20, (256, 4096)).astype(dtype)
    spec = ArraySpec(values.shape, 256, dtype, name)
    first = encode_chunk(spec, values)
    found = [encode_chunk(spec, values) for _ in range(3)]
    blosc.set_nthreads(8)
    threads = [threading.Thread(target=lambda: found.append(encode_chunk(spec, values))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 7
    assert set(found) == {first}
    assert (decode_chunk(spec, 0, first, "here") == values).all()
    assert len(first) < values.nbytes


@pytest.mark.parametrize("name", SPEC)
@pytest.mark.parametrize("verified", [False, True])
def test_compressed_rows_are_read_like_others(
    name: str, verified: bool, tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    convert(written, tmp_path / "s", to="int8", compression=name)
    there = open_store(written).dataset("pool")
    dataset = open_store(tmp_path / "s", verified=verified).dataset("pool")
    assert (dataset.compression("adam"), there.compression("adam")) == (name, "none")
    assert dataset.read("adam", 0, 10).tobytes() == there.read("adam", 0, 10).tobytes()
    assert dataset.read("adam", 3, 9).tobytes() == there.read("adam", 3, 9).tobytes()
    assert dataset.take("adam", [9, 0, 4, 4]).tobytes() == there.take("adam", [9, 0, 4, 4]).tobytes()
    assert verify(tmp_path / "s") == []


def test_a_bomb_in_a_store_with_a_forged_manifest_is_refused(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    convert(written, tmp_path / "s", to="int8", compression="zstd", directions=["adam"])
    folder = tmp_path / "s/checkpoints/step-1/pool/adam"
    (folder / "gradient/c/0/0").write_bytes(with_crc(zstd_frame(HUGE)))
    make.resign(folder)
    dataset = open_store(tmp_path / "s").dataset("pool")
    with pytest.raises(CorruptError, match=r"adam/gradient/c/0/0 cannot be decoded: it declares 268435456"):
        dataset.read("adam", 0, 1)
