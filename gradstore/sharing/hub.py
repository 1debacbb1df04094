"""Copies to the Hugging Face Hub, whose repositories change by commits: all of a commit is there, or nothing."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from gradstore.errors import GradstoreError, StoreWriteError, UsageError, first_line
from gradstore.progress import Bar, Progress
from gradstore.sharing.card import card_files
from gradstore.sharing.sending import checked
from gradstore.sharing.shipment import SealedFolder, Shipment
from gradstore.storage.location import given_options
from gradstore.store.identity import identity_document
from gradstore.store.layout import CHECKPOINTS, MANIFEST, METADATA, bytes_text, group_document
from gradstore.store.root import root_document
from gradstore.store.store import open_store

__all__ = ["HubApi", "HubPlace", "hub_warnings", "largest_folders", "push_to_hub"]

# What the Hub recommends (https://huggingface.co/docs/hub/storage-limits).
_MOST_ENTRIES = 10_000
_MOST_FILES = 100_000
_LARGEST_FILE = 50 << 30
_COMMIT_FILES = 100
_COMMIT_BYTES = 1 << 30
_SHOWN = 5


class HubApi(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool, private: bool) -> Any:
        """Make a repository."""

    def list_repo_tree(
        self, repo_id: str, path_in_repo: str | None, *, recursive: bool, revision: str | None, repo_type: str
    ) -> Iterable[Any]:
        """Files, with ``path``, ``size``, ``blob_id`` and ``lfs.sha256``."""

    def create_commit(
        self,
        repo_id: str,
        operations: Iterable[Any],
        *,
        commit_message: str,
        revision: str | None,
        repo_type: str,
    ) -> Any:
        """Change several files at once."""


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A folder of a data set repository.

    Attributes
    ----------
    repository : str
        ``OWNER/NAME``.
    revision : str, optional
        Branch.
    folder : str
        Inside the repository; empty for its root.
    """

    repository: str
    revision: str | None
    folder: str

    @classmethod
    def parse(cls, url: str) -> HubPlace:
        """Of ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``.

        Raises
        ------
        UsageError
            For anything else.
        """
        match url.removeprefix("hf://").strip("/").split("/"):
            case ["datasets", str(owner), str(name), *folder] if owner and name:
                name, _, revision = name.partition("@")
                return cls(f"{owner}/{name}", revision or None, "/".join(folder))
        raise UsageError(f"{url} is no place to push to: write hf://datasets/OWNER/NAME, or a folder in it")

    def path(self, name: str) -> str:
        """Path of an object in the repository."""
        return f"{self.folder}/{name}" if self.folder else name


def push_to_hub(goods: Shipment, url: str, progress: Progress, api: HubApi | None = None) -> int:
    """Send objects in commits of at most 100 files, and all groups and manifests in the last one.

    What the repository has with the same checksum is not sent again.

    Parameters
    ----------
    goods : Shipment
        What the repository lacks.
    url : str
    progress : Progress
    api : HubApi, optional
        By default that of the storage option ``token``, or of the token that huggingface_hub finds.

    Returns
    -------
    int
        Bytes sent.
    """
    place = HubPlace.parse(url)
    return _HubSender(place, api or _api()).send(goods, url, progress)


def _api() -> HubApi:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UsageError("hf:// needs huggingface_hub: pip install huggingface_hub") from None
    api: HubApi = HfApi(endpoint=given_options().get("endpoint"), token=given_options().get("token"))
    return api


