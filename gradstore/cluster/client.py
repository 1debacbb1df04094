"""From what the user calls a scheduler to a Dask client."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gradstore.errors import GradstoreError, IncompatibleError, UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["open_client"]

CONNECT = 10.0
"""Seconds in which a scheduler must answer."""
_LOCAL = re.compile(r"local(?::([1-9]\d*))?")
_ADDRESS = re.compile(r"(?:tcp|tls)://[^\s/]+:(\d{1,5})")
_SAME = ("python", "dask", "distributed", "gradstore", "numpy")
"""What must be of one version everywhere: tasks are pickled by Dask, and NumPy does the arithmetic."""


@contextmanager
def open_client(scheduler: str) -> Iterator[Client]:
    """A Dask client for a ``with`` block.

    Parameters
    ----------
    scheduler : str
        ``local`` starts one process for each processor on this machine, ``local:4`` four, and ends them with the block.
        ``tcp://HOST:PORT`` (``tls://…``) connects to a scheduler that runs. In a script, start ``local`` only under
        ``if __name__ == "__main__":``, as for all processes that Python spawns.

    Yields
    ------
    distributed.Client

    Raises
    ------
    UsageError
        If `scheduler` is none of these, or Dask is not installed.
    GradstoreError
        If no scheduler answers in `CONNECT` seconds.
    IncompatibleError
        If the cluster runs other versions.
    """
    local, address = _LOCAL.fullmatch(scheduler), _ADDRESS.fullmatch(scheduler)
    if not (local or (address and 0 < int(address[1]) < 1 << 16)):
        raise UsageError(
            f"the scheduler is {scheduler!r}; give local, local:N with a number of processes, or an address such as "
            "tcp://HOST:8786"
        )
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise UsageError(f"a cluster needs {error.name}: pip install 'gradstore[cluster]'") from error
    if local:
        workers = int(local[1]) if local[1] else None  # one for each processor
        # No dashboard; its server starts all the same, by default on a port that a second cluster would ask for too.
        # Its warnings tell of work that was broken off; a worker that dies is told of by an error of ours.
        settings: dict[str, Any] = {
            "silence_logs": logging.ERROR,
            "host": "127.0.0.1",
            "threads_per_worker": 1,
        }
        settings |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
        with (
            LocalCluster(n_workers=workers, **settings) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    if scheduler.startswith("tls:"):
        _check_certificates()
    # What goes wrong arrives as an exception; Dask would write its traceback to stderr as well.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        connected = Client(scheduler, timeout=CONNECT, set_as_default=False)
    except OSError as error:
        raise GradstoreError(
            f"no scheduler answers at {scheduler} within {CONNECT:.0f} seconds; is `dask scheduler` running there, and "
            "does no firewall stand between?"
        ) from error
    with connected as client:
        found = differences(client.get_versions(packages=["gradstore"]))
        if found:
            raise IncompatibleError(
                f"the cluster at {scheduler} runs {found}; install one version everywhere"
            )
        yield client


def _check_certificates() -> None:
    """Refuse ``tls://`` without certificates: Dask would fail in the middle of connecting."""
    from distributed.security import Security

    try:
        found = Security().get_connection_args("client")["ssl_context"]
    except OSError as error:  # SSLError is one
        raise UsageError(
            f"the certificates that Dask's configuration names cannot be read: {error}"
        ) from error
    if found is None:
        raise UsageError(
            "tls:// needs certificates, named in Dask's configuration (distributed.comm.tls): "
            "https://distributed.dask.org/en/stable/tls.html"
        )


def differences(versions: Mapping[str, Any]) -> str:
    """How the versions of a cluster differ from the client's; empty if they do not.

    Parameters
    ----------
    versions : Mapping
        As ``Client.get_versions`` returns them. A scheduler needs neither gradstore nor NumPy.
    """
    ours = versions["client"]["packages"]
    theirs = [
        ("scheduler", versions["scheduler"], ("python", "dask", "distributed")),
        *((f"worker {name}", found, _SAME) for name, found in versions["workers"].items()),
    ]
    for who, found, names in theirs:
        for name in names:
            here, there = (_version(each.get(name)) for each in (ours, found["packages"]))
            if here != there:
                return f"{name} {there} ({who}), this process {here}"
    return ""


def _version(text: str | None) -> str:
    """A package's version as far as it must agree; of Python, which has five parts here, the first two."""
    parts = (text or "none").split(".")
    return ".".join(parts[:2] if len(parts) == 5 else parts)
