"""Connecting to a cluster, and what the user hears when that cannot work."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gradstore.cluster import client as module
from gradstore.cluster import open_client
from gradstore.cluster.client import differences
from gradstore.cluster.tasks import _result
from gradstore.errors import GradstoreError, IncompatibleError, UsageError

PACKAGES = {
    "python": "3.11.7.final.0",
    "dask": "2026.8.0",
    "distributed": "2026.8.0",
    "numpy": "2.4.6",
    "gradstore": "0.1.0",
}


def test_importing_the_room_imports_no_dask() -> None:
    code = "import sys, gradstore, gradstore.cluster; print({'dask', 'distributed'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "scheduler",
    [
        "",
        "locale",
        "local:0",
        "local:x",
        "localhost:8786",
        "http://a:1",
        "tcp://",
        "tcp://a",
        "tcp://a:x",
        "tcp://a:0",
        "tcp://a:65536",
    ],
)
def test_what_is_no_scheduler_is_refused(scheduler: str) -> None:
    with pytest.raises(UsageError, match=r"give local, local:N .*tcp://HOST:8786"), open_client(scheduler):
        pass


def test_missing_dask_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"needs distributed: pip install 'gradstore\[cluster\]'"),
        open_client("local"),
    ):
        pass


def test_tls_without_certificates_is_told_before_connecting() -> None:
    import dask

    with pytest.raises(UsageError, match="tls:// needs certificates"), open_client("tls://127.0.0.1:9"):
        pass
    missing = dict.fromkeys(("ca-file", "client.cert", "client.key"), "/nowhere.pem")
    with (
        dask.config.set({f"distributed.comm.tls.{name}": path for name, path in missing.items()}),
        pytest.raises(UsageError, match="cannot be read"),
        open_client("tls://127.0.0.1:9"),
    ):
        pass


def test_a_scheduler_that_does_not_answer_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT", 0.2)
    with (
        pytest.raises(GradstoreError, match=r"no scheduler answers at tcp://127.0.0.1:9 "),
        open_client("tcp://127.0.0.1:9"),
    ):
        pass


def test_two_clusters_on_one_machine_do_not_meet(client: Any) -> None:
    with open_client("local:1") as first, open_client("local:1") as second:
        addresses = {each.scheduler.address for each in (client, first, second)}
        links = {each.dashboard_link for each in (first, second)}
    assert len(addresses) == 3
    assert len(links) == 2
    assert all(link.startswith("http://127.0.0.1:") for link in links)


def test_a_running_scheduler_is_used_and_left_running(client: Any) -> None:
    address = client.scheduler.address
    for _ in range(2):
        with open_client(address) as connected:
            assert set(connected.nthreads()) == set(client.nthreads())


def test_another_version_on_the_cluster_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "differences", lambda _: "numpy 1.0 (worker tcp://b:1), this process 2.0")
    address = client.scheduler.address
    with (
        pytest.raises(IncompatibleError, match=r"runs numpy 1.0 \(worker tcp://b:1\).*install one version"),
        open_client(address),
    ):
        pass


@pytest.mark.parametrize(
    ("who", "change", "told"),
    [
        ("tcp://b:1", {}, ""),
        ("tcp://b:1", {"python": "3.11.9.final.0"}, ""),
        ("tcp://b:1", {"python": "3.12.1.final.0"}, "python 3.12 (worker tcp://b:1), this process 3.11"),
        ("tcp://b:1", {"numpy": "2.0.0"}, "numpy 2.0.0 (worker tcp://b:1), this process 2.4.6"),
        ("tcp://b:1", {"gradstore": None}, "gradstore none (worker tcp://b:1), this process 0.1.0"),
        ("scheduler", {"gradstore": None, "numpy": None}, ""),
        ("scheduler", {"dask": "2026.7.1"}, "dask 2026.7.1 (scheduler), this process 2026.8.0"),
    ],
)
def test_versions_that_matter_must_agree(who: str, change: dict[str, Any], told: str) -> None:
    found = {name: {"packages": PACKAGES} for name in ("client", "scheduler", "tcp://a:1", "tcp://b:1")}
    found[who] = {"packages": PACKAGES | change}
    workers = {name: found.pop(name) for name in ("tcp://a:1", "tcp://b:1")}
    assert differences({**found, "workers": workers}) == told


def test_failures_of_the_cluster_are_one_line() -> None:
    from distributed import CancelledError, KilledWorker

    class Failed:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def result(self) -> None:
            raise self.error

    with pytest.raises(
        GradstoreError, match=r"^4 workers died over one task, most likely for want of memory"
    ):
        _result(Failed(KilledWorker("task", None, allowed_failures=3)))
    with pytest.raises(GradstoreError, match=r"^the cluster's scheduler is gone"):
        _result(Failed(CancelledError("task")))
