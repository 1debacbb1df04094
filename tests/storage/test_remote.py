"""Which locations and settings there are, and that no secret among them is ever shown."""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradstore_cli.main import cli

from gradstore.errors import GradstoreError, UsageError
from gradstore.storage import open_folder, plain, storage_options
from gradstore.storage.options import KNOWN
from gradstore.storage.remote import open_remote
from gradstore.store import open_store
from tests.s3 import KEY, SECRET, Server

PLANTED = "pLaNtEdSeCrEt"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "AZURE_STORAGE_ACCOUNT_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"])
def test_the_librarys_own_variables_are_heard(
    bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, s3_server.endpoint)
    open_folder(bucket).put("a", b"1")
    assert open_folder(bucket).get("a") == b"1"


def test_settings_win_over_variables(bucket: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with storage_options({"endpoint": s3_server.endpoint, "access_key_id": KEY, "secret_access_key": SECRET}):
        assert open_folder(bucket).get("a") is None


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "http", "https", "hf"])
def test_unknown_settings_are_refused_with_what_is_known(scheme: str) -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'tokens'.*Available: ") as caught:
        open_remote(f"{scheme}://host/folder", {"tokens": PLANTED})
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("s3", {"region": "eu-west-1", "virtual_hosted_style_request": "true", "request_payer": "true"}),
        ("gs", {"skip_signature": "true", "read_timeout": "3s"}),
        ("az", {"account_name": "me", "account_key": "c2VjcmV0", "allow_http": "true"}),
        ("https", {"token": PLANTED, "timeout": "3s", "allow_invalid_certificates": "false"}),
    ],
)
def test_locations_of_all_kinds_are_opened_by_their_settings(scheme: str, options: dict[str, str]) -> None:
    folder = open_remote(f"{scheme}://place/some/folder/", options)
    assert str(folder) == f"{scheme}://place/some/folder"
    assert str(folder.at("more")) == f"{scheme}://place/some/folder/more"
    assert folder.where("x") == f"{scheme}://place/some/folder/x"
    assert folder.path is None
    assert folder.writable == (scheme != "https")


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_every_setting_that_is_listed_is_the_librarys(scheme: str) -> None:
    values = {"account_key": "c2VjcmV0", "timeout": "1s", "connect_timeout": "1s", "read_timeout": "1s"}
    values |= {
        "checksum_algorithm": "SHA256",
        "server_side_encryption": "AES256",
        "proxy_url": "http://127.0.0.1:1",
    }
    values |= dict.fromkeys(("endpoint", "base_url"), "http://127.0.0.1:1")
    for name in KNOWN[scheme]:
        if name in (
            "root_certificate",
            "service_account",
            "service_account_key",
            "application_credentials",
            "sas_key",
        ):
            continue  # are read at once
        base = {
            "s3": {"access_key_id": "me", "secret_access_key": "secret"},
            "az": {"account_name": "me"},
        }.get(scheme, {})
        open_remote(f"{scheme}://place/x", {**base, name: values.get(name, "true")})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "names no folder"),
        ("s3:///x", "names no folder"),
        ("s3://b/../x", "names no folder"),
        ("s3://b//x", "names no folder"),
        (f"s3://me:{PLANTED}@b/x", "has a user or a query"),
        (f"gs://b/x?sig={PLANTED}", "has a user or a query"),
        (f"ftp://me:{PLANTED}@host/x?{PLANTED}", "unknown kind of location 'ftp'"),
        ("az://b/x", "cannot be opened with these settings: .*Account must be specified"),
    ],
)
def test_locations_that_cannot_be_right_are_refused_without_their_secrets(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_folder(url)
    assert PLANTED not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("s3", {"skip_signature": "maybe"}),
        ("s3", {"allow_http": "maybe"}),
        ("s3", {"timeout": "soon"}),
        ("az", {"account_name": "me", "account_key": PLANTED + "!"}),
        ("gs", {"service_account_key": PLANTED}),
    ],
)
def test_settings_that_cannot_be_right_are_refused_in_one_line(scheme: str, options: dict[str, str]) -> None:
    with pytest.raises(GradstoreError) as caught:
        open_remote(f"{scheme}://place/x", options).get("a")
    assert PLANTED not in everything(caught.value)
    assert "\n" not in str(caught.value)


