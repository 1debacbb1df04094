"""Repositories of the Hugging Face Hub, with fsspec's memory file system in the place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradstore.errors import GradstoreError, StoreWriteError, UsageError
from gradstore.inspection import verify
from gradstore.storage import open_folder, remote, storage_options
from gradstore.storage.cache import Cache
from gradstore.storage.hub import HubFolder
from gradstore.storage.patience import Patience
from gradstore.storage.redaction import Secrets
from gradstore.store import open_store

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("huggingface_hub")
REPOSITORY = "datasets/me/grads@main/stores"


class Answer(SimpleNamespace):
    status_code: int


class ConnectError(Exception):
    """As those of httpx."""


ConnectError.__module__ = "httpx"


class FailingError(OSError):
    """As huggingface_hub's errors, which have the answer."""

    def __init__(self, status: int | None) -> None:
        super().__init__("https://hub/api?token=verysecret")
        if status is not None:
            self.response = Answer(status_code=status)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.HfFileSystem", lambda **_: memory)
    yield memory
    memory.store.clear()


@pytest.fixture
def store(system: Any, make: SimpleNamespace, tmp_path: Path) -> str:
    make.write(tmp_path / "s")
    for name, data in make.objects(tmp_path / "s").items():
        system.pipe_file(f"{REPOSITORY}/{name}", data)
    return f"hf://{REPOSITORY}"


def test_a_store_is_opened_listed_and_read(store: str, tmp_path: Path) -> None:
    mine, theirs = open_store(tmp_path / "s"), open_store(store)
    assert theirs.location == store
    assert theirs.datasets() == mine.datasets()
    assert np.array_equal(
        theirs.dataset("pool").take("sgd", range(10)), mine.dataset("pool").take("sgd", range(10))
    )
    assert verify(store) == []
    assert sorted(theirs.folder.files()) == sorted(mine.folder.files())
    assert sorted(theirs.folder.at("checkpoints").files()) == sorted(mine.folder.at("checkpoints").files())


def test_what_is_not_there_is_none(store: str) -> None:
    folder = open_folder(store)
    assert folder.get("nothing") is None
    assert folder.size("nothing") is None
    assert folder.size("checkpoints") is None
    assert folder.names("nothing") == []
    assert folder.get("checkpoints") is None


def test_it_cannot_be_written(store: str) -> None:
    with pytest.raises(StoreWriteError, match="can only be read"):
        open_folder(store).put("x", b"")
    assert not open_folder(store).writable


def failing(status: int | None, times: int) -> tuple[HubFolder, list[int]]:
    calls: list[int] = []

    class System:
        def cat_file(self, _: str) -> bytes:
            calls.append(1)
            if len(calls) <= times:
                raise FailingError(status)
            return b"here"

    quick = Patience(first=1, later=1, tries=4, longest=0.01)
    return HubFolder(System(), "me/x", Cache(Path("nowhere"), 1), Secrets({}), patience=quick), calls


@pytest.mark.parametrize("status", [500, 503, 429, None])
def test_what_passes_is_tried_again(status: int | None) -> None:
    folder, calls = failing(status, 2)
    assert folder.get("a") == b"here"
    assert len(calls) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_told_at_once(status: int) -> None:
    folder, calls = failing(status, 99)
    with pytest.raises(
        GradstoreError, match=f"hf://me/x/a: the hub answered {status}: check HF_TOKEN"
    ) as caught:
        folder.get("a")
    assert len(calls) == 1
    assert "verysecret" not in str(caught.value)


def test_what_the_http_client_raises_is_told_and_defects_are_not_hidden() -> None:
    for error, told in ((ConnectError("down"), GradstoreError), (TypeError("a defect"), TypeError)):

        def fail(_: str, error: Exception = error) -> bytes:
            raise error

        quick = Patience(first=1, later=1, tries=2, longest=0.01)
        system: Any = SimpleNamespace(cat_file=fail)
        with pytest.raises(told):
            HubFolder(system, "me/x", Cache(Path("nowhere"), 1), Secrets({}), patience=quick).get("a")


def test_no_network_is_told() -> None:
    folder, calls = failing(None, 99)
    with pytest.raises(GradstoreError, match="no answer from the hub"):
        folder.get("a")
    assert len(calls) == 4


def test_token_and_endpoint_go_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("huggingface_hub.HfFileSystem", lambda **settings: given.update(settings))
    with storage_options({"token": "hf_secret", "endpoint": "https://mirror"}):
        folder = remote.open_remote(
            "hf://datasets/me/x@v1", {"token": "hf_secret", "endpoint": "https://mirror"}
        )
    assert (given["token"], given["endpoint"]) == ("hf_secret", "https://mirror")
    assert str(folder) == "hf://datasets/me/x@v1"
    with pytest.raises(UsageError, match="unknown setting 'region'"):
        remote.open_remote("hf://datasets/me/x", {"region": "x"})
