"""Explanations and comparisons agree with what was chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import gradstore
from gradstore.errors import IncompatibleError, StoreNotFoundError, UsageError
from gradstore.select import Limits, Picked
from gradstore.select.compare import compare
from gradstore.select.kept import Kept, load_kept
from gradstore.select.why import why
from gradstore.store import Store, open_store
from gradstore.testing import tiny_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "s.zarr")


@pytest.fixture
def picked(store: Store) -> Picked:
    limits = Limits(near_duplicate=0.4, exclude=["row-003"])
    return gradstore.select(store, selector="less", target="target", budget=9, limits=limits, name="mine")


def test_a_kept_selection_is_the_one_that_was_made(store: Store, picked: Picked) -> None:
    kept, made = load_kept(store, "mine"), Kept.of(picked)
    assert kept.twins.keys() == made.twins.keys()
    assert kept.config == made.config
    for name in ("ids", "datasets", "picks", "scores", "verdicts", "serves"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))
    assert {name: list(values) for name, values in kept.columns.items()} == picked.selection.columns


def test_a_chosen_row_names_its_rank_and_the_nearest_target_rows(store: Store, picked: Picked) -> None:
    found = why(store, "mine", picked.ids[2], nearest=4)
    assert (found["verdict"], found["rank"], found["target"]) == ("chosen", 2, "target")
    assert found["because"] == {"subtask": picked.selection.columns["subtask"][2]}
    vector = picked.nodes.take([picked.selection.picks[2]])[0]
    target = store.dataset("target")
    rows = target.read("sgd", 0, 9)
    cosines = rows @ vector / np.linalg.norm(rows, axis=1)
    order = np.argsort(-cosines)[:4]
    assert [row["id"] for row in found["target_rows"]] == [target.ids[i] for i in order]
    np.testing.assert_allclose([row["cosine"] for row in found["target_rows"]], cosines[order], atol=1e-5)
    assert all(row["id"] == picked.ids[row["rank"]] for row in found["chosen_rows"])
    assert picked.ids[2] not in [row["id"] for row in found["chosen_rows"]]
    assert found["text"] == f"Row {picked.ids[2]}"
    place = 1 + int((picked.selection.scores > picked.selection.scores[picked.selection.picks[2]]).sum())
    assert found["place"] == place


def test_a_row_that_was_kept_out_names_what_kept_it_out(store: Store, picked: Picked) -> None:
    assert why(store, "mine", "row-003")["verdict"] == "excluded"
    row, (twin, cosine) = next(iter(picked.choice.twins.items()))
    found = why(store, "mine", str(picked.nodes.ids[row]))
    assert found["rank"] is None
    assert found["near_duplicate"]["id"] == picked.nodes.ids[twin]
    assert found["near_duplicate"]["cosine"] == pytest.approx(cosine)


def test_unknown_rows_and_selections_suggest(store: Store, picked: Picked) -> None:
    with pytest.raises(StoreNotFoundError, match="did you mean 'row-0"):
        why(store, "mine", "row-00")
    with pytest.raises(StoreNotFoundError, match="did you mean 'mine'"):
        why(store, "min", "row-003")


def test_a_selection_of_rows_that_changed_is_refused(store: Store, picked: Picked, tmp_path: Path) -> None:
    other = tiny_store(tmp_path / "o.zarr", rows=40)
    with pytest.raises((IncompatibleError, StoreNotFoundError)):
        why(other, Kept.of(picked), picked.ids[0])


def test_comparison_follows_the_definitions(store: Store) -> None:
    one = gradstore.select(store, selector="less", target="target", budget=20, name="one")
    two = gradstore.select(
        store, selector="less", target="target", budget=25, params={"aggregate": "mean"}, name="two"
    )
    found = compare(open_store(store.location), ["one", "two"])
    common = set(one.ids) & set(two.ids)
    (pair,) = found["pairs"]
    assert pair["common"] == len(common)
    assert pair["jaccard"] == pytest.approx(len(common) / len(set(one.ids) | set(two.ids)))
    ranks = [[chosen.ids.index(name) for name in sorted(common)] for chosen in (one, two)]
    assert pair["order_correlation"] == pytest.approx(spearmanr(*ranks).statistic)
    scores = spearmanr(one.selection.scores, two.selection.scores).statistic
    assert pair["score_correlation"] == pytest.approx(scores)
    sources = one.nodes.column("sources")
    for row in found["sources"]:
        assert row["pool"] == pytest.approx((sources == row["source"]).mean())
        for share, chosen in zip(row["selections"], (one, two), strict=True):
            assert share == pytest.approx((sources[chosen.selection.picks] == row["source"]).mean())
    chosen_scores = np.percentile(one.selection.scores[one.selection.picks], [10, 50, 90])
    np.testing.assert_allclose(list(found["selections"][0]["scores"]["chosen"].values()), chosen_scores)
    assert found["selections"][1]["serves"] == {"target": 25}


def test_a_selection_is_compared_once(store: Store, picked: Picked) -> None:
    with pytest.raises(UsageError, match="each once"):
        compare(store, ["mine", "mine"])
    assert compare(store, ["mine"])["pairs"] == []


def test_selections_without_scores_have_no_score_correlation(store: Store) -> None:
    for seed in (0, 1):
        gradstore.select(store, selector="random", budget=30, seed=seed, name=f"r{seed}")
    (pair,) = compare(store, ["r0", "r1"])["pairs"]
    assert pair["score_correlation"] is None
    assert -1 <= pair["order_correlation"] <= 1
