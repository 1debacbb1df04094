"""What holds in a bucket of S3 holds in one of Google's, as far as a server of our own speaks for it (tests/gcs.py)."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from gradstore_cli.main import cli

from gradstore.errors import GradstoreError, StoreWriteError, UsageError
from gradstore.storage import LocalFolder, open_folder, remote, storage_options
from gradstore.storage.bucket import BucketFolder
from gradstore.storage.client import Client
from gradstore.storage.faults import fault_of
from gradstore.storage.lease import TIMING, Timing
from tests import gcs
from tests.storage.conftest import QUICK
from tests.storage.test_bucket import (  # noqa: F401
    contents,
    test_a_store_copied_by_hand_is_the_same_store,
    test_a_store_in_a_bucket_is_the_store_on_a_disk,
    test_an_artefact_replaced_by_a_killed_process_is_the_old_or_the_new_one,
    test_an_object_that_is_never_changed_is_created_once,
    test_folders_answer_alike_wherever_they_lie,
    test_large_objects_arrive_whole_and_piece_by_piece,
    test_locations_need_no_folder_and_may_have_any_letters,
    test_stores_on_disks_merge_into_one_in_a_bucket,
    test_two_processes_that_write_one_data_set_leave_the_bytes_of_one,
    test_what_is_damaged_in_the_bucket_is_told,
)
from tests.storage.test_lease import (  # noqa: F401
    test_a_lease_that_is_renewed_outlives_its_span,
    test_an_abandoned_lease_is_taken_over_by_one_and_lost_by_its_holder,
    test_one_at_a_time_and_again_when_released,
    test_the_clocks_of_the_machines_do_not_matter,
    test_what_is_left_of_the_clock_is_no_claim_and_no_object_of_a_store,
    test_who_waits_has_it_when_it_is_released,
)
from tests.storage.test_remote import everything

WRONG = "ya29.wrongtokenofthetests"


@pytest.fixture
def server() -> Iterator[gcs.Gcs]:
    with gcs.Gcs() as running:
        yield running
    assert running.unknown == []


@pytest.fixture
def bucket(server: gcs.Gcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GCE_"))]:
        monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    return f"gs://{gcs.BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def place(folder: BucketFolder) -> BucketFolder:
    return folder


@pytest.fixture
def opened(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., BucketFolder]:
    """The bucket, opened anew with leases of other times."""

    def again(*, timing: Timing = QUICK) -> BucketFolder:
        monkeypatch.setattr(remote, "TIMING", timing)
        folder = open_folder(bucket)
        assert isinstance(folder, BucketFolder)
        return folder

    return again


@pytest.fixture
def client(folder: BucketFolder) -> Client:
    return folder._client


def test_what_is_there_is_not_created_again(server: gcs.Gcs, client: Client) -> None:
    assert client.create("a", b"one") is not None
    assert client.create("a", b"two") is None
    assert server.objects["a"].data == b"one"


def test_only_the_generation_that_was_seen_is_replaced(server: gcs.Gcs, client: Client) -> None:
    """Of equal bytes too, which have one ETag."""
    first = client.create("a", b"same")
    assert first is not None
    client.put("a", b"same")
    second = client.head("a")
    assert second is not None
    assert (first["e_tag"], first["version"] == second.version["version"]) == (second.version["e_tag"], False)
    assert client.update("a", b"late", first) is None
    assert client.update("a", b"next", second.version) is not None
    assert server.objects["a"].data == b"next"


def test_a_removed_object_is_not_replaced(server: gcs.Gcs, client: Client) -> None:
    version = client.create("a", b"one")
    assert version is not None
    client.delete(["a"])
    assert client.update("a", b"two", version) is None
    assert server.objects == {}


def test_objects_are_removed_whether_all_of_them_are_there_or_not(server: gcs.Gcs, client: Client) -> None:
    for number in range(0, 20, 2):
        client.put(f"a/{number}", b"1")
    client.delete([f"a/{number}" for number in range(20)])
    assert server.objects == {}


def test_a_copy_is_another_object_of_the_same_bytes(server: gcs.Gcs, client: Client) -> None:
    client.put("a/b c+%2F é", b"1")
    client.copy("a/b c+%2F é", "d/é+%41")
    assert server.objects["d/é+%41"].data == b"1"
    with pytest.raises(StoreWriteError):
        client.copy("nothing", "e")


def test_a_listing_of_many_pages_is_whole(server: gcs.Gcs, folder: BucketFolder) -> None:
    names = sorted([f"a/{number}/x" for number in range(13)] + [f"a.{number}" for number in range(7)] + ["b"])
    for name in names:
        folder.put(name, b"1")
    server.asked.clear()
    assert sorted(folder.files()) == names
    assert len(server.asked) == 5
    assert folder.names() == sorted({name.partition("/")[0] for name in names})
    assert folder.names("a") == sorted(str(number) for number in range(13))
    assert any("continuation-token delimiter" in each for each in server.asked)


def test_a_large_object_leaves_no_unfinished_upload(server: gcs.Gcs, client: Client) -> None:
    data = bytes(range(256)) * (140 << 10)
    client.put("a", data)
    assert server.objects["a"].data == data
    assert server.uploads == {}
    assert sum("partNumber" in each for each in server.asked) == 3


def test_the_age_of_a_lease_is_by_the_servers_clock(
    server: gcs.Gcs, opened: Callable[..., BucketFolder]
) -> None:
    server.ahead = -86400.0
    held = opened(timing=TIMING).lock(".lock")
    server.ahead += TIMING.span - 5
    assert opened(timing=TIMING).attempt(".lock") is None
    server.ahead += 10
    taken = opened(timing=TIMING).attempt(".lock")
    assert taken is not None
    assert not held.renew(1)
    taken.release()
    held.release()


def test_writes_of_one_name_in_quick_succession_are_waited_out(server: gcs.Gcs, folder: BucketFolder) -> None:
    server.pace = 0.4
    start = time.monotonic()
    with folder.lock(".lock") as held:
        assert held.renew(1)
        assert held.renew(2)
    assert time.monotonic() - start >= 2 * server.pace
    assert list(folder.files()) == []


@pytest.mark.parametrize("token", [WRONG, gcs.READER, None])
def test_what_is_not_allowed_is_told_in_one_line_without_the_secret(
    folder: BucketFolder, bucket: str, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """A reader may read; without credentials (those of the machine are not there) nothing is allowed."""
    folder.put("a", b"1")
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    told = "check the credentials" if token else "no credentials were found"
    with storage_options({"bearer_token": token} if token else {}):
        theirs = open_folder(bucket)
        calls: list[Callable[[], object]] = [lambda: theirs.put("b", b"1"), lambda: theirs.lock(".lock")]
        if token == gcs.READER:
            assert (theirs.get("a"), theirs.names()) == (b"1", ["a"])
        else:
            calls += [lambda: theirs.get("a"), theirs.names]
        for call in calls:
            with pytest.raises(GradstoreError, match=told) as caught:
                call()
            assert "\n" not in str(caught.value)
            assert not any(secret in everything(caught.value) for secret in (WRONG, gcs.READER))


def test_another_bucket_is_told_to_be_missing(bucket: str) -> None:
    nobodys = open_folder("gs://nobodys/s")
    calls: list[Callable[[], object]] = [
        lambda: nobodys.get("a"),
        lambda: nobodys.put("a", b"1"),
        nobodys.names,
    ]
    for call in calls:
        with pytest.raises(GradstoreError, match="there is no such bucket"):
            call()


def test_a_public_bucket_is_read_without_credentials(
    server: gcs.Gcs, folder: BucketFolder, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put("a/b", b"1")
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    server.checks = False
    with storage_options({"skip_signature": "true"}):
        assert open_folder(bucket).get("a/b") == b"1"
        assert open_folder(bucket).names() == ["a"]


def test_a_machine_of_googles_uses_its_own_credentials(
    server: gcs.Gcs, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the service that gives them is busy."""
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    server.tokens = [gcs.Answer(status=503)] * 2 + [gcs.Answer(status=429)] * 2  # two addresses are asked
    with storage_options({"base_url": "http://google.invalid", "proxy_url": server.endpoint}):
        open_folder(bucket).put("a", b"1")
        assert server.tokens == []
        assert open_folder(bucket).get("a") == b"1"


