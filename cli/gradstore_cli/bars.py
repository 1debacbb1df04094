"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Self

from gradstore.parts import rank_of, share_of
from gradstore.progress import Bar
from gradstore_cli import console

__all__ = ["PLAIN_INTERVAL", "PlainBar", "TerminalBar", "make_bar", "prefix"]

BYTES = "bytes"
PLAIN_INTERVAL = 30.0  # seconds between two lines


def prefix() -> str:
    """What lines begin with in all but the first of several processes that one launcher started, such as ``"2/8: "``.

    Their lines mingle on one terminal or in one log file.
    """
    return f"{share_of(None, os.environ)}: " if rank_of(os.environ)[0] else ""


def make_bar(total: int, unit: str, label: str) -> Bar:
    """Begin a bar; only the first process of a launch draws one."""
    if sys.stderr.isatty() and not prefix():
        return TerminalBar(total, unit, console.shown(label))
    return PlainBar(total, unit, prefix() + label)


class TerminalBar:
    """A bar that tqdm draws."""

    def __init__(self, total: int, unit: str, label: str) -> None:
        from tqdm import tqdm

        what: dict[str, Any] = {"unit": f" {unit}"}
        if unit == BYTES:
            what = {"unit": "B", "unit_divisor": 1024}
        self._bar: Any = tqdm(
            total=total, desc=label, unit_scale=True, file=sys.stderr, dynamic_ncols=True, **what
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last state, which stays."""
        self._bar.close()

    def estimate(self, total: int, note: str = "") -> None:
        """Correct the total, and show `note` behind the bar."""
        self._bar.total = max(total, self._bar.n)
        if note:
            self._bar.set_postfix_str(console.shown(note), refresh=False)

    def update(self, count: int) -> None:
        """Count more units."""
        self._bar.update(count)


class PlainBar:
    """The same facts as occasional lines, for logs and pipes."""

    def __init__(self, total: int, unit: str, label: str) -> None:
        self._total, self._unit, self._label = total, unit, label
        self._done, self._note = 0, ""
        self._started = self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Say how far it came, how long that took and how fast it was."""
        seconds = time.monotonic() - self._started
        console.say(f"{self._state()} in {console.duration(seconds)}{self._speed(seconds)}")

    def estimate(self, total: int, note: str = "") -> None:
        """Correct the total, and tell `note` with it."""
        self._total, self._note = max(total, self._done), note

    def update(self, count: int) -> None:
        """Count more units; speak if nothing was said for a while."""
        self._done += count
        now = time.monotonic()
        if now - self._spoke < PLAIN_INTERVAL or not 0 < self._done < self._total:
            return
        self._spoke = now
        seconds = now - self._started
        left = seconds * (self._total - self._done) / self._done
        share = console.percent(self._done / self._total)
        console.say(f"{self._state()} ({share}){self._speed(seconds)}, about {console.duration(left)} left")

    def _state(self) -> str:
        if self._unit == BYTES:
            state = f"{self._label}: {console.size(self._done)} of {console.size(self._total)}"
        else:
            state = f"{self._label}: {console.count(self._done)} of {console.count(self._total)} {self._unit}"
        return f"{state}, {self._note}" if self._note else state

    def _speed(self, seconds: float) -> str:
        rate = self._done / seconds if seconds > 0 else 0.0
        if self._unit == BYTES:
            return f", {console.size(rate)}/s"
        if 0 < rate < 1:
            return f", {console.duration(1 / rate)}/{self._unit.removesuffix('s')}"
        return f", {rate:,.0f} {self._unit}/s" if rate >= 10 else f", {rate:.1f} {self._unit}/s"
