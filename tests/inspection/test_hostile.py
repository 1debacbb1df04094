"""Stores that somebody made to do harm: ways out, absurd sizes, bombs, what never ends. Refused, in little memory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import numpy as np
import pytest
from numcodecs import Zstd

from gradstore.errors import CorruptError, GradstoreError
from gradstore.inspection import verify
from gradstore.records import canonical_json
from gradstore.store import open_store, read_artefact
from gradstore.store.layout import parse_json
from gradstore.store.npz import read_npz
from tests.store.everything import Scratch, build, problems, reseal, sign, use

POOL = "checkpoints/step-1/int8"

Reads = Callable[[Path], str]

READER = """
import gc, json, os, resource, signal, sys, time, traceback
import numpy, zarr, zarr.codecs, numcodecs.blosc, numcodecs.zstd, google_crc32c, hnswlib
sys.path.insert(0, ".")
from tests.store.everything import use
from gradstore.errors import GradstoreError
from gradstore.inspection import verify

def read(path):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (256 << 20),) * 2)
    started, told = time.monotonic(), []
    for action in (use, verify):
        try:
            told += [str(each) for each in action(path) or ()]
        except GradstoreError as error:
            told.append(str(error))
    assert time.monotonic() - started < 60
    return repr(told)

gc.freeze()
for line in sys.stdin:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(300)
        try:
            text = read(json.loads(line))
            with open(writing, "w") as file:
                file.write(text)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps([status, text]), flush=True)
