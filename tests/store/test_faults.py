"""A disk that is full, folders that may not be touched or vanish: one clear line, nothing lost, a rerun completes."""

from __future__ import annotations

import json
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
import json, os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, ".")
import google_crc32c, numpy, zarr, zarr.codecs, numcodecs.blosc, numcodecs.zstd, gradstore.sharing.convert
from tests.store import conftest
from tests.store.everything import use
from gradstore.errors import GradstoreError
from gradstore.inspection import verify

def work(what, path, limit):
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    else:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    try:
        if what == "write":
            conftest.write(Path(path))
        elif what == "verify":
            return "\\n".join(map(str, verify(path)))
        else:
            use(Path(path))
    except GradstoreError as error:
        return f"{type(error).__name__}: {error}"
    return ""

told = []
for job in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, work(*job).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.wait()
    assert status == 0, job
    told.append(os.read(reading, 1 << 16).decode())
print(json.dumps(told))
"""


def drive(*jobs: tuple[str, Path, int]) -> list[str]:
    """What processes say that write no file larger than a limit, or (with 0) have no rights; one for each job."""
    words = json.dumps([(what, str(path), limit) for what, path, limit in jobs])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, words],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: list[str] = json.loads(done.stdout)
    return told


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


def test_a_full_disk_loses_nothing(tmp_path: Path, make: SimpleNamespace, straight: dict[str, bytes]) -> None:
    """The system refuses to write more, which it tells like a full disk."""
    limits = (60, 500, 1500)
    for limit, told in zip(limits, drive(*(("write", tmp_path / f"{n}", n) for n in limits)), strict=True):
        assert told.startswith("StoreWriteError: cannot write ")
        assert told.endswith("nothing is lost: run the same command again once there is room")
        path = tmp_path / f"{limit}"
        assert not [name for name in objects(path) if name.endswith(".tmp")]
        make.write(path)
        assert objects(path) == straight


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
    (told,) = drive(("write", path, 0))
    assert told.startswith("StoreWriteError: cannot write ")
    assert told.endswith("nothing is lost: run the same command again once the folder is writable")
    assert objects(path) == before
    make.write(path)
    assert drive(("read", path, 0), ("verify", path, 0)) == ["", ""]


CLOSED = (
    "zarr.json",
    "checkpoints",
    "checkpoints/step-1/pool",
    "checkpoints/step-1/pool/manifest.json",
    "checkpoints/step-1/pool/columns/id/data/c/0",
    "checkpoints/step-1/pool/adam/gradient/c",
    "checkpoints/step-1/pool/adam/gradient/c/0/0",
)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")
def test_what_may_not_be_read_is_named(open_folder: Path, make: SimpleNamespace) -> None:
    make.write(open_folder / "s")
    closed = []
    for number, name in enumerate(CLOSED):
        path = Path(shutil.copytree(open_folder / "s", open_folder / f"{number}"))
        closed.append(path / name)
        closed[-1].chmod(0)
    try:
        told = drive(
            *((what, open_folder / f"{n}", 0) for n in range(len(CLOSED)) for what in ("read", "verify"))
        )
        for number, path in enumerate(closed):
            for text in told[2 * number : 2 * number + 2]:
                assert f"{path}" in text
                assert "Permission denied" in text
    finally:
        for path in closed:
            path.chmod(0o755)


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
