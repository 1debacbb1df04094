"""One data set, read in every way: always the same numbers."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstore.errors import UsageError
from gradstore.interchange import import_arrays
from gradstore.store import open_store
from gradstore.store.encodings import ENCODINGS, encoding
from gradstore.store.manifest import Sealed


@settings(max_examples=15)
@given(st.data())
def test_all_ways_to_read_give_the_same_rows(make: SimpleNamespace, data: st.DataObject) -> None:
    rows, dim = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 9))
    chunk_rows = data.draw(st.integers(1, rows))
    kind = data.draw(st.sampled_from(sorted(ENCODINGS)))
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    order = data.draw(st.lists(st.integers(0, rows - 1), max_size=30))
    true = make.gradients(rows, dim, "sgd")
    expected = encoding(kind).decode(*encoding(kind).encode(true), dim)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        make.write(path, rows=rows, dim=dim, chunk_rows=chunk_rows, encoding=kind, directions=("sgd",))
        for verified in (False, True):
            dataset = open_store(path, verified=verified).dataset("pool")
            assert dataset.read("sgd", 0, rows).tobytes() == expected.tobytes()
            assert dataset.read("sgd", start, stop).tobytes() == expected[start:stop].tobytes()
            assert dataset.take("sgd", order).tobytes() == expected[order].tobytes()
            assert dataset.take("sgd", np.array(order, dtype=np.int32)).shape == (len(order), dim)
            blocks = list(dataset.blocks("sgd"))
            assert [first for first, _ in blocks] == list(range(0, rows, chunk_rows))
            assert np.concatenate([block for _, block in blocks]).tobytes() == expected.tobytes()


def test_columns_come_back_as_written(tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s")
    assert len(dataset) == 10
    assert dataset.ids.tolist() == [f"row-{row}" for row in range(10)]
    assert dataset.sources.tolist() == [f"source-{row % 3}" for row in range(10)]
    assert dataset.subtasks.tolist() == ["" if row % 2 else "täsk" for row in range(10)]
    assert dataset.valid.tolist() == [row != 5 for row in range(10)]
    assert dataset.valid.dtype == bool
    assert dataset.reasons[5] == "no learned token"
    assert dataset.reasons[4] == ""
    assert dataset.tokens.tolist() == list(range(10))
    assert dataset.loss.dtype == np.float32
    assert np.isnan(dataset.loss).tolist() == [row == 5 for row in range(10)]
    assert dataset.loss[9] == np.float32(9 / 8)
    true = make.gradients(10, 16, "adam").astype(np.float64)
    assert np.allclose(dataset.norms("adam"), np.linalg.norm(true, axis=1), rtol=2e-7, atol=0)
    assert dataset.truncated.tolist() == [row % 4 == 1 for row in range(10)]
    assert dataset.contents.tolist() == [[row] * 12 for row in range(10)]
    assert dataset.contents.dtype == np.uint8
    assert dataset.manifest.facts["truncated"] == 3
    assert dataset.manifest.facts["reasons"] == {"no learned token": 1}
    assert dataset.directions == ("adam", "sgd")
    assert (dataset.dim("adam"), dataset.encoding("adam")) == (16, "int8")
    assert dataset.attributes == {"target": False}
    assert dataset.content_digest == "c" * 32
    assert dataset.fidelity("adam")["rows"] == 4


def test_blocks_do_not_alias_the_files(tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s", encoding="exact")
    rows = dataset.read("sgd", 0, 4)
    rows[:] = 1
    assert type(rows) is np.ndarray
    assert not (dataset.read("sgd", 0, 4) == 1).any()


def test_records_come_back_in_any_order(tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s")
    assert dataset.has_records
    assert [record["n"] for record in dataset.records([9, 0, 9, 3])] == [9, 0, 9, 3]
    assert dataset.records(np.array([7]))[0] == {"n": 7, "text": "x" * 7}
    assert dataset.records([]) == []


def test_records_decode_only_the_chunks_that_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"n": row, "text": "x" * 400_000} for row in range(12)]
    dataset = import_arrays(tmp_path / "s", name="pool", gradients=np.ones((12, 2)), rows=rows)
    read: list[tuple[str, int]] = []
    real = Sealed.chunk

    def counted(self: Sealed, name: str, spec: object, index: int) -> object:
        read.append((name, index))
        return real(self, name, spec, index)  # type: ignore[arg-type]

    monkeypatch.setattr(Sealed, "chunk", counted)
    assert dataset.records([11, 0]) == [rows[11], rows[0]]
    data = [index for name, index in read if name == "columns/record/data"]
    assert data == [0, 4]
    assert dataset.records([3, 2]) == [
        rows[3],
        rows[2],
    ]  # row 2 lies in two chunks, row 3 in the second of them
    assert [index for name, index in read if name == "columns/record/data"][2:] == [0, 1]


def test_a_data_set_without_records_says_what_to_give(tmp_path: Path) -> None:
    dataset = import_arrays(tmp_path / "s", name="pool", gradients=np.ones((2, 2)))
    assert not dataset.has_records
    with pytest.raises(UsageError, match="does not hold its original rows: give the data file"):
        dataset.records([0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.read("adm", 0, 1), "unknown direction 'adm'; did you mean 'adam'"),
        (lambda d: d.norms("rds"), "unknown direction 'rds'"),
        (lambda d: d.take("rds", []), "unknown direction 'rds'"),
        (lambda d: d.read("sgd", 0, 11), "it has rows 0 to 10"),
        (lambda d: d.read("sgd", -1, 3), "it has rows 0 to 10"),
        (lambda d: d.read("sgd", 3, 2), "it has rows 0 to 10"),
        (lambda d: d.take("sgd", [0, 10]), "row 10 of data set 'pool'"),
        (lambda d: d.take("sgd", [-1]), "row -1 of data set 'pool'"),
        (lambda d: d.take("sgd", [0.5]), "given as numbers, as ids"),
        (lambda d: d.take("sgd", [True]), "given as numbers, as ids"),
        (lambda d: d.records([10]), "row 10"),
    ],
)
def test_wrong_arguments_are_refused(
    call: object, message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    dataset = make.write(tmp_path / "s")
    with pytest.raises(UsageError, match=message):
        call(dataset)  # type: ignore[operator]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"content_digest": "d" * 32},
        {"attributes": {"target": True}},
        {"encoding": "half"},
        {"chunk_rows": 5},
        {"dim": 17},
    ],
)
def test_the_digest_of_a_direction_changes_with_its_content(
    change: dict[str, object], tmp_path: Path, make: SimpleNamespace
) -> None:
    digest = make.write(tmp_path / "a").digest_of("sgd")
    assert make.write(tmp_path / "b", directions=("sgd",)).digest_of("sgd") == digest
    assert make.write(tmp_path / "b", name="other").digest_of("sgd") == digest
    assert make.write(tmp_path / "b", name="other").digest_of("adam") != digest
    assert make.write(tmp_path / "c", **change).digest_of("sgd") != digest


def test_the_digest_of_the_columns_does_not_depend_on_the_directions(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    digest = make.write(tmp_path / "a").digest
    assert make.write(tmp_path / "b", directions={"rds": 5}, encoding="half").digest == digest
    assert make.write(tmp_path / "c", content_digest="d" * 32).digest != digest


def test_directions_may_have_rows_of_different_lengths(tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s", directions={"adam": 16, "rds": 5}, encoding="exact")
    assert (dataset.dim("adam"), dataset.dim("rds")) == (16, 5)
    for name, dim in (("adam", 16), ("rds", 5)):
        true = make.gradients(10, dim, name)
        assert (dataset.read(name, 0, 10) == true).all()
        assert (dataset.take(name, [9, 2]) == true[[9, 2]]).all()
        assert dataset.take(name, []).shape == (0, dim)
        assert dataset.read(name, 3, 3).shape == (0, dim)
    assert dataset.size == dataset.manifest.size + dataset.size_of("adam") + dataset.size_of("rds")


def test_rows_are_chosen_by_number_by_id_and_by_a_bool_for_each(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    dataset = make.write(tmp_path / "s")
    rows = [7, 2, 7]
    by_number = dataset.take("sgd", rows)
    np.testing.assert_array_equal(dataset.take("sgd", list(dataset.ids[rows])), by_number)
    np.testing.assert_array_equal(dataset.take("sgd", dataset.ids[rows]), by_number)
    np.testing.assert_array_equal(
        dataset.take("sgd", dataset.valid), dataset.take("sgd", np.flatnonzero(dataset.valid))
    )
    assert dataset.records(["row-3"]) == dataset.records([3])
    with pytest.raises(UsageError, match="has no row of the id 'row-99'"):
        dataset.take("sgd", ["row-1", "row-99"])
    with pytest.raises(UsageError, match="a bool for each of its 10 rows"):
        dataset.take("sgd", np.ones(9, bool))


def test_blocks_are_the_rows_in_order_however_many_are_read_ahead(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    dataset = make.write(tmp_path / "s", chunk_rows=1)
    starts, blocks = zip(*dataset.blocks("sgd"), strict=True)
    assert starts == tuple(range(10))
    np.testing.assert_array_equal(np.concatenate(blocks), dataset.read("sgd", 0, 10))
    assert dataset.download_size("sgd") == 0


def test_an_abandoned_scan_leaves_no_thread(tmp_path: Path, make: SimpleNamespace) -> None:
    blocks = make.write(tmp_path / "s", chunk_rows=1).blocks("sgd")
    next(blocks)
    assert _readers()
    del blocks
    assert not _readers()


def _readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("encoding", ["int8", "half"])
def test_codes_times_scales_are_the_rows(encoding: str, tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s", encoding=encoding)
    parts = [codes.astype(np.float32) * scale[:, None] for _, codes, scale in dataset.encoded("sgd")]
    np.testing.assert_array_equal(np.concatenate(parts), dataset.read("sgd", 0, 10))
