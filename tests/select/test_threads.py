"""Several tiles at once, no product divided."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gradstore.select.threads import in_order, undivided
from tests.select.contexts import context_of


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_no_library_divides_a_product_and_all_may_again_afterwards() -> None:
    before = blas_threads()
    with undivided() as threads, undivided() as inside:
        assert threads == inside == max(before)
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_order_and_few_are_held(threads: int) -> None:
    alive, most, lock = 0, 0, threading.Lock()

    def items() -> object:
        nonlocal alive, most
        for number in range(50):
            with lock:
                alive += 1
                most = max(most, alive)
            yield number

    found = []
    for result in in_order(lambda number: number**2, items(), threads):
        found.append(result)
        with lock:
            alive -= 1
    assert found == [number**2 for number in range(50)]
    assert most <= threads + 1 or threads == 0


def test_an_error_in_a_tile_is_the_caller_s() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda number: 1 // number, [2, 1, 0, 3], 2))


def test_similarities_are_the_same_however_many_tiles_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    rows, aims = rng.standard_normal((2500, 32)), rng.standard_normal((11, 32))

    def similarity(memory: int) -> bytes:
        return context_of([rows], [aims], [1.0], memory=memory).similarity().tobytes()

    alone = similarity(0)
    monkeypatch.setattr(
        "gradstore.select.threads.threadpool_info", lambda: [{"user_api": "blas", "num_threads": 3}]
    )
    assert similarity(1 << 30) == alone
