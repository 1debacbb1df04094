"""`verify` finds what no checksum tells: numbers, ids, graphs and overlays that cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.errors import CorruptError
from gradstore.graph import load_graph
from gradstore.inspection import verify
from gradstore.inspection.meaning import row_problems
from gradstore.store import DatasetWriter, new_store
from gradstore.store.encodings import encoding, row_norms
from gradstore.store.settings import VectorSettings
from tests.store.everything import reseal

POOL = "checkpoints/step-1/pool"


def forge(path: Path, name: str, change: Callable[[np.ndarray], object], dtype: str) -> None:
    """Change an uncompressed chunk, with checksums that agree."""
    data = np.frombuffer((path / name).read_bytes()[:-4], dtype).copy()
    change(data)
    body = data.tobytes()
    (path / name).write_bytes(body + google_crc32c.value(body).to_bytes(4, "little"))
    reseal(path)


@pytest.mark.parametrize(
    ("name", "dtype", "change", "what"),
    [
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(2, -1), "row 2 has a norm that is none"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(2, np.nan), "row 2 has a norm that is none"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__imul__(2), "has another length than its norm says"),
        ("sgd/norm/c/0", "<f4", lambda a: a.__setitem__(5, 1), "row 5 is invalid and not zero"),
        ("sgd/scale/c/0", "<f4", lambda a: a.__setitem__(3, np.inf), "row 3 has a scale that is none"),
        ("sgd/scale/c/0", "<f4", lambda a: a.__setitem__(3, a[3] * 3), "row 3 has another length"),
        ("sgd/gradient/c/1/0", "i1", lambda a: a.__setitem__(20, 9), "row 5 is invalid and not zero"),
        ("sgd/gradient/c/1/0", "i1", lambda a: a.__setitem__(0, -128), "row 4 has a code of -128"),
        ("columns/loss/c/0", "<f4", lambda a: a.__setitem__(1, np.inf), "row 1 has an infinite loss"),
        ("columns/loss/c/0", "<f4", lambda a: a.__setitem__(5, 1), "row 5 is invalid and has a loss"),
        ("columns/tokens/c/0", "<i4", lambda a: a.__setitem__(1, -7), "row 1 has fewer than no tokens"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(5, 1), "row 5 is valid and has a reason why not"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(1, 0), "has 8 valid rows, and its manifest says 9"),
        ("columns/valid/c/0", "u1", lambda a: a.__setitem__(1, 2), "other bytes than 0 and 1"),
        ("columns/truncated/c/0", "u1", lambda a: a.fill(0), "has 0 truncated rows"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_found_though_all_checksums_agree(
    name: str, dtype: str, change: Callable[[np.ndarray], object], what: str, whole: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s"))
    forge(path, f"{POOL}/{name}", change, dtype)
    assert any(what in str(problem) for problem in verify(path)), verify(path)


def test_sources_that_are_counted_wrongly_are_found(
    whole: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "s"))
    make.resign(path / POOL, sources={"source-0": 10})
    reseal(path)
    assert [each.what for each in verify(path)] == ["has other sources than its manifest says"]


def test_ids_that_are_not_unique_are_found(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings(directions=("sgd",))) as writer:
        for chunk, rows in enumerate(writer.chunks):
            found = make.block(rows, 16, ("sgd",))
            writer.write(chunk, replace(found, ids=["same" if row in (1, 8) else f"{row}" for row in rows]))
        writer.seal()
    assert [problem.what for problem in verify(tmp_path / "s")] == ["has the same id in rows 1 and 8"]


@pytest.mark.parametrize("to", ["int8", "half", "int4", "sign", "exact"])
@given(st.data())
@settings(max_examples=8)
def test_rows_of_any_size_that_were_written_are_well(to: str, data: st.DataObject) -> None:
    """What the writer makes of any finite rows, also through another encoding, agrees with its norms."""
    dim, magnitude = (
        data.draw(st.integers(1, 40)),
        data.draw(st.sampled_from([1e-44, 1e-38, 1e-5, 1, 1e18, 1e36])),
    )
    rows = np.random.default_rng(data.draw(st.integers(0, 9))).normal(size=(6, dim))
    rows[1] = 0
    rows[2, 1:] = 0
    rows = (rows * magnitude).astype(np.float32)
    norm, valid = row_norms(rows), np.arange(6) != 1
    through = data.draw(st.sampled_from([to, "int8", "int4", "sign", "half"]))
    before, after = encoding(through), encoding(to)
    kept = rows if through == to else before.decode(*before.encode(rows), dim)
    codes, scale = after.encode(kept)
    scalars = {"norm": norm} | ({} if scale is None else {"scale": scale})
    vectors = VectorSettings(dim, to)
    assert not [*row_problems(range(6), vectors, codes, scalars, valid, original=through == to)]
    if to != "int4" and magnitude > 1e-30:
        scalars["norm"] = norm * np.float32(2.5)
        assert [*row_problems(range(6), vectors, codes, scalars, valid, original=True)]


def test_a_stale_graph_is_a_problem_that_tells_the_command(
    everything: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    path = Path(shutil.copytree(everything, tmp_path / "s"))
    shutil.rmtree(path / "checkpoints/step-1/aim")
    make.write(path, name="aim", rows=6, directions={"sgd": 16}, attributes={"target": True})
    found = [problem for problem in verify(path) if problem.where == "graphs/default"]
    assert len(found) == 1
    assert "was built from other rows than the store holds now (step-1/aim)" in found[0].what
    assert f"gradstore graph {path} --train int8 --target aim" in found[0].what


@pytest.mark.parametrize(
    ("name", "dtype", "change", "what"),
    [
        ("neighbours/c/0/0", "<i4", lambda a: a.__setitem__(0, 99), "links to nodes that it does not have"),
        ("neighbours/c/0/0", "<i4", lambda a: a.__setitem__(0, -2), "links to nodes that it does not have"),
        ("cosines/c/0/0", "<f4", lambda a: a.__setitem__(0, 1.5), "has cosines beyond 1"),
        ("cosines/c/0/0", "<f4", lambda a: a.__setitem__(0, np.nan), "has cosines beyond 1"),
    ],
)
def test_a_graph_that_cannot_be_is_found_and_not_loaded(
    name: str, dtype: str, change: Callable[[np.ndarray], object], what: str, everything: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(everything, tmp_path / "s"))
    forge(path, f"graphs/default/{name}", change, dtype)
    assert any(what in str(problem) for problem in verify(path))
    with pytest.raises(CorruptError, match=what):
        load_graph(path)


def test_an_overlay_is_checked_for_its_own_and_for_its_base(
    everything: Path, tmp_path: Path, make: SimpleNamespace
) -> None:
    base = Path(shutil.copytree(everything, tmp_path / "base"))
    shutil.rmtree(base / "checkpoints/step-1/begun")
    new_store(tmp_path / "mine", on=base)
    make.write(tmp_path / "mine", name="own", directions={"sgd": 16})
    assert verify(tmp_path / "mine") == []
    (base / "checkpoints/step-1/int8/sgd/gradient/c/0/0").write_bytes(b"")  # the base's own affair
    assert verify(tmp_path / "mine") == []
    (tmp_path / "mine/checkpoints/step-1/own/sgd/gradient/c/0/0").write_bytes(b"")
    shutil.rmtree(base / "checkpoints/step-1/aim")
    make.write(base, name="aim", rows=6, directions={"sgd": 16}, attributes={"target": True})
    found = verify(tmp_path / "mine")
    assert [problem.where for problem in found] == [
        "checkpoints/step-1/own/sgd/gradient/c/0/0",
        f"{base}/checkpoints/step-1/aim",
    ]
    assert "has changed since the overlay was made on it" in found[1].what
