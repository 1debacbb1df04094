"""Servers that fail: what passes is tried again, what does not is told in one line and soon, damage is found."""

from __future__ import annotations

import hashlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from gradstore.errors import CorruptError, GradstoreError, StoreWriteError
from gradstore.inspection import verify
from gradstore.storage import open_folder, patience, storage_options
from gradstore.storage.bucket import BucketFolder
from gradstore.storage.patience import Patience
from gradstore.store import open_store
from gradstore.store.manifest import Entry
from tests.s3 import READER, READER_SECRET, Server
from tests.storage.conftest import IMPATIENT
from tests.storage.faulty import FAULTS, Faulty

Opened = Callable[..., BucketFolder]
PATIENT = Patience(first=20, later=20, tries=50, longest=0.05)


@pytest.mark.parametrize("fault", FAULTS)
def test_half_of_all_requests_failing_loses_nothing(opened: Opened, faulty: Faulty, fault: str) -> None:
    folder, direct = opened(endpoint=faulty.endpoint, patience=PATIENT, read_timeout="300ms"), opened()
    faulty.faults, faulty.share = (fault,), 0.5 if fault != "hang" else 0.25
    data = {f"a/{number}": bytes([number]) * (1 + 5000 * number) for number in range(4)}
    for name, each in data.items():
        folder.put(name, each)
    folder.create("manifest.json", b"sealed")
    for name, each in data.items():
        assert folder.get(name) == each
        assert folder.size(name) == len(each)
    assert folder.get("nothing") is None
    assert folder.names() == ["a", "manifest.json"]
    assert sorted(folder.files()) == sorted([*data, "manifest.json"])
    folder.replace("a", "b")
    assert folder.get("b/3") == data["a/3"]
    folder.delete("b")
    faulty.faults = ()
    assert {name: direct.get(name) for name in direct.files()} == {"manifest.json": b"sealed"}
    assert faulty.count > 1


def test_a_server_that_fails_for_long_is_named_once(
    opened: Opened, faulty: Faulty, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "gradstore")
    monkeypatch.setattr(patience, "PATIENT", 0.1)
    faulty.faults, faulty.share = ("503",), 1.0
    with pytest.raises(StoreWriteError, match="503"):
        opened(endpoint=faulty.endpoint, **IMPATIENT).put("a", b"b")
    (said,) = caplog.messages
    assert said.endswith("/: the server answered 503 SlowDown; trying again for up to 1 s")


def test_a_store_written_and_read_through_a_bad_network_is_whole(
    make: SimpleNamespace, bucket: str, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.faults, faulty.share = ("500", "503", "cut", "lost"), 0.1
    with storage_options({"endpoint": faulty.endpoint}):
        make.write(bucket, rows=6, directions=("sgd",))
        rows = open_store(bucket, verified=True).dataset("pool").take("sgd", range(6))
    assert faulty.count > 5
    faulty.faults = ()
    assert verify(bucket) == []
    assert rows.shape == (6, 16)


@pytest.mark.parametrize("fault", ["503", "hang", "lost"])
def test_a_server_that_only_fails_gives_one_line_and_no_half_object(
    opened: Opened, faulty: Faulty, fault: str
) -> None:
    folder = opened(endpoint=faulty.endpoint, **IMPATIENT)
    opened().put("old", b"before" * 100)
    faulty.faults, faulty.share = (fault,), 1
    with pytest.raises(GradstoreError) as reading:
        folder.get("old")
    with pytest.raises(StoreWriteError, match="nothing is lost") as writing:
        folder.put("old", b"after!" * 100)
    for caught in (reading, writing):
        assert "\n" not in str(caught.value)
        assert f"{folder}/old" in str(caught.value)
    faulty.faults = ()
    assert opened().get("old") in (b"before" * 100, b"after!" * 100)


def entry(data: bytes) -> Entry:
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def test_bytes_damaged_on_their_way_are_fetched_again(opened: Opened, faulty: Faulty) -> None:
    folder = opened(endpoint=faulty.endpoint)
    data = [bytes([number]) * 1000 for number in range(12)]
    for number, each in enumerate(data):
        folder.put(str(number), each)
    faulty.faults, faulty.methods = ("flip",), ("GET",)
    faulty.share = 0.4
    for number, each in enumerate(data):
        if number % 2:
            assert folder.fetch(str(number), entry(each)) == each
        else:
            path = folder.file(str(number), entry(each))
            assert path is not None
            assert path.read_bytes() == each
    assert faulty.count


def test_bytes_that_are_damaged_each_time_are_refused_and_not_kept(opened: Opened, faulty: Faulty) -> None:
    folder, data = opened(endpoint=faulty.endpoint), b"x" * 1000
    folder.put("a", data)
    faulty.faults, faulty.methods, faulty.share = ("flip",), ("GET",), 1
    with pytest.raises(CorruptError, match="does not match its manifest"):
        folder.file("a", entry(data))
    assert entry(data).damage(folder.fetch("a", entry(data)))
    assert folder.absent("a", entry(data))
    faulty.faults = ()
    assert folder.fetch("a", entry(data)) == data


def test_an_object_larger_than_its_manifest_says_is_not_downloaded(opened: Opened) -> None:
    folder = opened()
    folder.put("a", b"x" * 5_000_000)
    found = folder.fetch("a", entry(b"x" * 10))
    assert found is not None
    assert len(found) <= 11


class Answering:
    """A server with one answer to everything."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def __enter__(self) -> str:
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.recv(1 << 16)
                client.sendall(self.answer)

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def told(location: str, write: bool = False) -> str:
    """The one line, which comes soon."""
    start = time.monotonic()
    with pytest.raises(GradstoreError) as caught:
        open_folder(location).put("x", b"1") if write else open_folder(location).get("zarr.json")
    assert time.monotonic() - start < 15
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Some test runners have their processes ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_heard_while_the_server_says_nothing(bucket: str, interruptible: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with storage_options({"endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}):
            folder = open_folder(bucket)
        timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            folder.get("zarr.json")
        assert time.monotonic() - start < 15  # sooner than the time-out
        timer.join()


def test_no_such_bucket(bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no such bucket" in told("s3://nobodys/s")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER_SECRET)
    assert "cannot write s3://" in told("s3://nobodys/s", write=True)


def test_no_right_to_write(bucket: str) -> None:
    with storage_options({"access_key_id": READER, "secret_access_key": READER_SECRET}):
        assert open_folder(bucket).get("zarr.json") is None
        assert "403 AccessDenied: check the credentials" in told(bucket, write=True)


@pytest.mark.parametrize(
    "options",
    [{"access_key_id": "AKIDNOBODY"}, {"secret_access_key": "wrongwrongwrong"}],
    ids=["key", "secret"],
)
def test_bad_credentials(bucket: str, options: dict[str, str]) -> None:
    with storage_options(options):
        assert "403" in told(bucket)
        assert "check the credentials" in told(bucket)


def test_no_such_host(bucket: str) -> None:
    with storage_options({"endpoint": "http://no.such.host.invalid"}):
        assert "no answer from the server: check the network, and the endpoint" in told(bucket)


def test_nothing_listens(bucket: str) -> None:
    with storage_options({"endpoint": "http://127.0.0.1:1"}):
        assert "no answer from the server" in told(bucket)


def test_another_region(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "another region" in told(bucket)


def test_no_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with Answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as endpoint:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        assert "no credentials were found" in told(bucket)
