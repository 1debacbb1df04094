"""Graphs and selections: whole, checked, replaceable."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompleteError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)
from gradstore.inspection import verify
from gradstore.store import Artefact, Store, create_store, read_artefact, write_artefact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "s")


def write(store: Store, version: int = 1, **changes: object) -> Artefact:
    given: dict[str, object] = {
        "arrays": {
            "neighbours": np.arange(6, dtype=np.int32).reshape(3, 2) * version,
            "cosines": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2),
            "index": np.frombuffer(b"\x00\xff" * 5, dtype=np.uint8),
            "nothing": np.zeros((0, 4)),
        },
        "strings": {"ids": ["a", "", "ü\0"], "none": []},
        "attributes": {"version": version, "recall": 0.97},
    }
    return write_artefact(store, "selections", "default", **{**given, **changes})  # type: ignore[arg-type]


def test_everything_comes_back_as_written(store: Store) -> None:
    write(store)
    artefact = read_artefact(store, "selections", "default")
    assert sorted(artefact.arrays) == ["cosines", "index", "neighbours", "nothing"]
    assert artefact.arrays["neighbours"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert artefact.arrays["neighbours"].dtype == np.int32
    assert artefact.arrays["cosines"].tobytes() == np.linspace(-1, 1, 6, dtype=np.float32).tobytes()
    assert artefact.arrays["index"].tobytes() == b"\x00\xff" * 5
    assert artefact.arrays["nothing"].shape == (0, 4)
    assert artefact.strings["ids"].tolist() == ["a", "", "ü\0"]
    assert artefact.strings["none"].tolist() == []
    assert artefact.attributes == {"version": 1, "recall": 0.97}
    assert artefact.arrays["index"] is artefact.arrays["index"]
    assert "gone" not in artefact.arrays
    assert repr(artefact) == "Artefact selections/default: cosines, index, neighbours, nothing, ids, none"
    assert store.selections == ("default",)
    assert verify(store.location) == []


def test_large_arrays_are_cut_into_chunks(store: Store) -> None:
    values = np.arange(3_000_000, dtype=np.float64)
    artefact = write(store, arrays={"values": values[:, None]})
    assert len(list((Path(store.location) / "selections/default/values/c").iterdir())) == 3
    assert (artefact.arrays["values"][:, 0] == values).all()


def test_a_new_one_replaces_the_old_and_changes_the_digest(store: Store) -> None:
    first = write(store)
    assert write(store).digest == first.digest
    second = write(store, 2, arrays={"fewer": np.zeros(1)})
    assert second.digest != first.digest
    assert list(read_artefact(store, "selections", "default").arrays) == ["fewer"]
    assert [path.name for path in (Path(store.location) / "selections").iterdir() if path.is_dir()] == [
        "default"
    ]
    assert verify(store.location) == []


def test_readers_see_the_old_or_the_new_one_and_never_none(store: Store) -> None:
    write(store, 0)
    last, read = 0, 0

    def replace() -> None:
        for version in range(1, 9):
            write(store, version)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replace)
        while not writing.done():
            found = read_artefact(store, "selections", "default")
            version = found.attributes["version"]
            try:
                rows = found.arrays["neighbours"]
            except GradstoreError as error:  # of one that was opened and then replaced
                if "was replaced while it was read" not in str(error):
                    raise
            else:
                assert (rows == np.arange(6).reshape(3, 2) * version).all()
                read += 1
            assert version >= last
            last = version
        writing.result()
    assert read > 3


def test_a_full_disk_leaves_the_old_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreWriteError, match="once there is room"):
            write(store, 2)
    assert read_artefact(store, "selections", "default").attributes["version"] == 1
    write(store, 2)
    assert verify(store.location) == []


def test_damage_is_found_on_reading(store: Store) -> None:
    write(store)
    path = Path(store.location) / "selections/default/index/c/0"
    path.write_bytes(path.read_bytes().replace(b"\xff", b"\xfe"))
    with pytest.raises(CorruptError, match="index/c/0 does not match its checksum"):
        _ = read_artefact(store, "selections", "default").arrays["index"]
    (Path(store.location) / "selections/default/manifest.json").unlink()
    with pytest.raises(IncompleteError, match="has no manifest"):
        read_artefact(store, "selections", "default")


def test_an_unknown_name_gets_the_nearest(store: Store) -> None:
    write(store)
    with pytest.raises(StoreNotFoundError, match="unknown selection 'defualt'; did you mean 'default'"):
        read_artefact(store, "selections", "defualt")
    with pytest.raises(UsageError, match="unknown kind of artefact 'graph'; did you mean 'graphs'"):
        read_artefact(store, "graph", "default")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrays": {"a/b": np.zeros(1)}}, "array name 'a/b' cannot be used"),
        ({"arrays": {"ids": np.zeros(1)}}, "either an array or strings"),
        ({"arrays": {"x": np.array(["text"])}}, "cannot be stored"),
        ({"arrays": {"x": np.array([object()])}}, "cannot be stored"),
        ({"arrays": {"x": np.array(1.0)}}, "cannot be stored"),
        ({"strings": {"ids": ["\ud800"]}}, "no valid Unicode text"),
        ({"strings": {"ids": [1]}}, "is no string"),
        ({"attributes": {"x": float("inf")}}, "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused(changes: dict[str, object], message: str, store: Store) -> None:
    with pytest.raises(UsageError, match=message):
        write(store, **changes)
    assert store.selections == ()


def test_the_second_of_two_writers_is_refused(store: Store) -> None:
    busy = store.folder.at("selections").lock(".default.lock", "never")
    with pytest.raises(StoreWriteError, match="another process is writing selections/default"):
        write(store)
    busy.release()
    write(store)
