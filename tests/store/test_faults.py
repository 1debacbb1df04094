"""A disk that is full, folders that may not be touched or vanish: one clear line, nothing lost, a rerun completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gradstore.errors import GradstoreError, StoreWriteError
from gradstore.inspection import verify
from gradstore.store import DatasetWriter, open_store
from tests.store.everything import objects, use

HERE = Path(__file__).parents[2]
NOBODY = 65534

DRIVER = """
import os, resource, sys
sys.path.insert(0, ".")
import google_crc32c, numpy, zarr, zarr.codecs, numcodecs.blosc, numcodecs.zstd, gradstore.sharing.convert
from tests.store import conftest
from tests.store.everything import use
from gradstore.errors import GradstoreError
from gradstore.inspection import verify
what, path, limit = sys.argv[1:]
if limit != "0":
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit),) * 2)
elif what.startswith("nobody-"):
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    if what.endswith("write"):
        conftest.write(__import__("pathlib").Path(path))
    elif what.endswith("verify"):
        for problem in verify(path):
            print(problem)
    else:
        use(path)
except GradstoreError as error:
    print(f"{type(error).__name__}: {error}")
"""


def drive(what: str, path: Path, limit: int = 0) -> str:
    """What a process of its own says: one that may write no file larger than `limit`, or one of no rights."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, what, str(path), str(limit)],
        capture_output=True, text=True, check=False, cwd=HERE, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def straight(tmp_path: Path, make: SimpleNamespace) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    make.write(tmp_path / "straight")
    return objects(tmp_path / "straight")


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that a user of no rights can reach."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    return tmp_path


@pytest.mark.parametrize("limit", [60, 500, 1500])
def test_a_full_disk_loses_nothing(
    limit: int, tmp_path: Path, make: SimpleNamespace, straight: dict[str, bytes]
) -> None:
    """The system refuses to write more, which it tells like a full disk."""
    told = drive("write", tmp_path / "s", limit)
    assert told.startswith("StoreWriteError: cannot write ")
    assert told.endswith("nothing is lost: run the same command again once there is room")
    assert not [name for name in objects(tmp_path / "s") if name.endswith(".tmp")]
    make.write(tmp_path / "s")
    assert objects(tmp_path / "s") == straight


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "none", path], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this system does not let a test mount a small disk")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_disk_that_is_full_and_gets_room_again(
    small_disk: Path, make: SimpleNamespace, straight: dict[str, bytes]
) -> None:
    with pytest.raises(
        StoreWriteError, match=r"No space left on device; nothing is lost: .* once there is room"
    ):
        make.write(small_disk / "s")
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    make.write(small_disk / "s")
    assert objects(small_disk / "s") == straight


def test_a_read_only_disk_is_read_and_not_written(small_disk: Path, make: SimpleNamespace) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    make.write(small_disk / "s")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    use(small_disk / "s", verified=True)
    assert verify(small_disk / "s") == []
    with pytest.raises(StoreWriteError, match="once the folder is writable"):
        make.write(small_disk / "s", name="other")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")
def test_a_folder_that_may_not_be_written_is_told(open_folder: Path, make: SimpleNamespace) -> None:
    path = open_folder / "s"
    make.write_some(path, [0])
    before = objects(path)
    told = drive("nobody-write", path)
    assert told.startswith("StoreWriteError: cannot write ")
    assert told.endswith("nothing is lost: run the same command again once the folder is writable")
    assert objects(path) == before
    make.write(path)
    assert drive("nobody-read", path) == drive("nobody-verify", path) == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")
@pytest.mark.parametrize(
    "name",
    ["zarr.json", "checkpoints", "checkpoints/step-1/pool", "checkpoints/step-1/pool/manifest.json",
     "checkpoints/step-1/pool/columns/id/data/c/0", "checkpoints/step-1/pool/adam/gradient/c",
     "checkpoints/step-1/pool/adam/gradient/c/0/0"],
)  # fmt: skip
def test_what_may_not_be_read_is_named(name: str, open_folder: Path, make: SimpleNamespace) -> None:
    path = open_folder / "s"
    make.write(path)
    (path / name).chmod(0)
    try:
        for what in ("nobody-read", "nobody-verify"):
            told = drive(what, path)
            assert f"{path / name}" in told, told
            assert "Permission denied" in told
    finally:
        (path / name).chmod(0o755)


def test_a_folder_that_vanishes_while_it_is_written(
    tmp_path: Path, make: SimpleNamespace, straight: dict[str, bytes]
) -> None:
    path = tmp_path / "s"
    with DatasetWriter.open(path, **make.settings()) as writer:
        make.fill(writer, [0])
        shutil.rmtree(path / "checkpoints/step-1/pool")
        with pytest.raises(GradstoreError):
            _finish(writer, make)
    shutil.rmtree(path)
    make.write(path)
    assert objects(path) == straight


def test_a_folder_that_vanishes_while_it_is_read(store: Path) -> None:
    dataset = open_store(store).dataset("pool")
    blocks = dataset.blocks("adam")
    next(blocks)
    shutil.rmtree(store)
    for touch in (lambda: list(blocks), lambda: list(dataset.blocks("sgd")), lambda: dataset.ids):
        with pytest.raises(GradstoreError, match=r"is missing|is gone"):
            touch()


def _finish(writer: DatasetWriter, make: SimpleNamespace) -> None:
    make.fill(writer, [1, 2])
    writer.seal()
