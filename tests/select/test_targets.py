"""Several targets at once, and target rows among the candidates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.errors import UsageError
from gradstore.interchange import import_arrays
from gradstore.select.limits import Limits
from gradstore.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A pool around three centres, and three targets each at one of them; the last one is small."""
    rng = np.random.default_rng(5)
    centres = 3 * rng.standard_normal((3, 16))
    pool = centres[np.arange(90) % 3] + rng.standard_normal((90, 16))
    place = tmp_path / "s.zarr"
    rows = [{"text": f"row {i}"} for i in range(90)]
    import_arrays(
        place,
        name="pool",
        gradients=pool,
        rows=rows,
        ids=[f"p{i:02}" for i in range(90)],
        tokens=1 + np.arange(90) % 7,
    )
    for name, centre, count in zip("abc", centres, (6, 6, 2), strict=True):
        aim = centre + rng.standard_normal((count, 16))
        import_arrays(place, name=name, gradients=aim, target=True)
    return open_store(place)


def single(store: Store, target: str, budget: int = 90) -> list[str]:
    return gradstore.select(store, selector="less", target=target, budget=budget).ids


def test_targets_in_turns_choose_as_they_would_alone_without_repeats(store: Store) -> None:
    lists = {name: iter(single(store, name)) for name in "abc"}
    expected: list[str] = []
    while len(expected) < 20:
        for rows in lists.values():
            expected.append(next(row for row in rows if row not in expected))
    found = gradstore.select(store, selector="less", target=["a", "b", "c"], balance="round-robin", budget=20)
    assert found.ids == expected[:20]
    assert found.choice.serves == [name for _ in range(7) for name in "abc"][:20]


def test_quota_gives_each_target_its_part(store: Store) -> None:
    found = gradstore.select(store, selector="less", target=["a", "b", "c"], balance="quota", budget=20)
    assert Counter(found.choice.serves) == {"a": 7, "b": 7, "c": 6}
    assert found.ids[:7] == single(store, "a", 7)
    rest = [name for name in single(store, "b") if name not in found.ids[:7]]
    assert found.ids[7:14] == rest[:7]


def test_shared_targets_are_scored_as_subtasks_of_one(store: Store) -> None:
    found = gradstore.select(store, selector="less", target=["a", "b"], budget=10)
    scores = [gradstore.select(store, selector="less", target=name, budget=90) for name in "ab"]
    both = np.stack([each.selection.scores for each in scores])
    np.testing.assert_allclose(found.selection.scores, both.max(axis=0), atol=1e-6)
    picks = found.selection.picks
    assert found.choice.serves == ["ab"[i] for i in both[:, picks].argmax(axis=0)]
    assert list(found.selection.columns["subtask"]) == found.choice.serves


def test_every_pick_of_one_target_serves_it(store: Store) -> None:
    assert set(gradstore.select(store, selector="less", target="a", budget=5).choice.serves) == {"a"}
    assert set(gradstore.select(store, selector="random", budget=5).choice.serves) == {""}


def test_limits_hold_over_all_targets(store: Store) -> None:
    for balance in ("quota", "round-robin", "shared"):
        found = gradstore.select(
            store,
            selector="less",
            target=["a", "b", "c"],
            balance=balance,  # type: ignore[arg-type]
            budget=21,
            limits=Limits(exclude=[f"p{i:02}" for i in range(30)], near_duplicate=0.95),
        )
        assert len(found) == 21
        assert min(found.ids) >= "p30"
        vectors = found.nodes.take(found.selection.picks)
        assert (vectors @ vectors.T - 2 * np.eye(21)).max() <= 0.95


def test_token_budget_is_shared_out_by_quota(store: Store) -> None:
    found = gradstore.select(store, selector="less", target=["a", "b"], balance="quota", tokens=101)
    spent: Counter[str] = Counter()
    for name, tokens in zip(
        found.choice.serves, found.nodes.column("tokens")[found.selection.picks], strict=True
    ):
        spent[name] += int(tokens)
    assert 44 < spent["a"] <= 51
    assert 43 < spent["b"] <= 50


def test_a_balance_needs_several_targets(store: Store) -> None:
    with pytest.raises(UsageError, match="needs several targets"):
        gradstore.select(store, selector="less", target="a", balance="quota", budget=3)
    with pytest.raises(UsageError, match="choose from: shared, quota, round-robin"):
        gradstore.select(store, selector="less", target=["a", "b"], balance="fair", budget=3)  # type: ignore[arg-type]


def test_target_rows_among_the_candidates_are_flagged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"text": f"row {i}"} for i in range(20)]
    place = tmp_path / "leak.zarr"
    import_arrays(place, name="pool", gradients=rng.standard_normal((20, 6)), rows=rows)
    import_arrays(
        place, name="aim", gradients=rng.standard_normal((2, 6)), rows=[rows[3], {"text": "new"}], target=True
    )
    heard: list[str] = []
    store = open_store(place)
    found = gradstore.select(store, selector="less", target="aim", budget=20, log=heard.append)
    assert found.config["leaked"] == 1
    assert "1 of the candidates are rows of the target itself" in heard[0]
    assert str(store.dataset("pool").ids[3]) in heard[0]
    clean = gradstore.select(store, selector="random", budget=5, log=heard.append)
    assert clean.config["leaked"] == 0