def everything(error: BaseException) -> str:
    """All that a traceback, a log or a debugger's first look would show."""
    chain, texts = [error], []
    while chain:
        each = chain.pop()
        texts += [str(each), repr(each), "".join(traceback.format_exception(each))]
        chain += [next_one for next_one in (each.__cause__, each.__context__) if next_one is not None]
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "s3://place/x",
            {"access_key_id": f"{PLANTED}1", "secret_access_key": PLANTED, "session_token": PLANTED},
        ),
        (
            "s3://place/x",
            {
                "endpoint": f"http://me:{PLANTED}@127.0.0.1:1",
                "access_key_id": PLANTED,
                "secret_access_key": "s",
            },
        ),
        (
            "az://place/x",
            {"account_name": "me", "sas_key": f"sv=1&sig={PLANTED}", "endpoint": "http://127.0.0.1:1"},
        ),
        ("az://place/x", {"account_name": "me", "token": PLANTED, "endpoint": "http://127.0.0.1:1"}),
        ("gs://place/x", {"bearer_token": PLANTED, "proxy_url": f"http://me:{PLANTED}@127.0.0.1:1"}),
        (f"http://me:{PLANTED}@127.0.0.1:1/x?sig={PLANTED}", {}),
        ("http://127.0.0.1:1/x", {"username": "me", "password": PLANTED}),
        ("http://127.0.0.1:1/x", {"token": PLANTED}),
    ],
)
def test_no_error_or_log_shows_a_secret(
    url: str, options: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("gradstore.storage.patience.time.sleep", lambda _: None)
    with caplog.at_level(logging.DEBUG), storage_options({"connect_timeout": "1s", **options}):
        folder = open_folder(url)
        errors = []
        for call in (
            lambda: folder.get("a"),
            lambda: folder.put("a", b"1"),
            folder.names,
            lambda: folder.attempt("b"),
        ):
            with pytest.raises(GradstoreError) as caught:
                call()
            errors.append(caught.value)
        with pytest.raises(GradstoreError) as caught:
            open_store(url)
        errors.append(caught.value)
    shown = "\n".join([*map(everything, errors), str(folder), repr(folder), caplog.text])
    assert PLANTED not in shown
    assert "cGxhTnRFZFNlQ3JFd" not in shown
    assert all("\n" not in str(error) for error in errors)


def test_what_a_server_says_of_keys_and_signatures_is_not_repeated(bucket: str) -> None:
    with (
        storage_options({"access_key_id": "AKIDPLANTED", "secret_access_key": PLANTED}),
        pytest.raises(GradstoreError) as caught,
    ):
        open_folder(bucket).get("a")
    shown = everything(caught.value)
    assert "AKIDPLANTED" not in shown
    assert "StringToSign" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ["store", "ls", f"http://me:{PLANTED}@127.0.0.1:1/x?sig={PLANTED}"],
        ["store", "verify", f"http://me:{PLANTED}@127.0.0.1:1/x?sig={PLANTED}", "--json"],
        ["store", "merge", "new", f"http://me:{PLANTED}@127.0.0.1:1/x?sig={PLANTED}", "--debug"],
    ],
)
def test_commands_print_no_secret(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    printed, said = capfd.readouterr()  # what libraries print, too
    assert end.value.code == 1, said
    assert PLANTED not in printed + said
    assert "no answer from the server" in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a b", "s3://bucket/a b"),
        ("see https://me:pw@host/a?b=c, and http://you@host#d.", "see https://host/a and http://host"),
        ("hf://datasets/me/x@v1/y", "hf://datasets/me/x@v1/y"),
        ("me@host: a?b", "me@host: a?b"),
    ],
)
def test_plain_leaves_what_is_no_secret(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_store_tells_its_place_without_secrets(make: SimpleNamespace, bucket: str) -> None:
    make.write(bucket)
    store = open_store(bucket)
    assert SECRET not in repr(store) + str(store.info())
    assert store.location == bucket


def test_a_missing_library_is_named_with_how_to_install_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['obstore'] = None; from gradstore_cli.main import main; "
        "sys.argv = ['gradstore', 'store', 'ls', 's3://b/x']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install 'gradstore[remote]'" in done.stderr
