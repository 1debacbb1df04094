"""Others read the store: Zarr itself, and a reader written from docs/format.md alone."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Zstd

from gradstore.store import open_store
from gradstore.store.arrays import COMPRESSIONS, DTYPES, ArraySpec, decode_chunk, encode_chunk, parse_array


def test_zarr_reads_every_array_as_we_do(store: Path) -> None:
    group = zarr.open_group(store, mode="r")["checkpoints/step-1/pool"]
    dataset = open_store(store).dataset("pool")
    codes, scale = group["adam/gradient"][:], group["adam/scale"][:]
    assert (codes * scale[:, None] == dataset.read("adam", 0, 10)).all()
    assert group["columns/valid"][:].tolist() == dataset.valid.tolist()
    data, offsets = group["columns/id/data"][:].tobytes(), group["columns/id/offsets"][:]
    assert [data[a:b].decode() for a, b in pairwise(offsets)] == dataset.ids.tolist()
    assert group["adam"].attrs["gradstore"] == {"dim": 16, "encoding": "int8"}


@settings(max_examples=60)
@given(st.data())
def test_a_chunk_is_what_zarr_writes_and_reads(data: st.DataObject) -> None:
    """Also a chunk of zeros, which Zarr would leave out by default."""
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    spec = ArraySpec(
        shape, data.draw(st.integers(1, shape[0])), dtype, data.draw(st.sampled_from(COMPRESSIONS))
    )
    values = np.random.default_rng(data.draw(st.integers(0, 3))).integers(0, 2, shape).astype(dtype)
    document = json.loads(spec.document())
    assert parse_array(spec.document(), "here") == spec
    store = zarr.storage.MemoryStore()
    array = zarr.Array.from_dict(zarr.storage.StorePath(store), document).with_config(
        {"write_empty_chunks": True}
    )
    array[:] = values
    for index in range(spec.chunks):
        rows = spec.rows(index)
        encoded = encode_chunk(spec, values[rows.start : rows.stop])
        assert encoded == store._store_dict[spec.key(index)].to_bytes()
        assert spec.compression != "none" or len(encoded) == spec.object_bytes
        decoded = decode_chunk(spec, index, encoded, "here")
        assert decoded.dtype == dtype
        assert (decoded == values[rows.start : rows.stop]).all()


def test_a_stranger_reads_it_with_the_description_alone(store: Path, make: SimpleNamespace) -> None:
    """As docs/format.md says: JSON, raw little-endian chunks with a crc32c, zstd, UTF-8 with offsets."""
    root = json.loads((store / "zarr.json").read_text())
    assert root["attributes"]["gradstore"]["format"] == 1
    folder = store / "checkpoints/step-1/pool"
    described = json.loads((folder / "zarr.json").read_text())["attributes"]["gradstore"]
    rows, chunk_rows = described["rows"], described["chunk_rows"]
    described = json.loads((folder / "adam/zarr.json").read_text())["attributes"]["gradstore"]
    dim, directions = described["dim"], [path.parent for path in folder.glob("*/manifest.json")]
    assert sorted(path.name for path in directions) == ["adam", "sgd"]

    def listed(place: Path) -> dict[str, object]:
        manifest: dict[str, object] = json.loads((place / "manifest.json").read_text())
        stated = manifest.pop("digest")
        body = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert stated == hashlib.sha256(len(body).to_bytes(8, "little") + body).hexdigest()[:32]
        for name, entry in manifest["objects"].items():
            data = (place / name).read_bytes()
            assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        return manifest | {"digest": stated}

    for place in directions:
        assert listed(place)["dataset"] == listed(folder)["digest"]

    def chunk(path: Path, dtype: str, compressed: bool = False) -> np.ndarray:
        data = path.read_bytes()
        assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")
        return np.frombuffer(Zstd().decode(data[:-4]) if compressed else data[:-4], dtype)

    scale = chunk(folder / "adam/scale/c/0", "<f4")
    chunks = [chunk(folder / f"adam/gradient/c/{i}/0", "i1") for i in range(-(-rows // chunk_rows))]
    codes = np.concatenate(chunks).reshape(-1, dim)[:rows]
    assert (codes * scale[:, None] == open_store(store).dataset("pool").read("adam", 0, rows)).all()

    def strings(name: str) -> list[str]:
        text = chunk(folder / f"columns/{name}/data/c/0", "u1", compressed=True).tobytes()
        offsets = chunk(folder / f"columns/{name}/offsets/c/0", "<i8", compressed=True)
        return [text[offsets[row] : offsets[row + 1]].decode() for row in range(rows)]

    contents = chunk(folder / "columns/contents/c/0/0", "u1").reshape(rows, 12)
    assert (contents == open_store(store).dataset("pool").contents).all()
    assert strings("id") == [f"row-{row}" for row in range(rows)]
    assert json.loads(strings("record")[3]) == {"n": 3, "text": "xxx"}
