"""How long work reports to whoever called it; the library itself never prints."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

__all__ = ["Bar", "Log", "Progress", "counted", "silent", "unheard"]


class Bar(Protocol):
    """Counts the done part of some work; a context manager."""

    def update(self, count: int) -> object:
        """`count` more units are done."""

    def estimate(self, total: int, note: str = "") -> object:
        """The total is now known to be about `total`; `note` says more, such as ``"3,400/24,560 rows"``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> object: ...


Log = Callable[[str], object]
"""Hears one line about what happens."""

Progress = Callable[[int, str, str], Bar]
"""``progress(total, unit, label)`` begins a bar."""


class _Silent:
    def update(self, count: int) -> None:
        pass

    def estimate(self, total: int, note: str = "") -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def silent(total: int, unit: str, label: str) -> Bar:  # noqa: ARG001 (a Progress)
    """Count in silence: the default."""
    return _Silent()


def unheard(line: str) -> None:
    """Say nothing: the default."""
