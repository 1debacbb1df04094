"""Reading a little ahead: the next items are made while the last is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")
U = TypeVar("U")


def read_ahead(make: Callable[[U], T], of: Iterable[U], depth: int) -> Iterator[T]:
    """``map(make, of)`` with up to `depth` results made in threads beforehand.

    Ends quietly when the iterator is dropped; an error is raised where its result is due.
    """
    items = iter(of)
    with ThreadPoolExecutor(depth, thread_name_prefix="read-ahead") as threads:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
