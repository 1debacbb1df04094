"""Problems at the edge: every selector gives a defined choice, or says in a line what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, GradstoreError, UsageError
from gradstore.interchange import import_arrays
from gradstore.select import SelectionContext, resolve, selectors
from tests.select.contexts import context_of

CHOICES: list[tuple[str, dict[str, Any]]] = [
    *((info.name, {}) for info in selectors()),
    ("g2is", {"preset": "authors"}),
    ("less", {"aggregate": "less-paper"}),
    ("less", {"center": True}),
    ("rds", {"aggregate": "max"}),
]
Problem = Callable[[], tuple[SelectionContext, int]]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def problem(train: np.ndarray, target: np.ndarray, budget: int) -> tuple[SelectionContext, int]:
    """Two checkpoints of the same rows, the second a little off, since gsnr wants more than one."""
    noise = 1 + 0.1 * normal(*train.shape, seed=9)
    return context_of([train, train * noise], [target, target], [0.5, 0.5], exact=True), budget


PROBLEMS: dict[str, Problem] = {
    "one target row": lambda: problem(normal(40, 16), normal(1, 16, seed=1), 7),
    "more dimensions than rows": lambda: problem(normal(5, 64), normal(3, 64, seed=1), 2),
    "one dimension": lambda: problem(normal(30, 1), normal(4, 1, seed=1), 5),
    "one candidate": lambda: problem(normal(1, 16), normal(4, 16, seed=1), 1),
    "all of the candidates": lambda: problem(normal(25, 16), normal(4, 16, seed=1), 25),
    "equal candidates": lambda: problem(np.ones((30, 16)), normal(4, 16, seed=1), 6),
    "equal target rows": lambda: problem(normal(30, 16), np.ones((4, 16)), 6),
    "candidates that are all contrary": lambda: problem(-np.ones((30, 16)), np.ones((4, 16)), 6),
    "tiny gradients": lambda: problem(normal(30, 16) * 1e-18, normal(4, 16, seed=1) * 1e-18, 6),
    "huge gradients": lambda: problem(normal(30, 16) * 1e15, normal(4, 16, seed=1) * 1e15, 6),
}


# On one line every cosine is 1 or -1: gist has nothing to rank by.
REFUSED = {
    ("gist", what)
    for what in ("one target row", "one dimension", "equal target rows", "candidates that are all contrary")
}


@pytest.mark.parametrize(("selector", "params"), CHOICES)
@pytest.mark.parametrize("what", PROBLEMS)
def test_a_choice_is_defined_or_refused_in_a_line(selector: str, params: dict[str, Any], what: str) -> None:
    context, budget = PROBLEMS[what]()
    refusal = ""
    with np.errstate(all="raise", under="ignore"):
        try:
            found = resolve(selector, params).select(context, budget)
        except GradstoreError as error:
            refusal = str(error)
    assert bool(refusal) == ((selector, what) in REFUSED), refusal
    if refusal:
        assert "\n" not in refusal
        return
    picks = found.picks.tolist()
    assert len(picks) == len(set(picks))
    assert set(picks) <= set(range(len(context)))
    assert len(picks) == budget or (params == {"preset": "authors"} and 0 < len(picks) < budget)
    assert found.scores is None or not np.isnan(found.scores).any()
    again = resolve(selector, params).select(PROBLEMS[what]()[0], budget)
    assert again.picks.tolist() == picks


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edges") / "s.zarr"
    rows = normal(20, 8)
    rows[[3, 11]] = 0
    import_arrays(path, name="pool", gradients=rows)
    import_arrays(path, name="nothing", gradients=np.zeros((3, 8)), target=True)
    import_arrays(path, name="inside", gradients=rows[[1, 2]], ids=["pool-1", "pool-2"], target=True)
    return path


def test_rows_with_zero_gradients_are_no_candidates(place: Path) -> None:
    picked = gradstore.select(place, selector="less", target="inside", budget=18)
    assert len(picked) == 18
    with pytest.raises(UsageError, match="only 18 of 20 rows have a gradient"):
        gradstore.select(place, selector="less", target="inside", budget=19)


def test_a_target_without_a_gradient_is_refused(place: Path) -> None:
    with pytest.raises(DataError, match="'nothing' has no valid row"):
        gradstore.select(place, selector="less", target="nothing", budget=3)
