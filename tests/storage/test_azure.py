"""What holds in a bucket of S3 holds in a container of Azure, on Microsoft's emulator where that is installed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradstore.errors import GradstoreError
from gradstore.storage import open_folder, storage_options
from gradstore.storage.bucket import BucketFolder
from tests import azure
from tests.sharing.test_transfer_killed import (  # noqa: F401 (run here with another place)
    test_a_push_to_a_bucket_that_is_killed_shows_nothing_half_made_and_a_rerun_completes,
)
from tests.storage.test_bucket import (  # noqa: F401
    test_a_store_in_a_bucket_is_the_store_on_a_disk,
    test_an_artefact_replaced_by_a_killed_process_is_the_old_or_the_new_one,
    test_an_object_that_is_never_changed_is_created_once,
    test_folders_answer_alike_wherever_they_lie,
    test_large_objects_arrive_whole_and_piece_by_piece,
    test_stores_on_disks_merge_into_one_in_a_bucket,
    test_two_processes_that_write_one_data_set_leave_the_bytes_of_one,
    test_what_is_damaged_in_the_bucket_is_told,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[azure.Server]:
    if azure.program() is None:
        pytest.skip("needs azurite-blob (npm install azurite) in the PATH or in GRADSTORE_AZURITE")
    with azure.running(tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture
def bucket(server: azure.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    return f"az://{azure.CONTAINER}/{uuid.uuid4().hex}"


@pytest.fixture
def place(bucket: str) -> BucketFolder:
    opened = open_folder(bucket)
    assert isinstance(opened, BucketFolder)
    return opened


@pytest.fixture
def folder(place: BucketFolder) -> BucketFolder:
    return place


def test_a_lease_is_held_by_one_and_given_back(folder: BucketFolder) -> None:
    with folder.lock(".lock") as held:
        assert folder.attempt(".lock") is None
        assert held.renew(1)
        assert held.renew(2)
    with folder.lock(".lock"):
        pass
    assert folder.names() == []


def test_what_azure_refuses_is_told_in_one_line(bucket: str) -> None:
    for options, told in (
        ({"account_key": "d3Jvbmcgd3Jvbmcgd3Jvbmc="}, "check the credentials"),
        ({}, "there is no such bucket"),
    ):
        with storage_options(options), pytest.raises(GradstoreError, match=told) as caught:
            open_folder(bucket if options else "az://nobodys/s").put("x", b"1")
        assert "\n" not in str(caught.value)
