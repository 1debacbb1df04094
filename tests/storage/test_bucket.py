"""Objects in a bucket: whole, named as on a disk, and a store there is the store on a disk byte for byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradstore.errors import CorruptError, GradstoreError, StoreWriteError
from gradstore.inspection import verify
from gradstore.sharing import merge
from gradstore.storage import Folder, LocalFolder, open_folder
from gradstore.storage.bucket import BucketFolder
from gradstore.storage.client import Client
from gradstore.storage.receiver import PIECE, Receiver
from gradstore.store import open_store, read_artefact, write_artefact
from gradstore.store.manifest import Entry


def contents(folder: Folder) -> dict[str, bytes | None]:
    return {name: folder.get(name) for name in folder.files()}


def artefact(store: object, rows: int = 5) -> None:
    write_artefact(
        store,  # type: ignore[arg-type]
        "graphs",
        "g",
        arrays={"edges": np.arange(rows * 3).reshape(rows, 3), "more": np.arange(float(rows))},
        strings={"names": [f"n{row}" for row in range(rows)]},
        attributes={"k": 3},
    )


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "disk":
        return LocalFolder(tmp_path / "there")
    return open_folder(request.getfixturevalue("bucket"))


def test_folders_answer_alike_wherever_they_lie(place: Folder) -> None:
    assert place.get("zarr.json") is None
    assert place.size("zarr.json") is None
    assert place.names() == []
    assert list(place.files()) == []
    place.put("a/b/c.json", b"hello")
    place.put("a/+x", b"1")
    place.put("q", b"")
    assert place.names() == ["a", "q"]
    assert place.names("a") == ["+x", "b"]
    assert place.names("nothing") == []
    assert place.size("a/b/c.json") == 5
    assert place.size("q") == 0
    assert place.size("a") is None
    assert place.at("a").get("b/c.json") == b"hello"
    assert sorted(place.files()) == ["a/+x", "a/b/c.json", "q"]
    assert sorted(place.at("a").files()) == ["+x", "b/c.json"]
    assert place.where("q") == f"{place}/q"
    place.delete("a")
    place.delete("a")
    assert list(place.files()) == ["q"]
    place.delete("q")
    assert list(place.files()) == []


def test_an_object_that_is_never_changed_is_created_once(place: Folder) -> None:
    place.create("manifest.json", b"one")
    place.create("manifest.json", b"one")
    with pytest.raises(StoreWriteError, match="published by another process"):
        place.create("manifest.json", b"two")
    assert place.get("manifest.json") == b"one"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//b", "/etc/passwd", "a\\b", "a\nb", "."])
def test_names_that_lead_out_of_a_bucket_are_refused(folder: BucketFolder, name: str) -> None:
    for method in (folder.get, folder.size, folder.names, folder.at, folder.delete):
        with pytest.raises(CorruptError, match="leads out of the store"):
            method(name)


def test_locations_need_no_folder_and_may_have_any_letters(bucket: str) -> None:
    strange = open_folder(f"{bucket}/a b/%41é+x/")
    strange.put("x", b"1")
    assert str(strange) == f"{bucket}/a b/%41é+x"
    assert strange.get("x") == b"1"
    assert open_folder(f"{bucket}/a b").names() == ["%41é+x"]
    above, _, name = bucket.rpartition("/")
    root = open_folder(above)
    assert name in root.names()
    assert str(root) == above


def test_large_objects_arrive_whole_and_piece_by_piece(
    folder: BucketFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(0).bytes(40 << 20)
    folder.put("large", data)
    pieces: list[int] = []
    real = Receiver.write

    def write(self: Receiver, piece: bytes) -> bool:
        pieces.append(len(piece))
        return real(self, piece)

    monkeypatch.setattr(Receiver, "write", write)
    path = folder.file("large", Entry.of(data))
    assert path is not None
    assert path.read_bytes() == data
    assert max(pieces) <= 4 * PIECE


def test_a_store_in_a_bucket_is_the_store_on_a_disk(
    make: SimpleNamespace, bucket: str, folder: BucketFolder, tmp_path: Path
) -> None:
    disk = tmp_path / "s"
    for location in (disk, bucket):
        make.write(location, directions=("adam",))
        make.write(location, directions=("sgd",))  # added later
        make.write(location, name="target", rows=3, encoding="exact")
        artefact(open_store(location))
    assert contents(folder) == contents(LocalFolder(disk))
    assert verify(bucket) == verify(disk)
    mine, theirs = open_store(disk).dataset("pool"), open_store(bucket).dataset("pool")
    rows = np.arange(10)
    assert np.array_equal(mine.take("sgd", rows), theirs.take("sgd", rows))
    assert list(mine.ids) == list(theirs.ids)
    assert theirs.digest == mine.digest
    assert open_store(bucket, verified=True).dataset("pool").take("adam", rows).any()
    found = read_artefact(open_store(bucket), "graphs", "g")
    assert found.digest == read_artefact(open_store(disk), "graphs", "g").digest


def test_stores_on_disks_merge_into_one_in_a_bucket(
    make: SimpleNamespace, bucket: str, tmp_path: Path
) -> None:
    make.write_some(tmp_path / "one", [0])
    make.write_some(tmp_path / "two", [1, 2])
    merge(bucket, [tmp_path / "one", tmp_path / "two"])
    merge(tmp_path / "whole", [tmp_path / "one", tmp_path / "two"])
    assert contents(open_folder(bucket)) == contents(LocalFolder(tmp_path / "whole"))
    merge(tmp_path / "back", [bucket])
    assert contents(LocalFolder(tmp_path / "back")) == contents(LocalFolder(tmp_path / "whole"))


def test_two_processes_that_write_one_data_set_leave_the_bytes_of_one(
    make: SimpleNamespace, bucket: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "tests.storage.bucket_driver", bucket]
    both = [subprocess.Popen(words, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    make.write(tmp_path / "s", rows=40)
    assert contents(open_folder(bucket)) == contents(LocalFolder(tmp_path / "s"))


def test_a_writer_that_was_killed_is_succeeded_when_its_lease_has_ended(
    make: SimpleNamespace, bucket: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "tests.storage.bucket_driver", bucket]
    root = Path(__file__).parents[2]
    first = subprocess.Popen([*words, "--stand"], cwd=root, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"claimed\n"
    first.kill()
    first.communicate()
    assert ".1.lock" in open_folder(bucket).at("checkpoints/step-1/pool").names()
    subprocess.run(words, cwd=root, check=True, timeout=120)
    make.write(tmp_path / "s", rows=40)
    assert contents(open_folder(bucket)) == contents(LocalFolder(tmp_path / "s"))


@pytest.mark.parametrize("operation", [1, 2, 3, 6, 12])
def test_an_artefact_replaced_by_a_killed_process_is_the_old_or_the_new_one(
    make: SimpleNamespace, bucket: str, monkeypatch: pytest.MonkeyPatch, operation: int
) -> None:
    """Killed before any request that changes something, from the first removal on."""
    make.write(bucket, rows=2)
    store = open_store(bucket)
    artefact(store)
    old = read_artefact(store, "graphs", "g").digest
    done = 0
    real = BucketFolder.replace

    def count(method: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **settings: object) -> object:
            nonlocal done
            done += 1
            if done >= operation:
                raise KeyboardInterrupt
            return method(*args, **settings)

        return counted

    def replace(self: BucketFolder, fresh: str, name: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for each in ("copy", "delete", "put"):
                patch.setattr(Client, each, count(getattr(Client, each)))
            real(self, fresh, name)

    monkeypatch.setattr(BucketFolder, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        artefact(store, rows=6)
    monkeypatch.setattr(BucketFolder, "replace", real)
    found = read_artefact(store, "graphs", "g")
    assert (found.digest == old) == (operation == 1)
    rows = 5 if operation == 1 else 6
    assert [len(each) for each in [*found.arrays.values(), *found.strings.values()]] == [rows] * 3
    artefact(store, rows=7)
    assert len(read_artefact(store, "graphs", "g").strings["names"]) == 7
    assert [name for name in store.folder.files() if "/." in name] == []


def test_a_store_copied_by_hand_is_the_same_store(make: SimpleNamespace, bucket: str, tmp_path: Path) -> None:
    make.write(bucket)
    folder = open_folder(bucket)
    for name in folder.files():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(folder.get(name) or b"")
    assert verify(tmp_path / "copy") == []
    shutil.rmtree(tmp_path / "copy")


def test_what_is_damaged_in_the_bucket_is_told(
    make: SimpleNamespace, bucket: str, folder: BucketFolder
) -> None:
    make.write(bucket)
    name = "checkpoints/step-1/pool/sgd/norm/c/0"
    data = folder.get(name) or b""
    folder.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(GradstoreError, match="does not match its checksum"):
        open_store(bucket).dataset("pool").norms("sgd")
