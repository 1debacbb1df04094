"""What ``--scheduler`` names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradstore.cluster import Cluster
    from gradstore.store import Store

__all__ = ["working_on"]


@contextmanager
def working_on(scheduler: str | None, store: Store, verified: bool) -> Iterator[Cluster | None]:
    """The cluster that works on a store; None without a scheduler."""
    if scheduler is None:
        yield None
        return
    from gradstore.cluster import open_cluster

    with open_cluster(scheduler, store, verified=verified) as cluster:
        yield cluster
