"""Locks in buckets: leases that their holder renews, and that others may take over once it has stopped."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from typing import TYPE_CHECKING, NamedTuple, Self

from gradstore.errors import StoreWriteError
from gradstore.records import canonical_json
from gradstore.storage.client import Client, Found
from gradstore.storage.telling import told_meanwhile

if TYPE_CHECKING:
    from obstore import UpdateVersion

__all__ = ["TIMING", "Lease", "Leases", "Timing"]


class Timing(NamedTuple):
    """Seconds.

    Attributes
    ----------
    span : float
        A lease that was not renewed for so long is abandoned.
    renewal : float
        Its holder renews it as often.
    """

    span: float = 60
    renewal: float = 15


TIMING = Timing()
_LARGEST = 4096
_LONGEST_WAIT = 2.0
_CLOCK_IS_GOOD_FOR = 600.0


class Leases:
    """Leases on one bucket.

    A lease is an object that is created only if there is none, and replaced only if it is the one that was seen. Its
    age is the server's: the time when the object was written, against that of an object written now; clocks of the
    machines do not matter.

    Parameters
    ----------
    client : Client
    clock : str
        Key of an object that may be written, to learn the server's time.
    """

    def __init__(self, client: Client, clock: str, timing: Timing = TIMING) -> None:
        self.client, self.timing = client, timing
        self._clock = clock
        self._offset = 0.0
        self._measured = -_CLOCK_IS_GOOD_FOR

    def attempt(self, key: str) -> Lease | None:
        """Take a lease; None if another holds it, in this process or elsewhere."""
        holder = secrets.token_hex(16)
        version = self.client.create(key, _document(holder, 0))
        if version is None:
            version = self._take_over(key, holder)
        return None if version is None else Lease(self, key, holder, version)

    def wait(self, key: str, busy: str | None) -> Lease:
        """Take a lease; while another holds it wait, or raise a `StoreWriteError` of the message `busy`."""
        if (lease := self.attempt(key)) is not None:
            return lease
        if busy:
            raise StoreWriteError(busy)
        pause = 0.05
        with told_meanwhile(
            f"waiting for {self.client.root}{key}: another process has it, or was killed less than "
            f"{self.timing.span:.0f} s ago"
        ):
            while (lease := self.attempt(key)) is None:
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_WAIT)
        return lease

    def held(self, key: str, holder: str) -> Found | None:
        """The lease as it is, if `holder` has it."""
        found = self.client.get(key, _LARGEST)
        return found if found is not None and holder.encode() in found.data else None

    def _take_over(self, key: str, holder: str) -> UpdateVersion | None:
        found = self.client.get(key, _LARGEST)
        if found is None:
            return self.client.create(key, _document(holder, 0))
        if holder.encode() in found.data:  # created by us, and only the answer was lost
            return found.stat.version
        if self._now() - found.stat.modified.timestamp() <= self.timing.span:
            return None
        version = self.client.update(key, _document(holder, 0), found.stat.version)
        if version is None:
            ours = self.held(key, holder)
            return ours.stat.version if ours else None
        return version

    def _now(self) -> float:
        """The server's time, measured now and then."""
        while time.monotonic() - self._measured >= _CLOCK_IS_GOOD_FOR:
            self.client.put(self._clock, secrets.token_bytes(8))
            stat = self.client.head(self._clock)
            if stat is not None:  # else another process has just done the same and removed it
                self._measured = time.monotonic()
                self._offset = stat.modified.timestamp() - self._measured
                self.client.delete([self._clock])
        return time.monotonic() + self._offset


class Lease:
    """One lease that is held; a thread renews it until it is released.

    Whoever loses one, because it stood still for longer than the span, is not told: what is written does not depend
    on leases, which only keep two processes from doing the same.
    """

    def __init__(self, leases: Leases, key: str, holder: str, version: UpdateVersion) -> None:
        self._leases, self._key, self._holder, self._version = leases, key, holder, version
        self._renewed = time.monotonic()
        self._released = threading.Event()
        self._busy = threading.Lock()
        threading.Thread(target=_renew, args=(weakref.ref(self), self._released), daemon=True).start()
        _held.add(self)

    @property
    def interval(self) -> float:
        """Seconds between two renewals."""
        return self._leases.timing.renewal

    def renew(self, count: int) -> bool:
        """Write the lease anew; whether it is still ours."""
        with self._busy:
            if self._released.is_set():
                return False
            version = self._leases.client.update(self._key, _document(self._holder, count), self._version)
            if version is None:
                ours = self._leases.held(self._key, self._holder)
                if ours is None:
                    return False
                version = ours.stat.version
            self._version, self._renewed = version, time.monotonic()
            return True

    def release(self) -> None:
        """Remove the object, unless another process has taken the lease over."""
        if self._released.is_set():
            return
        self._released.set()
        with self._busy:
            _held.discard(self)
            fresh = time.monotonic() - self._renewed < self._leases.timing.span / 2
            if fresh or self._leases.held(self._key, self._holder) is not None:
                self._leases.client.delete([self._key])

    def disown(self) -> None:
        """Leave it to the process that has the thread."""
        self._released.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _renew(lease: weakref.ref[Lease], released: threading.Event) -> None:
    """Renew until the lease is released, lost, or forgotten by all."""
    count = 0
    while (held := lease()) is not None:
        interval, held = held.interval, None
        if released.wait(interval):
            return
        held = lease()
        count += 1
        try:
            if held is None or not held.renew(count):
                return
        except StoreWriteError:  # tried for long: the holder's own writes fail too and tell so
            continue


def _document(holder: str, count: int) -> bytes:
    """What makes each renewal another object, so that its version is another."""
    return canonical_json({"holder": holder, "renewed": count})


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def _disown_all() -> None:
    for lease in list(_held):
        lease.disown()


# A forked child has its parent's leases but not the threads that renew them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
