"""What tests of a cluster watch: its progress, and the bits of its results."""

from __future__ import annotations

from typing import Any

from gradstore.progress import Bar, silent


class Counting:
    """A Progress that adds up, and does something at the first update."""

    def __init__(self, first: Any = lambda: None) -> None:
        self.total = self.done = 0
        self._first = first

    def __call__(self, total: int, unit: str, label: str) -> Bar:
        self.total, self._bar = total, silent(total, unit, label)
        return self

    def update(self, count: int) -> None:
        if not self.done:
            self._first()
        self.done += count

    def estimate(self, total: int, note: str = "") -> None:
        pass

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def assert_equal_bits(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()
