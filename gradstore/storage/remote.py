"""Opens buckets, web servers and the hub."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from gradstore.errors import UsageError
from gradstore.storage.bucket import bucket_folder
from gradstore.storage.cache import cache_from_environment
from gradstore.storage.client import Client
from gradstore.storage.folder import Folder
from gradstore.storage.hub import HubFolder
from gradstore.storage.lease import TIMING
from gradstore.storage.options import CLIENT, check_options, client_options
from gradstore.storage.redaction import Secrets, plain
from gradstore.storage.web import WebFolder

__all__ = ["open_remote"]

_NO_RETRIES = {"max_retries": 0}  # we try again ourselves: also where obstore does not, and within one bound
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}


def open_remote(url: str, options: Mapping[str, str]) -> Folder:
    """The folder at a URL; nothing is read yet.

    Parameters
    ----------
    url : str
        ``s3://BUCKET/FOLDER``, ``gs://BUCKET/FOLDER``, ``az://CONTAINER/FOLDER``, ``hf://REPOSITORY/FOLDER`` or
        ``https://HOST/FOLDER``.
    options : Mapping from str to str
        Settings of the library that opens it; they win over its environment variables.

    Raises
    ------
    UsageError
        If the URL or a setting cannot be right.
    ModuleNotFoundError
        If the library is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        check_options("http", options)
        return _web(url, options)
    check_options(scheme, options)
    path = _path(url)
    return _hub(path, options) if scheme == "hf" else _bucket(scheme, path, options)


def _path(url: str) -> str:
    """What stands after ``://``, as it is; a bucket's names are not escaped."""
    path = url.partition("://")[2].rstrip("/")
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or not path.isprintable():
        raise UsageError(
            f"location {plain(url)!r} names no folder: write {url.partition('://')[0]}://BUCKET/FOLDER"
        )
    if plain(url) != url:
        raise UsageError(
            f"location {plain(url)!r} has a user or a query in it: give credentials as settings or in the "
            "environment"
        )
    return path


def _bucket(scheme: str, path: str, options: Mapping[str, str]) -> Folder:
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    bucket, _, prefix = path.partition("/")
    secrets = Secrets(options)
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    given = {name: value for name, value in options.items() if name not in CLIENT}
    candidates = (options.get("endpoint"), options.get("base_url"), *map(os.environ.get, _ENDPOINTS[scheme]))
    endpoint = next((value for value in candidates if value), "")
    if scheme == "gs" and endpoint:
        given["base_url"] = endpoint.rstrip("/")  # with a slash, obstore would ask for the bucket ""
    try:
        store = kinds[scheme](
            bucket,
            config=given,
            client_options=client_options(options, endpoint),
            retry_config=_NO_RETRIES,
        )
    except (BaseError, ValueError, TypeError) as error:
        said = secrets.hide(str(error)).partition("\n")[0]
    else:
        client = Client(store, f"{scheme}://{bucket}/", secrets)
        return bucket_folder(client, prefix, cache_from_environment(), TIMING)
    raise UsageError(f"{scheme}://{bucket} cannot be opened with these settings: {said}")


def _web(url: str, options: Mapping[str, str]) -> Folder:
    from obstore.exceptions import BaseError
    from obstore.store import HTTPStore

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not host or parts.fragment:
        raise UsageError(f"location {plain(url)!r} names no folder: write https://HOST/FOLDER")
    path = quote(unquote(parts.path.rstrip("/")), safe="/+")
    secrets = Secrets(options, (parts.password or "", parts.query))
    settings = client_options(options, url)
    authorization = _authorization(unquote(parts.username or ""), unquote(parts.password or ""), options)
    if authorization:
        settings["default_headers"] = {"authorization": authorization}
    try:
        store = HTTPStore(
            urlunsplit((parts.scheme, host, path, parts.query, "")),
            client_options=settings,  # type: ignore[arg-type]
            retry_config=_NO_RETRIES,  # type: ignore[arg-type]
        )
    except (BaseError, ValueError, TypeError) as error:
        said = secrets.hide(str(error)).partition("\n")[0]
    else:
        root = urlunsplit((parts.scheme, host, f"{path}/", "", ""))
        return WebFolder(Client(store, root, secrets), cache_from_environment())
    raise UsageError(f"location {plain(url)!r} cannot be opened: {said}")


def _authorization(user: str, password: str, options: Mapping[str, str]) -> str:
    """Header that says who asks; settings win over the URL."""
    if "token" in options:
        return f"Bearer {options['token']}"
    user, password = options.get("username", user), options.get("password", password)
    if not user and not password:
        return ""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _hub(path: str, options: Mapping[str, str]) -> Folder:
    from huggingface_hub import HfFileSystem

    system = HfFileSystem(
        token=options.get("token"),
        endpoint=options.get("endpoint"),
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    return HubFolder(system, path, cache_from_environment(), Secrets(options))
