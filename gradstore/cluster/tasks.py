"""Runs one function on many pieces, on whatever workers there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gradstore.cluster.recipe import Recipe, host
from gradstore.errors import GradstoreError

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["outcomes", "threads"]

Call = TypeVar("Call", bound=tuple[Any, ...])

RETRIES = 2
"""How often a task that failed by no fault of the user's runs again; one whose worker died does so besides."""
_AHEAD = 3
"""Tasks for each thread that are under way at once: enough to keep it busy, few enough for bounded memory."""

_GONE = "the cluster's scheduler is gone; start it and run the same command again"


class _Refused(NamedTuple):
    """A user's error on a worker: a result, so that Dask does not try again what cannot succeed."""

    error: GradstoreError


def outcomes(
    client: Client, function: Callable[..., Any], recipe: Recipe, calls: Iterable[Call], *shared: Any
) -> Iterator[tuple[Call, Any]]:
    """Run ``function(nodes, *call, *shared)`` on the cluster for each of `calls`; yields (call, result) as they come.

    Parameters
    ----------
    client : Client
    function : callable
        Of a module that workers can import.
    recipe : Recipe
        Of the nodes.
    calls : iterable of tuple
        Arguments of each task; asked for as workers become free.
    shared
        Further arguments of every task.

    Raises
    ------
    GradstoreError
        What a task raised, with the name of its machine; or if workers keep dying, or the scheduler is gone.
    """
    from distributed import as_completed
    from distributed.comm import CommClosedError

    waiting = iter(calls)
    running = as_completed(loop=client.loop)
    asked: dict[Any, tuple[Future, Call]] = {}

    def ask() -> None:
        room = _AHEAD * max(1, threads(client)) - len(asked)
        for call in islice(waiting, max(0, room)):
            future = client.submit(_task, function, recipe, *call, *shared, pure=False, retries=RETRIES)
            asked[future.key] = future, call
            running.add(future)

    try:
        ask()
        for future in running:
            result = _result(future)
            _, call = asked.pop(future.key)
            del future  # the cluster may forget it
            ask()
            yield call, result
    except CommClosedError as error:
        raise GradstoreError(_GONE) from error
    finally:
        client.cancel([future for future, _ in asked.values()])


def threads(client: Client) -> int:
    """Threads of all workers."""
    return int(sum(client.nthreads().values()))


def _task(function: Callable[..., Any], recipe: Recipe, *arguments: Any) -> Any:
    try:
        return function(recipe.open(), *arguments)
    except GradstoreError as error:
        return _Refused(type(error)(f"worker on {host()}: {error}"))


def _result(future: Future) -> Any:
    from distributed import CancelledError, KilledWorker

    try:
        found = future.result()
    except KilledWorker as error:
        raise GradstoreError(
            f"{error.allowed_failures + 1} workers died over one task, most likely for want of memory; give workers "
            "more, or see their logs"
        ) from error
    except CancelledError as error:
        raise GradstoreError(
            "the cluster's scheduler is gone; start it and run the same command again"
        ) from error
    if isinstance(found, _Refused):
        raise found.error
    return found