def test_credentials_that_get_no_token_are_not_taken_for_missing_ones(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    user = {"type": "authorized_user", "client_id": "me", "client_secret": WRONG, "refresh_token": WRONG}
    (tmp_path / "adc.json").write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    with (
        storage_options({"proxy_url": "http://127.0.0.1:1"}),
        pytest.raises(GradstoreError, match="no answer from the server") as caught,
    ):
        open_folder(bucket).get("a")
    assert WRONG not in everything(caught.value)
    refused = fault_of(
        "Generic GCS error: Error performing token request: Error performing POST https://accounts.google.com/o/"
        "oauth2/token in 1ms - Server returned non-2xx status code: 400 Bad Request: invalid_grant"
    )
    assert refused[:2] == (False, True)
    assert refused.line == "the server answered 400: check the credentials and what they give a right to"


def test_a_file_of_credentials_that_cannot_be_read_is_told_when_the_place_is_opened(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    (tmp_path / "federation.json").write_text(json.dumps({"type": "external_account", "token": WRONG}))
    with (
        storage_options({"application_credentials": str(tmp_path / "federation.json")}),
        pytest.raises(
            UsageError, match=r"cannot be opened with these settings: .*external_account"
        ) as caught,
    ):
        open_folder(bucket)
    assert "\n" not in str(caught.value)
    assert WRONG not in everything(caught.value)


@pytest.mark.parametrize("way", ["settings", "slash", "variables", "key", "file"])
def test_an_emulator_is_reached_in_each_way_that_the_page_names(
    server: gcs.Gcs, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    server.checks = False
    account = json.dumps(
        {"gcs_base_url": server.endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
        | {"private_key_id": ""}
    )
    (tmp_path / "account.json").write_text(account)
    options = {
        "settings": {"base_url": server.endpoint, "bearer_token": "any"},
        "slash": {"base_url": f"{server.endpoint}/", "bearer_token": "any"},
        "key": {"service_account_key": account, "allow_http": "true"},
        "file": {"service_account": str(tmp_path / "account.json"), "allow_http": "true"},
        "variables": {},
    }[way]
    if way != "variables":
        monkeypatch.delenv("GOOGLE_BASE_URL")
        monkeypatch.delenv("GOOGLE_BEARER_TOKEN")
    with storage_options(options):
        open_folder(bucket).put("a", b"1")
        assert open_folder(bucket).get("a") == b"1"
    assert len(server.objects) == 1


def test_commands_push_verify_and_pull(make: SimpleNamespace, bucket: str, tmp_path: Path) -> None:
    make.write(tmp_path / "mine")
    for words in (
        ("push", tmp_path / "mine", bucket),
        ("verify", bucket),
        ("pull", bucket, tmp_path / "back"),
    ):
        done = CliRunner().invoke(cli, ["store", *map(str, words)])
        assert done.exit_code == 0, done.output
        assert gcs.TOKEN not in done.output
    there = contents(open_folder(bucket))
    assert contents(LocalFolder(tmp_path / "mine")).items() <= there.items()
    assert there.keys() - contents(LocalFolder(tmp_path / "mine")).keys() == {"README.md", "index.json"}
    assert contents(LocalFolder(tmp_path / "back")) == there


def test_a_command_takes_what_the_bucket_needs_as_settings(
    server: gcs.Gcs, make: SimpleNamespace, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.write(bucket, rows=2)
    for name in server.environment():
        monkeypatch.delenv(name)
    words = [f"--storage-option=base_url={server.endpoint}", f"--storage-option=bearer_token={gcs.TOKEN}"]
    done = CliRunner().invoke(cli, ["store", "verify", bucket, *words])
    assert done.exit_code == 0, done.output
