"""Limits hold for every selector, and what they keep out is said."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import UsageError
from gradstore.interchange import import_arrays
from gradstore.select.gate import VERDICTS
from gradstore.select.limits import Limits
from gradstore.store import Store, open_store
from gradstore.testing import tiny_store

SELECTORS = ["random", "less", "g2is"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = tiny_store(tmp_path / "s.zarr")
    gradstore.build_graph(made)
    return open_store(tmp_path / "s.zarr")


@pytest.mark.parametrize(
    "limits", [{}, {"near_duplicate": 0.0}, {"near_duplicate": -0.5, "min_tokens": 3}, {"per_source": 1.0}]
)
def test_what_is_recorded_makes_the_same_limits_again(limits: dict[str, Any]) -> None:
    assert Limits(**limits).to_json() == limits
    assert Limits(**Limits(**limits).to_json()) == Limits(**limits)


def less_order(store: Store) -> list[str]:
    """All candidates as LESS ranks them."""
    return gradstore.select(store, selector="less", target="target", budget=57).ids


def test_without_limits_a_choice_is_the_selector_s_own(store: Store) -> None:
    for selector in SELECTORS:
        plain = gradstore.select(store, selector=selector, target="target", budget=12)
        within = gradstore.select(
            store,
            selector=selector,
            target="target",
            budget=12,
            limits=Limits(near_duplicate=1.0, per_source=57),
        )
        assert within.ids == plain.ids


def test_ranked_choice_within_limits_is_the_ranking_without_what_they_keep_out(store: Store) -> None:
    """Against the obvious loop over the whole ranking."""
    order = less_order(store)
    every = gradstore.select(store, selector="less", target="target", budget=57)
    source = dict(zip(every.ids, every.nodes.column("sources")[every.selection.picks], strict=True))
    vector = dict(zip(every.ids, every.nodes.take(every.selection.picks).astype(np.float64), strict=True))
    excluded = order[1:6]
    for most, threshold in ((3, 1.0), (57, 0.4), (4, 0.3), (2, 0.5)):
        expected: list[str] = []
        counts: Counter[str] = Counter()
        for name in order:
            near = any(vector[name] @ vector[other] > threshold for other in expected)
            if name in excluded or near or counts[source[name]] == most or len(expected) == 9:
                continue
            expected.append(name)
            counts[source[name]] += 1
        limits = Limits(exclude=excluded, per_source=most, near_duplicate=threshold)
        found = gradstore.select(store, selector="less", target="target", budget=9, limits=limits)
        assert found.ids == expected


@pytest.mark.parametrize("selector", SELECTORS)
def test_no_selector_breaks_a_limit(store: Store, selector: str) -> None:
    limits = Limits(exclude=less_order(store)[:10], per_source=5, near_duplicate=0.6)
    found = gradstore.select(store, selector=selector, target="target", budget=12, limits=limits)
    assert not set(found.ids) & set(limits.exclude)
    assert max(Counter(found.nodes.column("sources")[found.selection.picks]).values()) <= 5
    vectors = found.nodes.take(found.selection.picks)
    cosines = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert cosines.max() <= 0.6
    assert len(found) == 12


def test_near_duplicates_name_the_chosen_row_they_resemble_most(store: Store) -> None:
    found = gradstore.select(
        store, selector="less", target="target", budget=9, limits=Limits(near_duplicate=0.4)
    )
    near = np.flatnonzero(found.choice.verdicts == VERDICTS.index("near-duplicate of a chosen row"))
    assert set(near) == set(found.choice.twins)
    assert len(near)
    for row, (twin, cosine) in found.choice.twins.items():
        assert twin in found.selection.picks
        assert cosine == pytest.approx(
            float(found.nodes.take([row])[0] @ found.nodes.take([twin])[0]), abs=1e-5
        )
        assert cosine > 0.4


def test_a_share_per_source_is_one_of_the_budget(store: Store) -> None:
    found = gradstore.select(
        store, selector="less", target="target", budget=10, limits=Limits(per_source=0.4)
    )
    assert max(Counter(found.nodes.column("sources")[found.selection.picks]).values()) == 4


def test_what_cannot_be_filled_is_explained(store: Store) -> None:
    found = gradstore.select(store, selector="less", target="target", budget=12, limits=Limits(per_source=2))
    assert len(found) == 6
    assert found.selection.report["shortfall"] == {
        "missing": "6 rows",
        "because": "the limits admit no other candidate",
    }
    assert found.selection.report["kept_out"] == {"its source is full": 51}


def test_rows_are_excluded_by_the_hash_of_their_content_too(store: Store) -> None:
    dataset = store.dataset("pool")
    first = less_order(store)[0]
    row = list(dataset.ids).index(first)
    limits = Limits(exclude=[dataset.contents[row].tobytes().hex()])
    assert (
        less_order(store)[1:4]
        == gradstore.select(store, selector="less", target="target", budget=3, limits=limits).ids
    )


@pytest.fixture
def texts(tmp_path: Path) -> Store:
    """Rows of 1 to 40 tokens."""
    rng = np.random.default_rng(3)
    place = tmp_path / "t.zarr"
    tokens = rng.integers(1, 41, size=50)
    import_arrays(place, name="pool", gradients=rng.standard_normal((50, 8)), tokens=tokens)
    import_arrays(place, name="aim", gradients=rng.standard_normal((3, 8)), target=True)
    return open_store(place)


def test_a_token_budget_ends_with_the_first_row_that_does_not_fit(texts: Store) -> None:
    order = gradstore.select(texts, selector="less", target="aim", budget=50)
    tokens = order.nodes.column("tokens")[order.selection.picks]
    for budget in (1, 17, 100, 333, 10_000):
        found = gradstore.select(texts, selector="less", target="aim", tokens=budget)
        fitting = [i for i in range(50) if tokens[i] <= budget]
        spent = np.cumsum(tokens[fitting])
        count = int((spent <= budget).sum())
        assert found.ids == [order.ids[i] for i in fitting[:count]]
        assert found.selection.report.get("tokens", 0) == (spent[count - 1] if count else 0)
    assert found.selection.report["shortfall"]["missing"] == f"{10_000 - spent[-1]} tokens"


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (
            {"tokens": 1},
            "1 too short, 49 too long for the token budget (the shortest candidate has 1 tokens); allow",
        ),
        ({"budget": 3}, "50 too short; loosen the limits"),
    ],
)
def test_no_row_at_all_is_an_error_that_says_why(texts: Store, budget: dict[str, int], told: str) -> None:
    limits = Limits(min_tokens=2 if "tokens" in budget else 41)
    with pytest.raises(UsageError, match=re.escape(f"no row of 50 candidates was chosen: {told}")):
        gradstore.select(texts, selector="random", limits=limits, **budget)
    assert texts.selections == ()


def test_short_rows_are_kept_out(texts: Store) -> None:
    found = gradstore.select(texts, selector="random", budget=10, limits=Limits(min_tokens=20))
    assert found.nodes.column("tokens")[found.selection.picks].min() >= 20


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"budget": 3, "tokens": 4}, "only one of them"),
        ({}, "only one of them"),
        ({"tokens": 0}, "choose at least 1"),
    ],
)
def test_a_budget_is_one_of_rows_or_of_tokens(
    texts: Store, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        gradstore.select(texts, selector="random", **arguments)


def test_tokens_that_are_unknown_cannot_be_limited(store: Store) -> None:
    for arguments in ({"tokens": 50}, {"budget": 5, "limits": Limits(min_tokens=3)}):
        with pytest.raises(UsageError, match="how many tokens"):
            gradstore.select(store, selector="random", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits", [{"near_duplicate": 1.5}, {"per_source": 0}, {"per_source": 1.5}, {"min_tokens": -1}]
)
def test_limits_that_cannot_be_kept_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Limits(**limits)