"""


@pytest.fixture(scope="module")
def read_in_little_memory() -> Iterator[Reads]:
    """What opening, reading and verifying says in a process that gets 256 MiB beyond what Python and Zarr take.

    A fork for each store, of one process that has imported everything.
    """
    with subprocess.Popen(
        [sys.executable, "-c", READER],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as driver:  # fmt: skip
        assert driver.stdin is not None
        assert driver.stdout is not None
        asks, answers = driver.stdin, driver.stdout

        def read(path: Path) -> str:
            print(json.dumps(str(path)), file=asks, flush=True)
            status, told = json.loads(answers.readline())
            assert status == 0, "the traceback is on stderr"
            return str(told)

        yield read
        asks.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:
    return build(tmp_path_factory.mktemp("hostile") / "s", make, ("int8",))


@pytest.fixture
def scratch(whole: Path, tmp_path: Path) -> Scratch:
    return Scratch(whole, tmp_path / "s")


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(canonical_json(document))


def grid(chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": [chunk]}}


def ours(**members: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document["attributes"]["gradstore"].update(members)


def with_crc(body: bytes) -> bytes:
    return body + google_crc32c.value(body).to_bytes(4, "little")


NAMES = [
    "../../../../secret", "/etc/passwd", "a\0b", "a\\..\\b", "a//b", "./a", "a/./b", "", "é", "x" * 5000,
    "a/" * 600 + "a", "-x", ".x",
]  # fmt: skip
# All manifests are read by one function, so that three names are enough for the others.
PLACES = [
    *((POOL, name) for name in NAMES),
    *((where, name) for where in (f"{POOL}/sgd", "graphs/default") for name in NAMES[:3]),
    *(
        pytest.param(where, name, marks=pytest.mark.long)
        for where in (f"{POOL}/sgd", "graphs/default")
        for name in NAMES[3:]
    ),
]


@pytest.mark.parametrize(("where", "name"), PLACES)
def test_names_in_manifests_lie_below_their_folder(where: str, name: str, scratch: Scratch) -> None:
    (scratch.path.parent / "secret").write_bytes(b"secret")
    path = scratch.path / where / "manifest.json"
    document = json.loads(path.read_bytes())
    document["objects"][name] = {"bytes": 6, "sha256": "0" * 64}
    path.write_bytes(sign(document))
    assert any("leads out of the store or is no name in it" in each for each in problems(scratch.path))
    with pytest.raises(CorruptError):
        use(scratch.path)


@pytest.mark.parametrize("member", ["arrays", "strings"])
@pytest.mark.parametrize(
    "names", [["../../x"], ["/x"], ["a\0b"], [7], "ids", {"a": 1}, ["ids", "ids"], [""], [None]]
)
def test_names_in_artefacts_are_names(member: str, names: Any, scratch: Scratch) -> None:
    edit(scratch.path / "selections/chosen/zarr.json", ours(**{member: names}))
    reseal(scratch.path)
    with pytest.raises(CorruptError, match="does not describe an artefact"):
        read_artefact(open_store(scratch.path), "selections", "chosen")
    assert any("does not describe an artefact" in each for each in problems(scratch.path))


def test_a_part_cannot_make_a_merge_write_elsewhere(
    scratch: Scratch, tmp_path: Path, make: SimpleNamespace
) -> None:
    """An unfinished chunk names its objects itself; copied under such a name they would replace others."""
    from gradstore.sharing import merge
    from gradstore.storage import LocalFolder
    from gradstore.store.manifest import Entry
    from gradstore.store.parts import Part, part_bytes, part_path

    folder = scratch.path / "checkpoints/step-1/begun/sgd"
    with np.load(folder / "parts/1.npz") as archive:
        arrays = {name: archive[name] for name in ("norm", "scale")}
    for name in ("../zarr.json", "../../../../evil", "zarr.json", "gradient/c/0/0"):
        target = folder / name
        before = target.read_bytes() if target.exists() else None
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(before or b"evil")
        entry = Entry.of(target.read_bytes())
        LocalFolder(folder).put(part_path(1), part_bytes(Part(arrays, {name: entry})))
        out = tmp_path / name.replace("/", "-")
        with pytest.raises(CorruptError, match="it speaks of other objects than its own"):
            merge(out, [scratch.path])
        if before is None:
            target.unlink()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (f"{POOL}/zarr.json", ours(rows=10**18)),
        (f"{POOL}/zarr.json", ours(rows=10**18, chunk_rows=1)),
        (f"{POOL}/zarr.json", ours(rows=10**11, chunk_rows=10**9)),
        (f"{POOL}/sgd/zarr.json", ours(dim=10**18)),
        (f"{POOL}/sgd/zarr.json", ours(dim=2**31)),
        ("checkpoints/step-1/begun/zarr.json", ours(rows=10**18, chunk_rows=1)),
        ("checkpoints/step-1/begun/zarr.json", ours(rows=10**18, chunk_rows=10**15)),
        ("checkpoints/step-1/begun/sgd/zarr.json", ours(dim=10**12)),
        (f"{POOL}/columns/id/data/zarr.json", lambda d: d.update(shape=[10**18])),
        (f"{POOL}/columns/id/offsets/zarr.json", lambda d: d.update(shape=[10**18])),
        ("graphs/default/neighbours/zarr.json", lambda d: d.update(shape=[10**18, 3])),
        ("graphs/default/neighbours/zarr.json", lambda d: d.update(shape=[10**4000, 3])),
        (
            "graphs/default/ids/data/zarr.json",
            lambda d: d.update(shape=[2**30], chunk_grid=grid(2**30)),
        ),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_in_little_memory(
    name: str, change: Callable[[dict[str, Any]], Any], scratch: Scratch, read_in_little_memory: Reads
) -> None:
    edit(scratch.path / name, change)
    reseal(scratch.path)
    assert len(read_in_little_memory(scratch.path)) > 10


def bomb(size: int) -> bytes:
    """A compressed chunk of many zeros."""
    return with_crc(Zstd(level=3).encode(np.zeros(size, np.uint8)))


@pytest.mark.parametrize(
    "name",
    [
        f"{POOL}/columns/id/data/c/0",
        f"{POOL}/columns/id/offsets/c/0",
        "checkpoints/step-1/zipped/sgd/gradient/c/0/0",
    ],
)
def test_a_chunk_that_grows_beyond_its_size_is_refused_in_little_memory(
    name: str, scratch: Scratch, read_in_little_memory: Reads
) -> None:
    (scratch.path / name).write_bytes(bomb(1 << 30))
    reseal(scratch.path)
    assert "and a chunk has" in read_in_little_memory(scratch.path)


def test_a_file_of_any_size_in_place_of_an_object_or_a_document_is_not_read(
    scratch: Scratch, read_in_little_memory: Reads
) -> None:
    for name in (
        f"{POOL}/columns/id/data/c/0",
        f"{POOL}/sgd/gradient/c/0/0",
        f"{POOL}/manifest.json",
        "index.json",
    ):
        with (scratch.path / name).open("r+b") as file:
            file.truncate(1 << 40)  # a hole
    told = read_in_little_memory(scratch.path)
    assert "has 1.0 TiB, more than any document has" in told
    with (scratch.path / "zarr.json").open("r+b") as file:
        file.truncate(1 << 40)
    assert "zarr.json has 1.0 TiB" in read_in_little_memory(scratch.path)


def archive(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(header: str, body: bytes = b"") -> bytes:
    padded = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + body


HEADER = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }"
PICKLE = BytesIO()
np.save(PICKLE, np.array([{"a": 1}], object), allow_pickle=True)


@pytest.mark.parametrize(
    "data",
    [
        archive(zipfile.ZIP_DEFLATED, norm=npy(HEADER % ("|u1", 1 << 28), bytes(1 << 28))),
        archive(norm=npy(HEADER % ("<f4", 10**12), bytes(16))),
        archive(norm=npy(HEADER % ("<f4", -4), bytes(16))),
        archive(norm=npy(HEADER % ("|O", 4), bytes(16))),
        archive(norm=npy("__import__('os').system('true')", bytes(16))),
        archive(norm=npy("{" * 3000)),
        archive(norm=PICKLE.getvalue()),
        archive(norm=b"no array"),
        b"PK\x05\x06" + bytes(18),
        b"",
    ],
    ids=["deflated", "absurd", "negative", "objects", "code", "deep", "pickle", "noise", "nothing", "empty"],
)  # fmt: skip
def test_parts_that_no_writer_made_are_refused_in_little_memory(
    data: bytes, scratch: Scratch, read_in_little_memory: Reads
) -> None:
    (scratch.path / "checkpoints/step-1/begun/sgd/parts/1.npz").write_bytes(data)
    assert "parts/1.npz is damaged" in read_in_little_memory(scratch.path)


def test_an_archive_is_read_as_numpy_reads_it() -> None:
    arrays = {
        "a": np.arange(6.0).reshape(2, 3),
        "b/data": np.zeros(0, np.uint8),
        "c": np.array([True, False]),
    }
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    found = read_npz(buffer.getvalue())
    assert list(found) == list(arrays)
    assert all(
        np.array_equal(found[name], arrays[name]) and found[name].dtype == arrays[name].dtype
        for name in arrays
    )


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":"\\ud800"}', b'{"a":"\xed\xa0\x80"}',
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[1]", b"1",
        b'\xef\xbb\xbf{"a":1}', b"{\x00}", '{"a":1}'.encode("utf-16"), b'{"a":' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_json_that_readers_would_take_differently_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="here"):
        parse_json(data, "here")


def test_json_of_all_kinds_that_are_well_is_read() -> None:
    assert parse_json('{"a": "\\ud83d\\ude00é", "b": [1.5, -0.0, null, {}]}'.encode(), "here")["b"][0] == 1.5


@pytest.mark.parametrize(
    "name",
    [
        "zarr.json", "checkpoints/step-1/zarr.json", f"{POOL}/zarr.json", f"{POOL}/manifest.json",
        f"{POOL}/columns/id/data/c/0", f"{POOL}/sgd/gradient/c/0/0", "index.json",
        "checkpoints/step-1/begun/parts/1.npz",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_no_file_is_never_waited_for(
    name: str, kind: str, scratch: Scratch, monkeypatch: Any
) -> None:
    path = scratch.path / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    else:
        try:
            os.mknod(path, 0o020666, os.makedev(1, 5))  # /dev/zero
        except OSError:
            pytest.skip("only root makes devices")
    try:
        use(scratch.path)
        verify(scratch.path)
    except GradstoreError:
        pass
    assert problems(scratch.path)


def test_links_that_go_round_or_out_are_refused_or_listed(scratch: Scratch, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (scratch.path / "checkpoints/loop").symlink_to(scratch.path / "checkpoints")
    (scratch.path / POOL / "loop").symlink_to(scratch.path / POOL)
    (scratch.path / "graphs/out").symlink_to(tmp_path / "out")
    (scratch.path / "graphs/self").symlink_to(scratch.path / "graphs/self")
    (scratch.path / "selections/zero").symlink_to("/dev/zero")
    found = problems(scratch.path)
    assert found
    with pytest.raises(CorruptError, match="leads out of the store"):
        use(scratch.path)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {}}, {"identity": []}, {"base": 7}, {"step": "x"}, {"weight": "1"}, {"weight": -1},
        {"weight": 1e400}, {"weight": None}, {"lora": []}, {"projection": 3},
        {"projection": {"kind": 1, "dim": "x", "seed": None}},
        {"parameters": 5}, {"parameters": [["a", "b"]]}, {"step": True},
    ],
)  # fmt: skip
def test_an_identity_of_wrong_types_is_refused(change: dict[str, Any], scratch: Scratch) -> None:
    from gradstore.records import digest

    path = scratch.path / "checkpoints/step-1/zarr.json"
    document = json.loads(path.read_bytes())
    stored = document["attributes"]["gradstore"]
    stored["identity"] = change.get("identity", {**stored["identity"], **change})
    stored["digest"] = digest(canonical_json(stored["identity"]))
    path.write_text(json.dumps(document))
    assert "damaged" in repr(open_store(scratch.path))
    with pytest.raises(GradstoreError):
        open_store(scratch.path).dataset("int8")


@pytest.mark.parametrize(
    "facts",
    [
        {"valid": "9"},
        {"valid": -1},
        {"valid": 10**9},
        {"truncated": None},
        {"reasons": []},
        {"reasons": {"x": "y"}},
    ],
)
def test_counts_of_wrong_types_are_refused(facts: dict[str, Any], scratch: Scratch) -> None:
    edit(scratch.path / POOL / "manifest.json", lambda document: document.update(facts))
    reseal(scratch.path)
    assert "damaged" in repr(open_store(scratch.path))


def test_terabytes_cannot_be_made_of_chunks_that_are_not_there(
    scratch: Scratch, read_in_little_memory: Reads
) -> None:
    """A manifest that lists ten thousand large chunks, of which none exists."""
    folder = scratch.path / "graphs/default"
    edit(
        folder / "cosines/zarr.json",
        lambda d: d.update(
            shape=[10**12], chunk_grid={"name": "regular", "configuration": {"chunk_shape": [10**8]}}
        ),
    )
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["objects"] |= {
        f"cosines/c/{chunk}": {"bytes": 4 * 10**8 + 4, "sha256": "0" * 64} for chunk in range(10_000)
    }
    (folder / "manifest.json").write_bytes(sign(manifest))
    reseal(scratch.path)
    assert "cosines" in read_in_little_memory(scratch.path)
