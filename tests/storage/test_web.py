"""A store on a web server: read by its listing, which is not trusted."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import (
    CorruptError,
    GradstoreError,
    IncompatibleError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)
from gradstore.inspection import verify
from gradstore.sharing import merge, write_card
from gradstore.sharing.listing import index_document
from gradstore.storage import index, open_folder, storage_options
from gradstore.storage.index import parse_index
from gradstore.store import DatasetWriter, new_store, open_store, read_artefact, write_artefact


@dataclass
class Web:
    """A server of files, and what it was asked."""

    url: str
    root: Path
    asked: list[str] = field(default_factory=list)
    authorization: str = ""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "www"
    root.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            served.asked.append(self.path)

        def send_head(self) -> Any:
            if served.authorization and self.headers.get("authorization") != served.authorization:
                self.send_error(401)
                return None
            return super().send_head()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root))) as server:
        server.daemon_threads = True
        served = Web(f"http://127.0.0.1:{server.server_port}", root)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def store(make: SimpleNamespace, web: Web) -> str:
    """The URL of a store below the server's root."""
    path = web.root / "a b" / "s"
    make.write(path)
    write_artefact(
        open_store(path), "graphs", "g", arrays={"a": np.arange(4)}, strings={"b": ["x", "y"]}, attributes={}
    )
    write_card(open_store(path))
    return f"{web.url}/a%20b/s"


def test_a_store_is_opened_listed_and_read(store: str, web: Web) -> None:
    mine, theirs = open_store(web.root / "a b" / "s"), open_store(f"{store}/")
    assert str(theirs.folder) == store
    assert not theirs.writable
    assert (theirs.checkpoints, theirs.graphs) == (mine.checkpoints, mine.graphs)
    assert theirs.datasets() == ("pool",)
    assert np.array_equal(
        theirs.dataset("pool").take("adam", range(10)), mine.dataset("pool").take("adam", range(10))
    )
    assert read_artefact(theirs, "graphs", "g").digest == read_artefact(mine, "graphs", "g").digest
    assert theirs.info()["bytes"] == mine.info()["bytes"]
    assert verify(store) == verify(web.root / "a b" / "s")


def test_sealed_objects_are_downloaded_once(store: str, web: Web) -> None:
    open_store(store).dataset("pool").take("sgd", range(10))
    web.asked.clear()
    open_store(store).dataset("pool").take("sgd", range(10))
    assert {path.rpartition("/")[2] for path in web.asked} <= {"zarr.json", "manifest.json", "index.json"}


def test_a_store_on_the_web_is_a_base_and_a_source(store: str, tmp_path: Path) -> None:
    overlay = new_store(tmp_path / "mine", on=store)
    assert overlay.datasets() == ("pool",)
    merge(tmp_path / "copy", [store])
    assert open_store(tmp_path / "copy").dataset("pool").digest == overlay.dataset("pool").digest


def test_it_cannot_be_written(make: SimpleNamespace, store: str) -> None:
    with pytest.raises(
        StoreWriteError, match=r"can only be read: write to a folder or a bucket, such as an overlay"
    ):
        DatasetWriter.open(store, **make.settings(name="other"))
    folder = open_folder(store)
    for call in (
        lambda: folder.put("x", b""),
        lambda: folder.create("x", b""),
        lambda: folder.delete("zarr.json"),
        lambda: folder.replace("a", "b"),
        lambda: folder.attempt(".lock"),
        folder.make,
    ):
        with pytest.raises(StoreWriteError, match="can only be read"):
            call()


def test_a_missing_listing_is_told_with_what_to_do(store: str, web: Web) -> None:
    (web.root / "a b" / "s" / "index.json").unlink()
    with pytest.raises(
        StoreNotFoundError, match=r"index.json is missing.*write it with `gradstore store card`"
    ):
        open_store(store).datasets()


def test_nothing_there(web: Web) -> None:
    with pytest.raises(StoreNotFoundError, match="there is no gradstore store at"):
        open_store(f"{web.url}/nothing")


def test_user_password_and_token_go_to_the_server_and_nowhere_else(store: str, web: Web) -> None:
    web.authorization = "Basic " + base64.b64encode(b"me:p@ssword").decode()
    with pytest.raises(GradstoreError, match="401: check the credentials"):
        open_store(store)
    address = store.replace("http://", "http://me:p%40ssword@")
    assert open_store(address).location == store
    with storage_options({"username": "me", "password": "p@ssword"}):
        assert open_store(store).datasets() == ("pool",)
    web.authorization = "Bearer token-of-mine"
    with storage_options({"token": "token-of-mine"}):
        assert open_store(store).datasets() == ("pool",)


def test_a_query_is_sent_with_each_request_and_never_shown(store: str, web: Web) -> None:
    opened = open_store(f"{store}?sig=verysecret")
    assert opened.location == store
    opened.dataset("pool").norms("sgd")
    assert all(path.endswith("?sig=verysecret") for path in web.asked)


@pytest.mark.parametrize("url", ["http://", "https:///x", "http://host/x#y"])
def test_urls_that_name_nothing_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="names no folder"):
        open_folder(url)


@pytest.mark.parametrize(
    "path",
    [
        "../x/zarr.json",
        "a/../../zarr.json",
        "/etc/passwd",
        "a//zarr.json",
        ".hidden/zarr.json",
        "a\\b",
        "a\nb",
        "",
        "é",
        7,
        None,
    ],
)
def test_a_listing_that_names_what_no_store_has_is_refused(path: object) -> None:
    data = json.dumps({"format": 1, "paths": ["zarr.json", path]}).encode()
    with pytest.raises(CorruptError, match="no store has"):
        parse_index(data, "there")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"format":1}',
        b'{"format":1,"paths":{}}',
        b'{"format":"1","paths":[]}',
        b"\xff",
        b"[" * 10**5,
    ],
)
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="no listing of a store"):
        parse_index(data, "there")


def test_a_newer_listing_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="format 2"):
        parse_index(b'{"format":2,"paths":[]}', "there")


def test_a_listing_without_end_is_not_read_to_its_end(
    store: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradstore.storage.web.LARGEST_INDEX", 1000)
    monkeypatch.setattr(index, "LARGEST_INDEX", 1000)
    (web.root / "a b" / "s" / "index.json").write_bytes(b" " * 5000)
    with pytest.raises(CorruptError, match="is larger than"):
        open_store(store).datasets()


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_a_listing_or_refused(data: bytes) -> None:
    try:
        parse_index(data, "there")
    except (CorruptError, IncompatibleError):
        return


def test_a_listing_answers_as_the_folder_does(make: SimpleNamespace, tmp_path: Path) -> None:
    make.write(tmp_path / "s")
    folder = open_folder(tmp_path / "s")
    listing = parse_index(index_document(folder), "there")
    for place in ("checkpoints", "checkpoints/step-1"):
        assert set(listing.names(place)) == set(folder.names(place))
    listed = {"zarr.json", "manifest.json", "sgd", "adam"}
    assert set(listing.names("checkpoints/step-1/pool")) & listed == listed
    assert listing.names("nothing") == []
    assert {path.rpartition("/")[2] for path in listing.files("checkpoints")} == {
        "zarr.json",
        "manifest.json",
    }
