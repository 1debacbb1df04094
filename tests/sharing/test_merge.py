"""Stores that each hold a part become the one that a single process would have written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.errors import CorruptError, IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.inspection import verify
from gradstore.records import ProjectionSpec
from gradstore.sharing import merge
from gradstore.store import DatasetWriter, open_store, write_artefact

POOL = "checkpoints/step-1/pool"


@pytest.fixture
def parts(tmp_path: Path, make: SimpleNamespace) -> list[Path]:
    """Two stores with chunks 0 and 2, and chunk 1."""
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, chunks in zip(paths, ([0, 2], [1]), strict=True):
        make.write_some(path, chunks)
    return paths


def test_parts_become_what_one_process_writes(
    parts: list[Path], tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    before = [make.objects(path) for path in parts]
    (report,) = merge(tmp_path / "out", parts)
    assert make.objects(tmp_path / "out") == make.objects(written)
    assert [make.objects(path) for path in parts] == before
    assert (report.checkpoint, report.name, report.rows) == ("step-1", "pool", 10)
    assert (report.chunks, report.copied, report.missing) == (3, 3, {})
    assert report.directions == ("adam", "sgd")
    assert merge(tmp_path / "out", parts)[0].copied == 0
    assert make.objects(tmp_path / "out") == make.objects(written)


@pytest.mark.parametrize("out", ["a", "b"])
def test_parts_may_be_merged_into_one_of_them(
    out: str, parts: list[Path], tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    merge(tmp_path / out, [path for path in parts if path.name != out])
    assert make.objects(tmp_path / out) == make.objects(written)


def test_what_is_still_missing_is_told_and_extraction_goes_on_there(
    parts: list[Path], tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    (report,) = merge(tmp_path / "out", parts[:1])
    assert (report.copied, report.directions, report.missing) == (2, (), {"adam": 1, "sgd": 1})
    make.write(tmp_path / "out")
    assert make.objects(tmp_path / "out") == make.objects(written)


def test_directions_may_come_from_different_stores_finished_or_not(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    make.write(tmp_path / "adam", directions=("adam",))
    make.write_some(tmp_path / "sgd-1", [1], directions=("sgd",))
    make.write_some(tmp_path / "sgd-2", [0, 2], directions=("sgd",))
    sources = [tmp_path / name for name in ("sgd-1", "adam", "sgd-2")]
    merge(tmp_path / "out", sources[:2])
    assert open_store(tmp_path / "out").dataset("pool").directions == ("adam",)
    (report,) = merge(tmp_path / "out", sources)
    assert (report.directions, report.missing) == (("adam", "sgd"), {})
    assert make.objects(tmp_path / "out") == make.objects(written)


def test_a_finished_store_is_copied_as_it_is(tmp_path: Path, make: SimpleNamespace) -> None:
    """With columns and rows of several kinds and lengths, of data sets that other stores do not have."""
    for checkpoint, step in (("step-1", 1), ("step-2", 2)):
        more = {"checkpoint": checkpoint, "identity": make.identity(step=step)}
        make.write(tmp_path / "a", directions={"adam": 16, "rds": 5}, encoding="exact", rows=23, **more)
    make.write(tmp_path / "b", name="goal", identity=make.identity(step=1), encoding="half", chunk_rows=3)
    reports = merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert [(each.checkpoint, each.name) for each in reports] == [
        ("step-1", "goal"),
        ("step-1", "pool"),
        ("step-2", "pool"),
    ]
    assert make.objects(tmp_path / "out") == make.objects(tmp_path / "a") | make.objects(tmp_path / "b")
    assert verify(tmp_path / "out") == []


@pytest.mark.parametrize("finished", [("a",), ("b",), ("a", "b"), ()])
def test_what_two_stores_both_have_must_be_the_same(
    finished: tuple[str, ...], tmp_path: Path, make: SimpleNamespace
) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        if name in finished:
            make.write(tmp_path / name, seed=seed)
        else:
            make.write_some(tmp_path / name, [1], seed=seed)
    merge(tmp_path / "out", [tmp_path / "a", tmp_path / "a"])
    with pytest.raises(
        IncompatibleError,
        match=r"chunk [01] of data set 'pool' of 'step-1', adam is not the same in .*out \(there\) and .*b \(here\): "
        r"norm of row [04] is \S+ there, \S+ here; merge only one",
    ):
        merge(tmp_path / "out", [tmp_path / "b"])


@pytest.mark.parametrize("finish", [False, True])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("ids", ["row-4", "row-5", "x", "row-7"], "id of row 6 is 'row-6' there, 'x' here"),
        ("loss", np.array([0.5, 1, 1, 1], np.float32), "loss of row 5 is nan there, 1.0 here"),
        ("tokens", np.array([4, 5, 9, 7], np.int32), "tokens of row 6 is 6 there, 9 here"),
        ("truncated", np.zeros(4, bool), "truncated of row 5 is True there, False here"),
        ("contents", np.full((4, 12), 4, np.uint8), r"contents of row 5 is 050505\S+ there, 040404\S+ here"),
    ],
)
def test_other_columns_are_refused_with_both_values(
    finish: bool, column: str, value: Any, message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write(tmp_path / "a") if finish else make.write_some(tmp_path / "a", [1])
    with DatasetWriter.open(tmp_path / "b", **make.settings()) as writer:
        block = make.block(writer.chunks[1], 16, ("adam", "sgd"))
        valid = np.ones(4, bool) if column == "loss" else block.valid
        changed = {each: getattr(block, each) for each in block.__slots__} | {"valid": valid, column: value}
        writer.write(1, type(block)(**changed))
    with pytest.raises(IncompatibleError, match=message):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"chunk_rows": 5},
            r"pool' of 'step-1' in \S+a was made .*\(chunk_rows is 4 there, 5 in \S+b\): only",
        ),
        ({"rows": 9}, "rows is 10 there, 9 in"),
        ({"content_digest": "d" * 32}, f"content_digest is {'c' * 32} there, {'d' * 32} in"),
        ({"encoding": "half"}, "adam: encoding is int8 there, half in"),
        ({"directions": {"adam": 9}}, "adam: dim is 16 there, 9 in"),
        ({"attributes": {"target": True}}, "attribute target is false there, true in"),
        ({"dim": 9}, r"checkpoint 'step-1' of \S+b is not that of \S+a \(projection dim: 9, not 16\)"),
    ],
)
@pytest.mark.parametrize("into", [False, True])
def test_incompatible_stores_are_refused_before_anything_is_written(
    into: bool, change: dict[str, Any], message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write_some(tmp_path / "a", [0])
    make.write_some(tmp_path / "b", [1], **change)
    out, sources = (tmp_path / "a", ["b"]) if into else (tmp_path / "out", ["a", "b"])
    before = make.objects(out)
    with pytest.raises(IncompatibleError, match=message):
        merge(out, [tmp_path / name for name in sources])
    assert make.objects(out) == before


def test_another_projection_seed_is_another_checkpoint(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write_some(tmp_path / "a", [0])
    make.write_some(tmp_path / "b", [1], identity=make.identity(projection=ProjectionSpec("sjlt", 16, 7)))
    with pytest.raises(IncompatibleError, match="projection seed: 7, not 0"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "finished"),
    [
        ("adam/gradient/c/1/0", False),
        ("adam/gradient/c/1/0", True),
        ("parts/1.npz", False),
        ("sgd/parts/1.npz", False),
        ("columns/id/data/c/0", True),
        ("sgd/norm/c/0", True),
        ("adam/manifest.json", True),
    ],
)
def test_a_damaged_source_is_refused(
    name: str, finished: bool, tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write(tmp_path / "a") if finished else make.write_some(tmp_path / "a", [0, 1])
    path = tmp_path / "a" / POOL / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data if path.suffix != ".npz" else data[: len(data) // 2])
    with pytest.raises(CorruptError, match=name):
        merge(tmp_path / "out", [tmp_path / "a"])


@pytest.mark.parametrize("name", ["adam/gradient/c/1/0", "columns/id/data/c/0", "sgd/norm/c/0"])
def test_a_source_that_lacks_something_is_refused(name: str, tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(tmp_path / "a")
    (tmp_path / "a" / POOL / name).unlink()
    with pytest.raises(CorruptError, match=name):
        merge(tmp_path / "out", [tmp_path / "a"])


def test_the_first_store_tells_of_the_checkpoint_and_artefacts_are_left(
    parts: list[Path], tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write_some(tmp_path / "c", [1], identity=make.identity(weight=0.5))
    write_artefact(open_store(parts[0]), "graphs", "default", arrays={}, strings={}, attributes={})
    heard: list[str] = []
    merge(tmp_path / "out", [parts[0], tmp_path / "c"], log=heard.append)
    assert open_store(tmp_path / "out").identity("step-1").weight == make.identity().weight
    assert open_store(tmp_path / "out").graphs == ()
    assert heard == [
        f"step-1: {tmp_path / 'c'} tells of it otherwise than {parts[0]}, which is kept",
        f"{parts[0]}: not merged, build them anew: graphs/default",
    ]


def test_a_chunk_that_another_process_writes_is_not_taken_from_it(
    parts: list[Path], tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    with (
        DatasetWriter.open(tmp_path / "out", **make.settings()) as writer,
        writer.claim(1),
        pytest.raises(StoreWriteError, match="another process is writing chunk 1 of data set 'pool'"),
    ):
        merge(tmp_path / "out", parts)
    merge(tmp_path / "out", parts)
    assert make.objects(tmp_path / "out") == make.objects(written)


def test_what_cannot_be_merged_is_told(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to merge"):
        merge(tmp_path / "out", [])
    with pytest.raises(UsageError, match="cannot be merged into itself"):
        merge(parts[0], [parts[1], f"{parts[0]}/../a"])
    with pytest.raises(StoreNotFoundError, match="no gradstore store at"):
        merge(tmp_path / "out", [parts[0], tmp_path / "none"])
    (tmp_path / "file").mkdir()
    (tmp_path / "file/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no gradstore store"):
        merge(tmp_path / "file", parts)
    assert not (tmp_path / "out").exists()


def test_sources_may_be_read_only(
    parts: list[Path], tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    shutil.copytree(parts[0], tmp_path / "c")
    for path in (tmp_path / "c").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    merge(tmp_path / "out", [tmp_path / "c", parts[1]])
    assert make.objects(tmp_path / "out") == make.objects(written)
