"""The cache: by content, checked on filling, bounded, shared, of no consequence when it is gone."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import CorruptError, GradstoreError, UsageError
from gradstore.storage import LocalFolder, cache, open_folder
from gradstore.storage.bucket import BucketFolder
from gradstore.storage.cache import Cache, cache_from_environment, parse_size
from gradstore.storage.client import Client
from gradstore.storage.receiver import Receiver
from gradstore.store import open_store
from gradstore.store.manifest import Entry

Opened = Callable[..., BucketFolder]


def entry(data: bytes) -> Entry:
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def unused(root: Path, seconds: float = 100) -> None:
    for path in files(root):
        os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of all objects that are read from the bucket."""
    seen: list[str] = []
    real = Client.download

    def download(self: Client, key: str, receiver: Receiver) -> object:
        seen.append(key)
        return real(self, key, receiver)

    monkeypatch.setattr(Client, "download", download)
    return seen


def test_a_sealed_object_is_downloaded_once(opened: Opened, downloads: list[str]) -> None:
    folder = opened()
    folder.put("a", b"hello")
    folder.put("b", b"hello")
    assert folder.absent("a", entry(b"hello"))
    assert folder.fetch("a", entry(b"hello")) == b"hello"
    assert not folder.absent("a", entry(b"hello"))
    assert opened().fetch("a", entry(b"hello")) == b"hello"
    assert opened().fetch("b", entry(b"hello")) == b"hello"  # by content, not by name
    path = folder.file("a", entry(b"hello"))
    assert path is not None
    assert path.read_bytes() == b"hello"
    assert len(downloads) == 1
    assert folder.fetch("c", entry(b"other")) is None
    assert folder.file("c", entry(b"other")) is None


def test_files_and_folders_are_the_users_own(opened: Opened, tmp_path: Path) -> None:
    folder = opened()
    folder.put("a", b"hello")
    folder.fetch("a", entry(b"hello"))
    (path,) = files(tmp_path / "cache")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_a_store_reads_the_same_from_the_cache_without_it_and_when_it_is_damaged(
    make: SimpleNamespace, bucket: str, tmp_path: Path
) -> None:
    make.write(bucket)

    def rows(verified: bool = False) -> list[np.ndarray]:
        dataset = open_store(bucket, verified=verified).dataset("pool")
        return [dataset.take("sgd", range(10)), dataset.norms("sgd")]

    first = rows()
    kept = files(tmp_path / "cache")
    assert len(kept) > 5
    for path in kept:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for mine, theirs in zip(rows(verified=True), first, strict=True):
        assert np.array_equal(mine, theirs)
    for path in kept:
        path.write_bytes(b"")
    for mine, theirs in zip(rows(), first, strict=True):
        assert np.array_equal(mine, theirs)
    for path in kept:
        path.unlink()
    for mine, theirs in zip(rows(), first, strict=True):
        assert np.array_equal(mine, theirs)


def test_what_was_used_longest_ago_goes_when_it_is_full(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 1000)
    objects = [bytes([number]) * 100 for number in range(10)]
    for data in objects:
        kept.keep(entry(data), data)
    unused(tmp_path)
    for data in objects[:3]:
        assert kept.find(entry(data))  # used now
    new = b"x" * 300
    kept.keep(entry(new), new)
    left = [number for number, data in enumerate(objects) if kept.read(entry(data)) == data]
    assert left[:3] == [0, 1, 2]
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 1000
    assert kept.read(entry(new)) == new


