"""Vectors made elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradstore.data.identity import content_hash
from gradstore.errors import IncompatibleError, UsageError
from gradstore.inspection import verify
from gradstore.interchange import import_arrays
from gradstore.records import CheckpointIdentity, ProjectionSpec
from gradstore.store import open_store


def rows(count: int = 6, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)


def test_vectors_come_back_exactly_with_their_records(tmp_path: Path) -> None:
    records = [{"text": f"ä{row}", "b": 1, "a": [None, 1.5]} for row in range(6)]
    dataset = import_arrays(
        tmp_path / "s", name="pool", gradients=rows(), rows=records, ids=[f"i{row}" for row in range(6)],
        sources=["x", "y"] * 3, subtasks=list("abcabc"), target=True,
    )  # fmt: skip
    assert (dataset.read("sgd", 0, 6) == rows()).all()
    assert dataset.ids.tolist() == [f"i{row}" for row in range(6)]
    assert dataset.sources.tolist() == ["x", "y"] * 3
    assert dataset.subtasks.tolist() == list("abcabc")
    assert dataset.records([3]) == [records[3]]
    assert list(dataset.records([3])[0]) == ["text", "b", "a"]
    assert dataset.attributes["target"] is True
    assert dataset.identity == CheckpointIdentity(projection=ProjectionSpec("external", 3, 0))
    assert dataset.checkpoint == "imported"
    assert np.isnan(dataset.loss).all()
    assert verify(tmp_path / "s") == []


def test_defaults_and_choices(tmp_path: Path) -> None:
    first = import_arrays(tmp_path / "s", name="pool", gradients=rows())
    assert first.ids.tolist() == [f"pool-{row}" for row in range(6)]
    assert set(first.sources) == {"pool"}
    assert first.encoding("sgd") == "exact"
    assert first.fidelity("sgd") is None
    other = import_arrays(
        tmp_path / "s", name="more", gradients=rows(), encoding="int8", direction="rds", checkpoint="b",
        identity=CheckpointIdentity(base="llama", projection=ProjectionSpec("external", 3, 0)),
    )  # fmt: skip
    assert (other.encoding("rds"), other.directions, other.identity.base) == ("int8", ("rds",), "llama")
    assert other.fidelity("rds")["rows"] == 6
    assert open_store(tmp_path / "s").checkpoints == ("b", "imported")


def test_contents_are_those_of_the_rows_or_of_their_ids(tmp_path: Path) -> None:
    records = [{"id": f"i{row}", "text": f"ä{row}", "none": None, "deep": [{"x": None}]} for row in range(6)]
    dataset = import_arrays(tmp_path / "s", name="pool", gradients=rows(), rows=records)
    assert [bytes(each).hex() for each in dataset.contents] == [
        content_hash(record, "here") for record in records
    ]
    bare = import_arrays(tmp_path / "s", name="bare", gradients=rows(), ids=list("abcdef")).contents
    assert len(np.unique(bare, axis=0)) == 6
    other = import_arrays(tmp_path / "s", name="other", gradients=2 * rows(), ids=list("abcdef")).contents
    assert (other == bare).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8, ">f4"])
def test_any_real_numbers_become_float32(dtype: str, tmp_path: Path) -> None:
    numbers = np.arange(1, 13).reshape(4, 3).astype(dtype)
    dataset = import_arrays(tmp_path / "s", name="pool", gradients=numbers)
    assert (dataset.read("sgd", 0, 4) == np.arange(1, 13).reshape(4, 3)).all()


def test_a_memmap_and_a_view_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradstore.interchange.importer as importer

    monkeypatch.setattr(importer, "_BLOCK_BYTES", 24)
    np.save(tmp_path / "g.npy", rows(7))
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    a = import_arrays(tmp_path / "s", name="pool", gradients=mapped)
    assert (a.read("sgd", 0, 7) == rows(7)).all()
    wide = np.zeros((7, 6), np.float32)
    wide[:, ::2] = rows(7)
    assert import_arrays(tmp_path / "s", name="pool", gradients=wide[:, ::2]).digest_of("sgd") == a.digest_of(
        "sgd"
    )


def test_rows_without_a_direction_are_invalid(tmp_path: Path) -> None:
    numbers = rows().astype(np.float64)
    numbers[1] = 0
    numbers[2, 1] = np.nan
    numbers[3, 0] = -np.inf
    numbers[4, 2] = 1e300  # not a float32
    dataset = import_arrays(tmp_path / "s", name="pool", gradients=numbers)
    assert dataset.valid.tolist() == [True, False, False, False, False, True]
    bad = "non-finite gradient"
    assert dataset.reasons.tolist() == ["", "zero gradient", bad, bad, bad, ""]
    assert (dataset.read("sgd", 1, 5) == 0).all()


def test_the_same_again_is_the_same_and_other_content_is_refused(tmp_path: Path) -> None:
    first = import_arrays(tmp_path / "s", name="pool", gradients=rows())
    again = import_arrays(tmp_path / "s", name="pool", gradients=rows())
    assert again.digest_of("sgd") == first.digest_of("sgd")
    for change in ({"gradients": rows() * 2}, {"ids": list("abcdef")}, {"rows": [{}] * 6}, {"target": True}):
        with pytest.raises(IncompatibleError, match=r"content_digest|target"):
            import_arrays(tmp_path / "s", **{"name": "pool", "gradients": rows(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradients": rows()[0]}, "gradients are a matrix"),
        ({"gradients": np.zeros((0, 3))}, "gradients are a matrix"),
        ({"gradients": np.zeros((3, 0))}, "gradients are a matrix"),
        ({"gradients": rows().astype(complex)}, "gradients are a matrix of real numbers"),
        ({"gradients": np.array([["a"]])}, "gradients are a matrix of real numbers"),
        ({"ids": ["a"]}, "there are 6 gradients but 1 ids"),
        ({"ids": list("abcdea")}, "id 'a' is given twice"),
        ({"rows": [{}]}, "there are 6 gradients but 1 records"),
        ({"rows": [{"a": object()}] * 6}, "a row cannot be written as JSON"),
        ({"rows": [{"a": 1, 2: 3}] * 6}, "a row cannot be written as JSON"),
        ({"ids": ["a", "b", "c", "d", "e", "\ud800"]}, "no valid Unicode text"),
        ({"sources": []}, "but 0 sources"),
        ({"subtasks": ["x"] * 7}, "but 7 subtasks"),
        ({"encoding": "int3"}, "unknown encoding"),
        ({"name": "a b"}, "data set name 'a b' cannot be used"),
        ({"identity": CheckpointIdentity(projection=ProjectionSpec("external", 4, 0))}, "3 numbers a row"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        import_arrays(tmp_path / "s", **{"name": "pool", "gradients": rows(), **change})  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()
