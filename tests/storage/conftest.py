"""The small writer of the store's tests, a client with little patience, and a server between it and the bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradstore.storage import open_folder
from gradstore.storage.bucket import BucketFolder, bucket_folder
from gradstore.storage.cache import Cache
from gradstore.storage.client import Client
from gradstore.storage.lease import Timing
from gradstore.storage.patience import PATIENCE, Patience
from gradstore.storage.redaction import Secrets
from tests.s3 import Server
from tests.storage.faulty import Faulty
from tests.store.conftest import make  # noqa: F401 (fixtures)

QUICK = Timing(span=3, renewal=0.5)
"""A server tells times in whole seconds."""
IMPATIENT = {"patience": Patience(first=0.8, later=0.8, tries=3, longest=0.1), "read_timeout": "300ms"}
"""For those whose server fails: a busy machine is slower than this."""


@pytest.fixture
def folder(bucket: str) -> BucketFolder:
    opened = open_folder(bucket)
    assert isinstance(opened, BucketFolder)
    return opened


@pytest.fixture
def opened(bucket: str, s3_server: Server, tmp_path: Path) -> Callable[..., BucketFolder]:
    """``opened(name="", endpoint=…, timing=…, patience=…, cache=…)``: the bucket, opened by hand."""
    from obstore.store import S3Store

    def open_by_hand(
        name: str = "",
        *,
        endpoint: str = s3_server.endpoint,
        timing: Timing = QUICK,
        patience: Patience = PATIENCE,
        cache: Path = tmp_path / "cache",
        **client: Any,
    ) -> BucketFolder:
        place, _, prefix = bucket.removeprefix("s3://").partition("/")
        store = S3Store(
            place,
            config={"endpoint": endpoint},
            client_options={"allow_http": True, **client},
            retry_config={"max_retries": 0},
        )
        made = Client(store, f"s3://{place}/", Secrets({}), patience)
        return bucket_folder(made, f"{prefix}/{name}".rstrip("/"), Cache(cache, 10**9), timing)

    return open_by_hand


@pytest.fixture
def faulty(s3_server: Server) -> Iterator[Faulty]:
    """A server that passes requests on to the S3 server, or does something worse with them."""
    with Faulty(s3_server.endpoint) as server:
        yield server
