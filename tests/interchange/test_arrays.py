"""NumPy files: every number comes back, and nothing in them is executed."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import gradstore
from gradstore.errors import DataError, UsageError
from gradstore.interchange import open_source
from tests.interchange.helpers import matrix, stored

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(max_examples=3)
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=FINITE))
def test_export_and_import_give_back_every_number(rows: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gradstore.import_arrays(folder / "a.zarr", name="x", gradients=rows, direction="precond")
        first = gradstore.open(folder / "a.zarr").dataset("x")
        gradstore.export(folder / "a.zarr", folder / "out", dataset="x", fmt="npy")
        again = gradstore.import_gradients(folder / "b.zarr", folder / "out", name="x")
        assert again.directions == ("precond",)
        assert (again.read("precond", 0, len(rows)) == first.read("precond", 0, len(rows))).all()
        assert (again.read("precond", 0, len(rows)) == rows).all()
        assert again.ids.tolist() == first.ids.tolist()
        assert (again.valid == first.valid).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i2"])
def test_npy_of_every_type_and_order(dtype: str, order: str, tmp_path: Path) -> None:
    rows = np.asarray(np.arange(1, 22).reshape(7, 3), dtype, order=order)
    np.save(tmp_path / "g.npy", rows)
    assert (stored(tmp_path / "g.npy", tmp_path) == rows).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_array_of_an_archive(save, tmp_path: Path) -> None:
    rows = matrix(50, 6)
    save(tmp_path / "g.npz", grads=rows, other=np.zeros((2, 2)))
    source = open_source(tmp_path / "g.npz", key="grads")
    for start, stop in ((0, 50), (10, 20), (5, 6), (49, 50), (0, 1), (9, 9)):  # also backwards
        assert (source.gradients[start:stop] == rows[start:stop]).all()
    assert (stored(tmp_path / "g.npz", tmp_path, key="grads") == rows).all()
    with pytest.raises(UsageError, match="holds grads, other; name one with --key"):
        open_source(tmp_path / "g.npz")
    with pytest.raises(UsageError, match="unknown array 'gards'; did you mean 'grads'"):
        open_source(tmp_path / "g.npz", key="gards")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["EVIL"],)


@pytest.mark.parametrize("name", ["g.npy", "g.npz", "g.mmap"])
def test_pickled_objects_are_not_executed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "pwned"))
    objects = np.array([[Evil()]], dtype=object)
    with (tmp_path / name).open("wb") as file:
        np.savez(file, g=objects) if name.endswith("z") else np.save(file, objects, allow_pickle=True)
    with pytest.raises(DataError):
        open_source(tmp_path / name)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="no file that"):
        open_source(tmp_path / "bare.npy")
    assert not (tmp_path / "pwned").exists()


def header(text: str, more: bytes = b"") -> bytes:
    body = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body + more


@pytest.mark.parametrize(
    "shape",
    [
        "(9000000000, 4000000000)",
        "(10**3, 4)",
        "(-1, 4)",
        "(4,)",
        "(0, 4)",
        "(4, 0)",
        "(2, 2, 2)",
        "()",
        "(1e9, 4)",
    ],
)
def test_absurd_headers_are_refused_in_one_line(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "g.npy"
    path.write_bytes(header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}", bytes(64)))
    with pytest.raises(DataError) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 4, 60, 200])
def test_truncated_files_are_refused(cut: int, tmp_path: Path) -> None:
    for name, save in (("g.npy", np.save), ("g.npz", np.savez)):
        save(tmp_path / name, matrix(20, 5))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:cut])
        with pytest.raises(DataError, match=r"no (whole )?file that|cut off"):
            open_source(tmp_path / name)


def test_damage_in_an_archive_is_found(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "g.npz", g=matrix(500, 20))
    data = bytearray((tmp_path / "g.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "g.npz").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        gradstore.import_gradients(tmp_path / "s.zarr", tmp_path / "g.npz", name="x")
    assert not (tmp_path / "s.zarr").exists()


def test_what_is_no_known_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"g\.csv: no known format \(\.csv\); name one of bergson, less"):
        open_source(tmp_path / "g.csv")
    with pytest.raises(DataError, match=r"no known format \(g\.csv\)"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="there is no such file or folder"):
        open_source(tmp_path / "none.npy")
    with pytest.raises(UsageError, match="unknown format 'parket'; did you mean 'parquet'"):
        open_source(tmp_path / "g.csv", fmt="parket")
    gradstore.import_arrays(tmp_path / "s.zarr", name="x", gradients=matrix())
    with pytest.raises(DataError, match="is a store itself"):
        open_source(tmp_path / "s.zarr")
    os.mkfifo(tmp_path / "pipe.npy")  # waiting for a writer would hang
    with pytest.raises(DataError, match="no ordinary file"):
        open_source(tmp_path / "pipe.npy")
    np.save(tmp_path / "odd.bin.npy", matrix())
    (tmp_path / "odd.bin.npy").rename(tmp_path / "odd.bin")
    assert (open_source(tmp_path / "odd.bin", fmt="npy").gradients[0:7] == matrix()).all()
