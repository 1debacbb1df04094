"""Many processes, one data set: who may write a chunk, and what is added to what is sealed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradstore.errors import IncompatibleError, StoreWriteError, UsageError
from gradstore.inspection import verify
from gradstore.storage import LocalFolder
from gradstore.store import DatasetWriter, open_store

POOL = "checkpoints/step-1/pool"
HOLD = """
import os, subprocess, sys, time
from gradstore.records import CheckpointIdentity, ProjectionSpec
from gradstore.store import DatasetWriter
writer = DatasetWriter.open(
    sys.argv[1], checkpoint="step-1", name="pool", rows=10, chunk_rows=4, content_digest="c" * 32,
    directions={"adam": 16, "sgd": 16}, attributes={"target": False},
    identity=CheckpointIdentity(base="tiny", base_digest="b" * 32, projection=ProjectionSpec("sjlt", 16, 0)),
)
claim = writer.claim(1)
if sys.argv[2:] == ["fork"]:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
else:
    print("claimed", flush=True)
time.sleep(60)
"""


@contextmanager
def other_process(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has claimed chunk 1, and told so."""
    command = [sys.executable, "-c", HOLD, path, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def test_a_claimed_chunk_is_free_again_when_its_process_is_dead(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    with (
        DatasetWriter.open(tmp_path / "s", **make.settings()) as writer,
        other_process(tmp_path / "s") as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        assert writer.claim(1) is None
        with pytest.raises(StoreWriteError, match="another process is writing chunk 1 of data set 'pool'"):
            make.fill(writer, [1])
        make.fill(writer, [0])
        assert writer.missing() == [1, 2]
        other.kill()
        other.wait()
        make.fill(writer, [1, 2])
        writer.seal()
    assert make.objects(tmp_path / "s") == make.objects(written)


def test_a_forked_child_does_not_keep_the_claim_of_its_dead_parent(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    with (
        DatasetWriter.open(tmp_path / "s", **make.settings()) as writer,
        other_process(tmp_path / "s", "fork") as other,
    ):
        assert other.stdout is not None
        child = int(other.stdout.readline())
        assert writer.claim(1) is None
        other.kill()
        other.wait()
        try:
            os.kill(child, 0)  # it lives
            claim = writer.claim(1)
            assert claim is not None
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_claim_excludes_also_within_a_process_until_it_is_released(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    with (
        DatasetWriter.open(path, **make.settings()) as one,
        DatasetWriter.open(path, **make.settings()) as two,
    ):
        claim = one.claim(0)
        assert claim is not None
        assert (claim.chunk, claim.rows, claim.directions) == (0, range(4), ("adam", "sgd"))
        assert claim.valid is None
        assert one.claim(0) is None
        assert two.claim(0) is None
        claim.release()
        claim.release()
        with two.claim(0) as claim:
            claim.write(make.block(range(4), 16, ("adam", "sgd")))
        assert one.claim(0) is None
        assert one.missing() == [1, 2]
        assert one.claim(1) is not None
    with DatasetWriter.open(path, **make.settings()) as again:  # a writer that is closed has no claims
        assert again.claim(1) is not None
    assert not list(tmp_path.rglob(".*.lock"))


def test_a_released_claim_writes_nothing(tmp_path: Path, make: SimpleNamespace) -> None:
    with DatasetWriter.open(tmp_path / "s", **make.settings()) as writer:
        claim = writer.claim(0)
        claim.release()
        with pytest.raises(UsageError, match="the claim on it is released"):
            claim.write(make.block(range(4), 16, ("adam", "sgd")))
        assert writer.missing() == [0, 1, 2]
        with pytest.raises(UsageError, match=r"chunk 3 of data set 'pool' .* does not exist"):
            writer.claim(3)


def test_writers_of_different_directions_share_the_columns(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    path = tmp_path / "s"
    with (
        DatasetWriter.open(path, **make.settings(directions=("adam",))) as adam,
        DatasetWriter.open(path, **make.settings(directions=("sgd",))) as sgd,
    ):
        make.fill(adam, [0, 1])
        make.fill(sgd, [2, 0])
        assert (adam.missing(), sgd.missing()) == ([2], [1])
        make.fill(adam, [2])
        assert adam.seal().directions == ("adam",)
        assert not sgd.sealed
        make.fill(sgd, [1])
        assert sgd.seal().directions == ("adam", "sgd")
    assert make.objects(path) == make.objects(written)
    assert verify(path) == []


def test_only_the_directions_that_a_chunk_lacks_are_to_be_computed(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    path = tmp_path / "s"
    make.write_some(path, [0, 1], directions=("adam",))
    with DatasetWriter.open(path, **make.settings()) as writer:
        assert writer.missing() == [0, 1, 2]
        with writer.claim(1) as claim:
            assert claim.directions == ("sgd",)
            assert claim.valid.tolist() == [True, False, True, True]
        (path / POOL / "parts/1.npz").unlink()  # as told by the error of a damaged one
        with writer.claim(1) as claim:
            assert claim.directions == ("adam", "sgd")
        make.fill(writer, [0, 1, 2])
        writer.seal()
    assert make.objects(path) == make.objects(written)


def test_adding_a_direction_touches_no_sealed_byte(tmp_path: Path, make: SimpleNamespace) -> None:
    path = tmp_path / "s"
    first = make.write(path, directions=("adam",))
    before = {name: (path / name).stat() for name in make.objects(path)}
    bytes_before = make.objects(path)
    make.write_some(path, [1], directions={"rds": 3}, encoding="exact")
    assert open_store(path).dataset("pool").directions == ("adam",)
    dataset = make.write(path, directions={"rds": 3}, encoding="exact")
    assert dataset.directions == ("adam", "rds")
    assert (dataset.digest, dataset.digest_of("adam")) == (first.digest, first.digest_of("adam"))
    assert (dataset.encoding("adam"), dataset.encoding("rds")) == ("int8", "exact")
    after = make.objects(path)
    assert {name: after[name] for name in bytes_before} == bytes_before
    assert all((path / name).stat().st_mtime_ns == stat.st_mtime_ns for name, stat in before.items())
    assert {name.removeprefix(f"{POOL}/").split("/")[0] for name in {*after} - {*before}} == {"rds"}
    assert verify(path) == []


def test_the_order_in_which_directions_are_added_does_not_matter(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    for direction in ("sgd", "adam"):
        make.write(tmp_path / "s", directions=(direction,))
    assert make.objects(tmp_path / "s") == make.objects(written)


def test_a_direction_that_is_added_takes_the_chunks_that_are_there(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    make.write(tmp_path / "s", directions=("adam",))
    given = make.settings(directions={"rds": 3}, chunk_rows=None)
    with DatasetWriter.open(tmp_path / "s", **given) as writer:
        assert [len(chunk) for chunk in writer.chunks] == [4, 4, 2]
    with pytest.raises(IncompatibleError, match="chunk_rows is 4 there, 5 now"):
        DatasetWriter.open(tmp_path / "s", **make.settings(directions={"rds": 3}, chunk_rows=5))
    with pytest.raises(UsageError, match="a chunk at most 1 GiB"):
        DatasetWriter.open(tmp_path / "s", **given | {"directions": {"wide": 1 << 30}})


def test_a_direction_that_is_added_is_zero_where_a_row_is_invalid_there_or_now(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    path = tmp_path / "s"
    make.write(path, directions=("adam",))
    stored = open_store(path).dataset("pool").valid.copy()
    with DatasetWriter.open(path, **make.settings(directions=("sgd",))) as writer:
        for chunk in writer.missing():
            block = make.block(writer.chunks[chunk], 16, ("sgd",))
            valid = np.ones(len(block.ids), bool)
            valid[0] = False
            ones = {"sgd": np.ones((len(block.ids), 16), np.float32)}
            writer.write(chunk, dataclasses.replace(block, valid=valid, gradients=ones))
        starts = [rows.start for rows in writer.chunks]
        norms = writer.seal().norms("sgd")
    assert not norms[starts].any()
    np.testing.assert_array_equal(norms > 0, stored & ~np.isin(np.arange(len(stored)), starts))
    np.testing.assert_array_equal(open_store(path).dataset("pool").valid, stored)


def test_any_process_may_seal_and_again(tmp_path: Path, make: SimpleNamespace, written: Path) -> None:
    path = tmp_path / "s"
    with (
        DatasetWriter.open(path, **make.settings()) as one,
        DatasetWriter.open(path, **make.settings()) as two,
    ):
        make.fill(one, [0, 1, 2])
        assert not two.sealed
        assert len(two.seal()) == 10
        assert one.sealed
        assert one.missing() == []
        assert one.claim(1) is None
        assert len(one.seal()) == 10
    assert make.objects(path) == make.objects(written)


def test_what_killed_processes_left_is_removed(tmp_path: Path, make: SimpleNamespace, written: Path) -> None:
    path = tmp_path / "s"
    make.write(path)
    for name in ("parts/0.npz", "adam/parts/2.npz", ".0.lock", ".17.lock", ".lock"):
        (path / POOL / name).parent.mkdir(exist_ok=True)
        (path / POOL / name).write_bytes(b"left")
    make.write(path)
    assert make.objects(path) == make.objects(written)
    assert not (path / POOL / "parts").exists()


def test_where_locks_do_not_reach_the_first_part_counts(
    tmp_path: Path, make: SimpleNamespace, written: Path
) -> None:
    """As on two machines: both have the chunk, each of them writes it."""
    path = tmp_path / "s"
    with (
        DatasetWriter.open(path, **make.settings()) as here,
        DatasetWriter.open(path, **make.settings()) as elsewhere,
    ):
        mine = here.claim(1)
        (path / POOL / ".1.lock").unlink()
        theirs = elsewhere.claim(1)
        block = make.block(range(4, 8), 16, ("adam", "sgd"))
        theirs.write(block)
        mine.write(make.block(range(4, 8), 16, ("adam", "sgd"), seed=1))
        make.fill(here, [0, 2])
        here.seal()
    assert make.objects(path) == make.objects(written)


@pytest.mark.parametrize("same", [True, False])
def test_an_object_that_another_machine_publishes_with_our_temporary_file_must_be_the_same(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = LocalFolder(tmp_path), Path.replace

    def taken(self: Path, target: Path) -> Path:
        if not same:
            self.write_bytes(b"other")
        real(self, target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", taken)
    if same:
        folder.put("object", b"bytes")
    else:
        with pytest.raises(StoreWriteError, match="object: No such file"):
            folder.put("object", b"bytes")
