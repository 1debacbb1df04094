"""Leases: one holder at a time while it lives, another's once it has stopped, whatever answers are lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gradstore.errors import StoreWriteError
from gradstore.storage import LocalFolder, telling
from gradstore.storage.bucket import CLOCK, BucketFolder
from gradstore.storage.lease import TIMING, Lease, Timing
from tests.storage.faulty import Faulty

Opened = Callable[..., BucketFolder]


def test_one_at_a_time_and_again_when_released(opened: Opened) -> None:
    mine, theirs = opened(), opened()
    with mine.lock(".lock") as held:
        assert mine.attempt(".lock") is None
        assert theirs.attempt(".lock") is None
        with pytest.raises(StoreWriteError, match="wait for it"):
            theirs.lock(".lock", "another process: wait for it")
        assert theirs.attempt(".1.lock") is not None
    held.release()
    with theirs.lock(".lock"):
        assert mine.attempt(".lock") is None


def test_who_waits_has_it_when_it_is_released(opened: Opened) -> None:
    held = opened().lock(".lock")
    had = threading.Event()

    def wait() -> None:
        with opened().lock(".lock"):
            had.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not had.wait(0.3)
    held.release()
    assert had.wait(10)
    waiting.join()


def test_who_waits_long_is_told_for_whom(
    opened: Opened, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "gradstore")
    monkeypatch.setattr(telling, "PATIENT", 0.2)
    abandoned = opened(timing=Timing(span=1, renewal=60)).lock("a/.lock")
    with opened(timing=Timing(span=1, renewal=60)).lock("a/.lock"):
        (said,) = caplog.messages
    assert said.startswith("waiting for s3://")
    assert said.endswith("a/.lock: another process has it, or was killed less than 1 s ago")
    abandoned.release()


def test_who_waits_long_for_a_lock_on_a_disk_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "gradstore")
    monkeypatch.setattr(telling, "PATIENT", 0.1)
    held = LocalFolder(tmp_path).lock(".lock")
    threading.Timer(0.5, held.release).start()
    with LocalFolder(tmp_path).lock(".lock"):
        assert caplog.messages == [f"waiting for {tmp_path / '.lock'}: another process has it"]
    with LocalFolder(tmp_path).lock(".lock"):
        assert len(caplog.messages) == 1


def test_a_lease_that_is_renewed_outlives_its_span(opened: Opened) -> None:
    held = opened(timing=Timing(span=1.5, renewal=0.2)).lock(".lock")
    theirs = opened(timing=Timing(span=1.5, renewal=0.2))
    for _ in range(6):
        time.sleep(0.5)
        assert theirs.attempt(".lock") is None
    held.release()


def test_an_abandoned_lease_is_taken_over_by_one_and_lost_by_its_holder(opened: Opened) -> None:
    mine = opened(timing=Timing(span=1, renewal=60))
    lost = mine.lock(".lock")
    time.sleep(2.2)
    taken: list[Lease | None] = []
    threads = [
        threading.Thread(target=lambda folder=folder: taken.append(folder.attempt(".lock")))
        for folder in [opened(timing=Timing(span=1, renewal=0.2)) for _ in range(4)]
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(each is not None for each in taken) == 1
    assert not lost.renew(7)
    lost._renewed -= 60
    lost.release()  # leaves that of the other
    assert mine.attempt(".lock") is None
    for held in taken:
        if held is not None:
            held.release()
    assert mine.names() == []


def test_the_clocks_of_the_machines_do_not_matter(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    held = opened().lock(".lock")
    monkeypatch.setattr(time, "time", lambda: real() + 10**6)
    monkeypatch.setattr(time, "monotonic", lambda step=time.monotonic: step() + 10**5)
    assert opened().attempt(".lock") is None
    held.release()


def test_what_is_left_of_the_clock_is_no_claim_and_no_object_of_a_store(opened: Opened) -> None:
    folder = opened()
    held = folder.lock(".lock")
    folder.attempt(".lock")
    held.release()
    assert CLOCK.startswith(".")
    assert CLOCK.endswith(".lock")
    assert list(folder.files()) == []


def test_lost_answers_lose_no_lease(opened: Opened, faulty: Faulty) -> None:
    folder = opened(endpoint=faulty.endpoint)
    faulty.faults, faulty.methods, faulty.share = ("lost",), ("PUT",), 0.7
    faulty.draw.seed(1)
    for number in range(3):
        held = folder.attempt(f".{number}.lock")
        assert held is not None  # created by a request whose answer was lost
        assert held.renew(1)
        assert opened().attempt(f".{number}.lock") is None
        held.release()
    assert faulty.count
    assert list(opened().files()) == []


def test_a_forked_child_leaves_its_parents_lease_alone(opened: Opened) -> None:
    folder = opened()
    held = folder.lock(".lock")
    child = os.fork()
    if child == 0:
        held.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert folder.attempt(".lock") is None
    held.release()
    assert folder.names() == []


def test_a_lease_that_nobody_remembers_is_not_renewed_for_ever(opened: Opened) -> None:
    before = threading.active_count()
    folder = opened(timing=Timing(span=2, renewal=0.1))
    folder.lock(".lock")
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() == before


def test_a_holder_renews_several_times_before_anyone_may_take_over() -> None:
    assert TIMING.span >= 3 * TIMING.renewal