def test_a_cache_that_is_too_small_still_maps(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened()
    folder.cache.size = 10
    for number in range(3):
        data = bytes([number]) * 1000
        folder.put(str(number), data)
        path = folder.file(str(number), entry(data))
        assert path is not None
        assert path.read_bytes() == data
        unused(folder.cache.root)
    assert len(files(folder.cache.root)) == 1


def test_what_is_mapped_stays_readable_when_it_is_removed(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 1000)
    data = b"x" * 900
    mapped = np.memmap(kept.keep(entry(data), data), mode="r", dtype=np.uint8)
    unused(tmp_path)
    kept.keep(entry(b"y" * 900), b"y" * 900)
    assert kept.find(entry(data)) is None
    assert bytes(mapped) == data


def test_many_threads_fill_read_and_evict_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_IN_USE", 0.0)
    objects = [bytes([number]) * 2000 for number in range(30)]
    wrong: list[object] = []

    def work(seed: int) -> None:
        kept = Cache(tmp_path, 20_000)
        for number in np.random.default_rng(seed).integers(0, 30, 150):
            data = objects[number]
            found = kept.read(entry(data))
            if found is None:
                kept.keep(entry(data), data)
            elif found != data:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert not [path for path in files(tmp_path) if path.name.startswith(".")]


def test_what_a_killed_process_began_is_removed_in_time(tmp_path: Path) -> None:
    kept = Cache(tmp_path, 1000)
    kept.keep(entry(b"a"), b"a")
    begun = next(iter(files(tmp_path))).parent / ".begun"
    begun.write_bytes(b"x")
    Cache(tmp_path, 1000).keep(entry(b"b"), b"b")
    assert begun.exists()  # by a process that may live
    os.utime(begun, (0, 0))
    Cache(tmp_path, 1000).keep(entry(b"c"), b"c")
    assert not begun.exists()


def test_without_a_cache_only_mapping_fails_and_says_what_to_set(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = opened(cache=tmp_path / "file" / "cache")
    folder.put("a", b"hello")
    assert folder.fetch("a", entry(b"hello")) == b"hello"
    assert folder.absent("a", entry(b"hello"))
    with pytest.raises(GradstoreError, match=r"cannot keep s3://.*; set GRADSTORE_CACHE to a folder"):
        folder.file("a", entry(b"hello"))


@pytest.mark.parametrize("when", ["write", "rename"])
def test_a_full_disk_costs_speed_and_leaves_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    folder = opened()
    folder.put("a", b"hello")
    error = OSError(28, "No space left on device")

    class Full(io.BufferedWriter):
        def write(self, _: object) -> int:
            raise error

    if when == "write":
        monkeypatch.setattr(cache.os, "fdopen", lambda handle, _: Full(io.FileIO(handle, "wb")))
    else:
        monkeypatch.setattr(Path, "replace", Mock(side_effect=error))
    assert folder.fetch("a", entry(b"hello")) == b"hello"
    with pytest.raises(GradstoreError, match=r"No space left on device; set GRADSTORE_CACHE to a folder"):
        folder.file("a", entry(b"hello"))
    assert files(folder.cache.root) == []


@pytest.mark.parametrize("sha256", ["../../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_checksum_that_is_none_names_no_file(tmp_path: Path, sha256: str) -> None:
    for method in (Cache(tmp_path, 10).find, Cache(tmp_path, 10).read, Cache(tmp_path, 10).drop):
        with pytest.raises(CorruptError, match="checksum that is none"):
            method(Entry(1, sha256))


def test_the_environment_says_where_it_is_and_how_large(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GRADSTORE_CACHE", "GRADSTORE_CACHE_SIZE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_from_environment().root == tmp_path / ".cache" / "gradstore"
    assert cache_from_environment().size == 10**10
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_from_environment().root == tmp_path / "xdg" / "gradstore"
    monkeypatch.setenv("GRADSTORE_CACHE", "~/mine")
    monkeypatch.setenv("GRADSTORE_CACHE_SIZE", "500 MB")
    assert cache_from_environment().root == tmp_path / "mine"
    assert cache_from_environment().size == 500 * 10**6


@given(st.integers(0, 10**6), st.sampled_from(["", "B", "k", "MB", "gb", " TB "]))
def test_sizes_are_numbers_with_units(number: int, unit: str) -> None:
    power = {"": 0, "b": 0, "k": 1, "mb": 2, "gb": 3, "tb": 4}[unit.strip().lower()]
    assert parse_size(f"{number}{unit}", "--memory") == number * 1000**power


@pytest.mark.parametrize("text", ["much", "-1", "1 XB", "1e3", "", "GB"])
def test_what_is_no_size_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--memory is a size such as 20GB"):
        parse_size(text, "--memory")


def test_folders_on_a_disk_keep_no_copies(tmp_path: Path) -> None:
    LocalFolder(tmp_path).put("a", b"hello")
    folder = open_folder(tmp_path)
    assert not folder.absent("a", entry(b"hello"))
    assert not folder.forget(entry(b"hello"))
    assert folder.file("a", entry(b"hello")) == tmp_path / "a"


def test_opening_a_folder_on_a_disk_imports_nothing_for_remote_ones() -> None:
    names = "('obstore', 'fsspec', 'gradstore.storage.remote')"
    code = f"import sys, gradstore.storage as s; s.open_folder('x'); print([m for m in {names} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"[]\n"
