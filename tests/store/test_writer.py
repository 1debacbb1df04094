"""Beginning, resuming, refusing: what the writer lets happen to a store."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradstore.errors import (
    CorruptError,
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)
from gradstore.inspection import verify
from gradstore.records import ProjectionSpec
from gradstore.store import DatasetWriter, open_store

DIRECTIONS = ("adam", "sgd")


def test_chunks_cover_the_rows_and_default_to_8_mib(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        assert writer.chunks == [range(0, 4), range(4, 8), range(8, 10)]
        assert writer.missing() == [0, 1, 2]
    with DatasetWriter.open(
        tmp_path / "t", **make.settings(name="big", rows=5000, dim=8192, chunk_rows=None)
    ) as writer:
        assert [len(chunk) for chunk in writer.chunks] == [1024] * 4 + [904]


def test_only_missing_chunks_are_left_after_an_interruption(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        make.fill(writer, [1])
        with pytest.raises(IncompleteError, match="lacks 2 of 3 chunks"):
            writer.seal()
    with pytest.raises(
        IncompleteError,
        match=r"run the same `gradstore extract` command again to finish it \(1 of 3 chunks done\)",
    ):
        open_store(tmp_path / "s").dataset("pool")
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        assert writer.missing() == [0, 2]
        with pytest.raises(UsageError, match=r"chunk 1 of data set 'pool' .* is finished"):
            make.fill(writer, [1])
        make.fill(writer, [2, 0])
        writer.seal()
    make.write(tmp_path / "whole")
    assert make.objects(tmp_path / "s") == make.objects(tmp_path / "whole")


def test_chunks_written_together_are_those_written_one_by_one(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(tmp_path / "one", rows=40)
    with DatasetWriter.open(tmp_path / "all", **make.settings(rows=40)) as writer:
        dims = {each: vectors.dim for each, vectors in writer.dataset.vectors.items()}
        blocks = [
            (chunk, make.block(span, dims, writer.directions, 0)) for chunk, span in enumerate(writer.chunks)
        ]
        assert list(writer.write_all(blocks[::-1])) == list(range(9, -1, -1))
        writer.seal()
    assert make.objects(tmp_path / "all") == make.objects(tmp_path / "one")


def test_of_chunks_written_together_those_before_a_bad_one_are_kept(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings(rows=40)) as writer:
        dims = {each: vectors.dim for each, vectors in writer.dataset.vectors.items()}
        blocks = [
            (chunk, make.block(span, dims, writer.directions, 0)) for chunk, span in enumerate(writer.chunks)
        ]
        blocks[5] = (5, make.block(range(3), dims, writer.directions, 0))
        with pytest.raises(UsageError, match="chunk 5"):
            list(writer.write_all(blocks))
        assert {5, 8, 9} <= set(writer.missing()) <= set(range(5, 10))
        writer.write(5, make.block(writer.chunks[5], dims, writer.directions, 0))


def test_a_finished_data_set_is_left_as_it_is(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(tmp_path / "s")
    before = make.objects(tmp_path / "s")
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        assert writer.sealed
        assert writer.missing() == []
        assert len(writer.seal()) == 10
    assert make.objects(tmp_path / "s") == before


@pytest.mark.parametrize("finish", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"encoding": "half"},
            "adam: encoding is int8 there, half now; sgd: encoding is int8 there, half now",
        ),
        ({"directions": {"sgd": 17}}, "sgd: dim is 16 there, 17 now"),
        ({"chunk_rows": 5}, "chunk_rows is 4 there, 5 now"),
        ({"rows": 11}, "rows is 10 there, 11 now"),
        ({"content_digest": "d" * 32}, f"content_digest is {'c' * 32} there, {'d' * 32} now"),
        ({"attributes": {"target": True}}, "attribute target is false there, true now"),
        ({"attributes": {"target": False, "max_length": 9}}, "attribute max_length is null there, 9 now"),
    ],
)
def test_other_settings_are_refused_naming_both_values(
    finish: bool, change: dict[str, object], message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    if finish:
        make.write(tmp_path / "s")
    else:
        DatasetWriter.open(tmp_path / "s", **make.settings()).close()
    before = make.objects(tmp_path / "s")
    with pytest.raises(IncompatibleError, match=message):
        DatasetWriter.open(tmp_path / "s", **make.settings(**change))
    assert make.objects(tmp_path / "s") == before


def test_provenance_may_differ_and_the_first_is_kept(tmp_path: Path, make: SimpleNamespace) -> None:
    for version in ("1", "2"):
        given = make.settings(attributes={"provenance": {"torch": version}})
        with DatasetWriter.open(tmp_path / "s", **given) as writer:
            make.fill(writer, writer.missing()[:2])
    dataset = make.write(tmp_path / "s", attributes={})
    assert dataset.attributes == {"provenance": {"torch": "1"}}
    assert verify(tmp_path / "s") == []


def test_another_checkpoint_under_the_same_name_is_refused(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(tmp_path / "s")
    other = make.identity(base_digest="x" * 32, projection=ProjectionSpec("sjlt", 16, 7))
    with pytest.raises(IncompatibleError) as caught:
        DatasetWriter.open(tmp_path / "s", **make.settings(name="next") | {"identity": other})
    for piece in (
        "'step-1'",
        str(tmp_path / "s"),
        "another base model",
        "the store has seed 0, this command 7",
    ):
        assert piece in str(caught.value)
    assert open_store(tmp_path / "s").datasets() == ("pool",)


def test_what_does_not_decide_comparability_may_differ(tmp_path: Path, make: SimpleNamespace) -> None:
    make.write(tmp_path / "s")
    given = make.settings(name="next") | {"identity": make.identity(base="elsewhere/tiny", weight=2.0)}
    with DatasetWriter.open(tmp_path / "s", **given) as writer:
        assert writer.identity.base == "tiny"
        make.fill(writer, writer.missing())
        assert writer.seal().identity.weight == make.identity().weight


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "nothing is lost: run the same command again once there is room"),
        (errno.EACCES, "nothing is lost: run the same command again once the folder is writable"),
        (errno.EIO, "nothing is lost: run the same command again$"),
    ],
)
@pytest.mark.parametrize("when", ["write", "seal"])
def test_a_refusal_by_the_system_loses_nothing(
    when: str, code: int, message: str, tmp_path: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        make.fill(writer, [0, 1] if when == "write" else [0, 1, 2])
        with monkeypatch.context() as patch:

            def refuse(handle: int) -> None:
                raise OSError(code, os.strerror(code))

            patch.setattr(os, "fsync", refuse)
            with pytest.raises(StoreWriteError, match=message) as caught:
                make.fill(writer, [2]) if when == "write" else writer.seal()
            assert str(tmp_path / "s/checkpoints/step-1/pool") in str(caught.value)
        assert not list(tmp_path.rglob("*.tmp"))
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        assert writer.missing() == ([2] if when == "write" else [])
    make.write(tmp_path / "s")
    make.write(tmp_path / "whole")
    assert make.objects(tmp_path / "s") == make.objects(tmp_path / "whole")


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """A real refusal by the kernel: a limit on the size of files."""
    script = (
        "import resource, sys, numpy as np, gradstore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    gradstore.import_arrays(sys.argv[1], name='pool', gradients=np.ones((1000, 100), np.float32))\n"
        "except gradstore.StoreWriteError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "s"], capture_output=True, text=True, check=True
    )
    assert (
        "sgd/gradient/c/0/0: File too large; nothing is lost: run the same command again once there is room"
        in (done.stdout)
    )


def test_a_path_that_cannot_be_a_store_is_refused(tmp_path: Path, make: SimpleNamespace) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no gradstore store"):
        DatasetWriter.open(tmp_path / "notes", **make.settings())
    with pytest.raises(UsageError, match="exists and is no gradstore store"):
        DatasetWriter.open(tmp_path / "notes/a.txt", **make.settings())
    with pytest.raises(StoreWriteError, match="is a file, not a folder: choose another path"):
        DatasetWriter.open(tmp_path / "notes/a.txt/deeper", **make.settings())
    with pytest.raises(StoreNotFoundError):
        open_store(tmp_path / "notes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../escape"}, "data set name '../escape' cannot be used"),
        ({"name": "a/b"}, "cannot be used"),
        ({"name": ""}, "cannot be used"),
        ({"name": ".hidden"}, "cannot be used"),
        ({"name": "zarr.json"}, "is reserved"),
        ({"name": "x" * 129}, "cannot be used"),
        ({"checkpoint": "run/step-1"}, "checkpoint name 'run/step-1' cannot be used"),
        ({"directions": ("columns",)}, "direction name 'columns' is reserved"),
        ({"directions": ()}, "at least one direction"),
        ({"rows": 0}, "a data set needs rows"),
        ({"dim": 0}, "a data set needs rows and numbers"),
        ({"chunk_rows": 0}, "chunk_rows must be at least 1"),
        ({"encoding": "int5"}, "unknown encoding 'int5'"),
        ({"attributes": {"lr": float("nan")}}, "cannot be written as JSON"),
        ({"attributes": {"path": "\ud800"}}, "cannot be written as JSON"),
    ],
)
def test_arguments_that_cannot_be_right_write_nothing(
    change: dict[str, object], message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    with pytest.raises(UsageError, match=message):
        DatasetWriter.open(tmp_path / "s", **make.settings(**change))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a"]}, "columns do not all have as many"),
        ({"gradients": {"sgd": np.ones((4, 16), np.float32)}}, "needs the directions adam, sgd, not sgd"),
        (
            {"gradients": dict.fromkeys((*DIRECTIONS, "rds"), np.ones((4, 16), np.float32))},
            "needs the directions adam, sgd, not adam, sgd, rds",
        ),
        ({"contents": np.ones((4, 11), np.uint8)}, r"contents are uint8 of shape \(4, 12\)"),
        ({"truncated": np.ones(3, np.bool_)}, "columns do not all have as many"),
        ({"gradients": dict.fromkeys(DIRECTIONS, np.ones((4, 15), np.float32))}, r"of shape \(4, 16\)"),
        ({"gradients": dict.fromkeys(DIRECTIONS, np.ones((4, 16)))}, "not float64"),
        (
            {"gradients": dict.fromkeys(DIRECTIONS, np.full((4, 16), np.nan, np.float32))},
            "row 'row-0' is valid but",
        ),
        ({"ids": ["a", "b", "c", "\ud800"]}, "no valid Unicode text"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(
    change: dict[str, object], message: str, tmp_path: Path, make: SimpleNamespace
) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        block = dataclasses.replace(make.block(range(0, 4), 16, DIRECTIONS), **change)
        with pytest.raises(UsageError, match=message):
            writer.write(0, block)
        assert writer.missing() == [0, 1, 2]


def test_invalid_rows_are_stored_as_zeros(tmp_path: Path, make: SimpleNamespace) -> None:
    block = make.block(range(0, 4), 16, DIRECTIONS)
    block.valid[1] = False
    block.gradients["sgd"][1] = np.nan
    with DatasetWriter.open(tmp_path / "s", **make.settings(rows=4)) as writer:
        writer.write(0, block)
        dataset = writer.seal()
    assert (dataset.take("sgd", [1]) == 0).all()
    assert dataset.norms("sgd")[1] == 0
    assert np.isnan(dataset.loss[1])


def test_a_damaged_part_says_how_to_go_on(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        make.fill(writer, [0, 1, 2])
        folder = tmp_path / "s/checkpoints/step-1/pool"
        part = folder / "parts/1.npz"
        part.write_bytes(part.read_bytes()[:-30])
        with pytest.raises(
            CorruptError, match=r"parts/1.npz is damaged .* delete it and run the same command again"
        ):
            writer.seal()
        part.unlink()
        make.fill(writer, writer.missing())
        gradient = folder / "adam/gradient/c/2/0"
        gradient.write_bytes(b"short")
        with pytest.raises(
            CorruptError, match=r"adam/gradient/c/2/0 is gone or cut short: delete .*adam/parts/2.npz"
        ):
            writer.seal()
        (folder / "adam/parts/2.npz").unlink()
        make.fill(writer, writer.missing())
        writer.seal()
    make.write(tmp_path / "whole")
    assert make.objects(tmp_path / "s") == make.objects(tmp_path / "whole")