class _HubSender:
    def __init__(self, place: HubPlace, api: HubApi) -> None:
        self._place, self._api = place, api
        self._operations: list[Any] = []
        self._waiting = self._sent = 0

    def send(self, goods: Shipment, url: str, progress: Progress) -> int:
        with _told(url), _one_bar():
            self._api.create_repo(self._place.repository, repo_type="dataset", exist_ok=True, private=True)
            there = self._there()
            total = sum(each.manifest.size for each in goods.sealed())
            with progress(total, "bytes", f"push to {url}") as bar:
                for sealed in goods.sealed():
                    for name in sealed.manifest.objects:
                        if name != METADATA:
                            self._object(sealed, name, there, bar)
                self._commit("Add objects")
            for name, data in _groups(goods):
                if self._place.path(name) not in there:
                    self._add(name, data)
            for name, data in _visible(goods):
                self._add(name, data)
            self._commit("Add groups and manifests")
            for name, data in card_files(open_store(url)).items():
                if not _is_there(there, self._place.path(name), data):
                    self._add(name, data)
            self._commit("Describe the store")
        return self._sent

    def _there(self) -> dict[str, tuple[str, str]]:
        """SHA-256 and Git's identifier of every file in the repository; one of them is empty."""
        files = self._api.list_repo_tree(
            self._place.repository, None, recursive=True, revision=self._place.revision, repo_type="dataset"
        )
        return {
            each.path: (each.lfs.sha256, "") if each.lfs else ("", each.blob_id)
            for each in files
            if hasattr(each, "blob_id")
        }

    def _object(self, sealed: SealedFolder, name: str, there: dict[str, tuple[str, str]], bar: Bar) -> None:
        entry, path = sealed.manifest.objects[name], f"{sealed.place}/{name}"
        sha256, blob = there.get(self._place.path(path), ("", ""))
        if sha256 != entry.sha256:
            data = checked(sealed, name)
            if blob != _git_identifier(data):
                self._add(path, data)
                if len(self._operations) >= _COMMIT_FILES or self._waiting >= _COMMIT_BYTES:
                    self._commit("Add objects")
        bar.update(entry.size)

    def _add(self, name: str, data: bytes) -> None:
        from huggingface_hub import CommitOperationAdd

        self._operations.append(CommitOperationAdd(self._place.path(name), data))
        self._waiting += len(data)
        self._sent += len(data)

    def _commit(self, message: str) -> None:
        if self._operations:
            self._api.create_commit(
                self._place.repository,
                self._operations,
                commit_message=message,
                revision=self._place.revision,
                repo_type="dataset",
            )
        self._operations, self._waiting = [], 0


def _is_there(there: dict[str, tuple[str, str]], path: str, data: bytes) -> bool:
    return any(
        each in there.get(path, ()) for each in (hashlib.sha256(data).hexdigest(), _git_identifier(data))
    )


def _git_identifier(data: bytes) -> str:
    """SHA-1 by which Git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _groups(goods: Shipment) -> Iterator[tuple[str, bytes]]:
    """Groups above what is sent; those that are there stay as they are."""
    yield METADATA, root_document()
    for place in dict.fromkeys([CHECKPOINTS, *(each.kind for each in goods.artefacts)]):
        yield f"{place}/{METADATA}", group_document()
    for checkpoint in goods.checkpoints:
        yield f"{CHECKPOINTS}/{checkpoint.name}/{METADATA}", identity_document(checkpoint.identity)


def _visible(goods: Shipment) -> Iterator[tuple[str, bytes]]:
    """What makes the objects readable."""
    for sealed in goods.sealed():
        if METADATA in sealed.manifest.objects:
            yield f"{sealed.place}/{METADATA}", checked(sealed, METADATA)
        yield f"{sealed.place}/{MANIFEST}", sealed.manifest.to_bytes()


@contextmanager
def _one_bar() -> Iterator[None]:
    """Keep the library from drawing bars of its own beside ours."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    drawn = not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # where its variable says otherwise
        disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            enable_progress_bars()


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what the Hub or the network says into one line."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its bases are what its HTTP client raises, which is another one in other versions.
    try:
        yield
    except GradstoreError:
        raise
    except (ValueError, *HfHubHTTPError.__bases__) as error:  # type: ignore[misc]
        reason = first_line(error)
        raise StoreWriteError(
            f"cannot write to {url}: {reason}; what has arrived is not sent again: run the same command again"
        ) from error


def largest_folders(sealed: Iterable[SealedFolder]) -> list[tuple[str, int]]:
    """The folders with the most entries, and how many those are."""
    entries: set[tuple[str, str]] = set()
    for each in sealed:
        for name in each.files:
            parts = name.split("/")
            entries.update(("/".join(parts[:depth]), parts[depth]) for depth in range(1, len(parts)))
    counts = Counter(folder for folder, _ in entries)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]


def hub_warnings(sealed: Sequence[SealedFolder], folders: Sequence[tuple[str, int]]) -> list[str]:
    """What is beyond the Hub's recommendations, and what to do."""
    files = sum(len(each.files) for each in sealed)
    largest = max((entry.size for each in sealed for entry in each.manifest.objects.values()), default=0)
    cure = "extract with a larger --chunk-rows, or convert the store with larger chunks"
    found = [
        f"{folder} has {count:,} entries, the Hub recommends at most {_MOST_ENTRIES:,}: {cure}"
        for folder, count in folders
        if count > _MOST_ENTRIES
    ]
    if files > _MOST_FILES:
        found.append(f"{files:,} files, the Hub recommends at most {_MOST_FILES:,} in a repository: {cure}")
    if largest > _LARGEST_FILE:
        found.append(f"a file has {bytes_text(largest)}, the Hub takes at most {bytes_text(_LARGEST_FILE)}")
    return found
