"""Threads that change nothing but the time: whole tiles for each of them, never parts of one product.

A BLAS library that divides a product among its threads cuts it at other places for another number of them, and its
kernels for edges round differently. So each product is made by one thread, and several are made at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

from gradstore.store.ahead import read_ahead

__all__ = ["in_order", "undivided"]

T = TypeVar("T")
R = TypeVar("R")

_THREADS: ContextVar[int] = ContextVar("threads", default=0)


@contextmanager
def undivided() -> Iterator[int]:
    """Let no BLAS library of this process divide a product; gives the number of threads that it would have used."""
    if known := _THREADS.get():
        yield known
        return
    threads = max(
        (pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1
    )
    token = _THREADS.set(threads)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield threads
    finally:
        _THREADS.reset(token)


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Results of `work` in the order of `items`; at most ``threads + 1`` of both exist at a time."""
    return map(work, items) if threads < 2 else read_ahead(work, items, threads)
