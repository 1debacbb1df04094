"""Reads a gradstore store with nothing but Zarr and NumPy, as docs/format.md says: ``python read_a_store.py STORE``."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import zarr

INT4 = np.array(
    [0.128395029851147, 0.3880482994902902, 0.6567591185324634, 0.9423404564869614,
     1.2562311973471771, 1.6180463860218826, 2.0690172265313866, 2.732589570995163], np.float32
)  # fmt: skip


def strings(group: zarr.Group) -> list[str]:
    data, offsets = group["data"][:].tobytes(), group["offsets"][:]
    return [data[start:stop].decode() for start, stop in pairwise(offsets)]


def levels(codes: np.ndarray, encoding: str) -> np.ndarray:
    """The numbers that the codes stand for, before they are multiplied by the scale."""
    if encoding == "sign":  # a bit each, the lowest first; 1 is negative
        return 1 - 2 * np.unpackbits(codes, axis=1, bitorder="little").astype(np.float32)
    if encoding == "int4":  # four bits each, the low ones first; the highest is the sign
        both = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)
        return np.where(both & 8, -INT4[both & 7], INT4[both & 7])
    if encoding in ("int8", "half", "exact"):
        return codes.astype(np.float32)
    raise SystemExit(f"encoding {encoding!r} is unknown: this store is newer than this script")


def decoded(direction: zarr.Group) -> np.ndarray:
    """Rows of a direction as float32, shape (rows, dim)."""
    described = direction.attrs["gradstore"]
    rows = levels(direction["gradient"][:], described["encoding"])[:, : described["dim"]]
    return rows if described["encoding"] == "exact" else rows * direction["scale"][:][:, None]


def main(path: str) -> None:
    root = zarr.open_group(path, mode="r", zarr_format=3)
    if root.attrs["gradstore"]["format"] != 1:
        raise SystemExit("this script reads format 1")
    for manifest in sorted(Path(path).glob("checkpoints/*/*/*/manifest.json")):
        place = manifest.parent.relative_to(path)
        if not (manifest.parent.parent / "manifest.json").exists():
            continue  # not finished
        dataset, direction = root[place.parent.as_posix()], root[place.as_posix()]
        digest = json.loads((manifest.parent.parent / "manifest.json").read_text())["digest"]
        if json.loads(manifest.read_text())["dataset"] != digest:
            raise SystemExit(f"{place} belongs to other rows")
        print(f"{place} {direction.attrs['gradstore']['encoding']}")
        rows, norms = decoded(direction), direction["norm"][:]
        for name, row, norm in zip(strings(dataset["columns/id"]), rows, norms, strict=True):
            print(f"  {name} {norm!s} {' '.join(map(str, row[:4]))}")


if __name__ == "__main__":
    main(sys.argv[1])
