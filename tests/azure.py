"""A real server of Azure's protocol for tests: Azurite, Microsoft's emulator, on the loopback interface.

`npm install azurite` brings it; where ``azurite-blob`` is neither in the PATH nor named by GRADSTORE_AZURITE, the tests
are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.s3 import die_with_parent, free_ports

ACCOUNT, KEY = "gradstoretests", base64.b64encode(b"a key of the tests and of nothing else").decode()
CONTAINER = "tests"
_PATIENCE = 60


@dataclass(frozen=True)
class Server:
    """A running server."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """What lets obstore find it."""
        return {
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }


def program() -> str | None:
    """Where ``azurite-blob`` is, if it is installed."""
    return os.environ.get("GRADSTORE_AZURITE") or shutil.which("azurite-blob")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Start a server with its data in `folder`; it ends with the block, or with this process however that ends."""
    azurite = program()
    assert azurite is not None
    (port,) = free_ports(1)
    words = [
        "--blobPort",
        str(port),
        "--location",
        folder,
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    ]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [azurite, *words], stdout=log, stderr=log, cwd=folder, env=environment, preexec_fn=die_with_parent
        )
    try:
        server = Server(f"http://127.0.0.1:{port}/{ACCOUNT}")
        _make_container(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()


def _make_container(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers; signed with the key, as obstore has no way to make one."""
    last: Exception | None = None
    for _ in range(_PATIENCE * 10):
        if process.poll() is not None:
            break
        date, version = formatdate(usegmt=True), "2021-08-06"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
        signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}",
        }
        request = urllib.request.Request(  # noqa: S310
            f"{server.endpoint}/{CONTAINER}?restype=container", method="PUT", headers=headers
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            last = error
            break
        except OSError as error:
            last = error
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"azurite did not start: {last}\n{log.read_text()[-2000:]}")
