"""`gradstore.select` on a store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.select.budget import rows_for
from gradstore.select.less import Less
from gradstore.store import Store, read_artefact
from gradstore.testing import tiny_context, tiny_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return tiny_store(tmp_path / "s")


def test_a_checkpoint_that_lost_its_document_is_not_left_out_without_a_word(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for checkpoint in ("one", "two"):
        for name in ("pool", "aim"):
            gradstore.import_arrays(
                tmp_path / "s",
                name=name,
                checkpoint=checkpoint,
                gradients=rng.standard_normal((9, 4)),
                direction="sgd",
                target=name == "aim",
            )
    (tmp_path / "s" / "checkpoints" / "one" / "zarr.json").unlink()
    heard: list[str] = []
    gradstore.select(tmp_path / "s", selector="less", target="aim", budget=3, log=heard.append)
    assert any(
        line.startswith("checkpoints/one holds aim, pool and has lost its zarr.json: it is left out")
        for line in heard
    )


def test_every_built_in_selector_chooses_from_a_store(store: Store) -> None:
    gradstore.build_graph(store, neighbours=12)
    for selector in ("random", "less", "g2is"):
        picked = gradstore.select(store, selector=selector, target="target", budget=0.2)
        assert len(picked.ids) == len(set(picked.ids)) == 12
        assert picked.datasets == ["pool"] * 12
        assert picked.report()["budget"] == 12
        assert sum(row.chosen for row in picked.composition()) == 12
    assert store.selections == ("g2is-target", "less-target", "random-target")


def test_a_store_and_a_context_of_the_same_rows_agree(store: Store) -> None:
    context = tiny_context()
    expected = [context.ids[i] for i in Less().select(context, 15).picks]
    assert gradstore.select(store, selector=Less(), target="target", budget=15).ids == expected


def test_the_graph_is_restricted_to_candidates(store: Store) -> None:
    from gradstore.graph import Nodes, exact_neighbours, open_nodes
    from gradstore.select.candidates import restricted_graph

    graph = gradstore.build_graph(store, neighbours=65)
    both = open_nodes(store, train=["pool"], targets=["target"])
    nodes = Nodes(both.parts[:1], both.weights)
    links, cosines = restricted_graph(graph, nodes, store, "default")
    neighbours, expected = exact_neighbours(nodes, 56)
    np.testing.assert_array_equal(links[:, :56], neighbours)
    np.testing.assert_allclose(cosines[:, :56], expected, atol=1e-6)
    assert (links[:, 56:] == -1).all()
    assert (cosines[:, 56:] == 0).all()


def test_the_walk_on_the_graph_ignores_target_rows(store: Store) -> None:
    gradstore.build_graph(store, neighbours=65)
    with_targets = gradstore.select(store, target="target", budget=20, params={"preset": "authors"})
    gradstore.build_graph(store, targets=[], neighbours=56, name="train-only")
    alone = gradstore.select(
        store, target="target", budget=20, params={"preset": "authors"}, graph="train-only"
    )
    assert with_targets.ids == alone.ids


def test_the_selection_is_kept_with_all_that_decided_it(store: Store) -> None:
    picked = gradstore.select(store, selector="less", target="target", budget=5, params={"aggregate": "mean"})
    kept = read_artefact(store, "selections", "less-target")
    assert [kept.strings["ids"][i] for i in kept.arrays["picks"]] == picked.ids
    assert kept.arrays["ranks"][kept.arrays["picks"]].tolist() == [0, 1, 2, 3, 4]
    assert (np.asarray(kept.arrays["ranks"]) >= 0).sum() == 5
    np.testing.assert_array_equal(np.asarray(kept.arrays["scores"])[kept.arrays["picks"]], picked.scores)
    assert kept.attributes["parameters"] == {"aggregate": "mean", "center": False}
    assert kept.attributes["directions"] == {"pool": "sgd", "target": "sgd"}


def test_what_becomes_of_a_choice_in_the_store_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(**options: object) -> list[str]:
        lines: list[str] = []
        gradstore.select(store, selector="random", log=lines.append, **options)  # type: ignore[arg-type]
        return lines

    assert heard(budget=5) == []
    assert heard(budget=7) == ["replaced selection random (5 rows)"]
    assert heard(budget=7, name="other") == []
    (tmp_path / "s" / "selections" / "other" / "zarr.json").write_text("damaged")
    assert heard(budget=7, name="other") == ["replaced selection other"]
    monkeypatch.setattr(Store, "writable", False)
    (line,) = heard(budget=3)
    assert "is not kept, since" in line
    assert "cannot be written" in line
    assert read_artefact(store, "selections", "random").attributes["picked"] == 7


def test_a_name_that_cannot_be_kept_is_refused_before_the_choice(store: Store) -> None:
    def unheard_of(*_: object) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match="selection name"):
        gradstore.select(store, selector="random", budget=2, name="a b", log=unheard_of)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (["pool"], "'pool' is named as target and is the only set to choose from; targets are: target"),
        (["pool", "more"], "'more', 'pool' are named as targets and are all sets to choose from"),
    ],
)
def test_a_target_that_is_all_there_is_to_choose_from_is_told(
    store: Store, tmp_path: Path, wishes: list[str], message: str
) -> None:
    if "more" in wishes:
        gradstore.import_arrays(tmp_path / "s", name="more", gradients=np.eye(24))
    with pytest.raises(UsageError, match=message):
        gradstore.select(store, selector="less", target=wishes, budget=2)


def test_original_rows_are_written_in_pick_order(store: Store, tmp_path: Path) -> None:
    picked = gradstore.select(store, selector="less", target="target", budget=30)
    picked.write(tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [row["id"] for row in rows] == picked.ids
    assert all(row["text"] == f"Row {row['id']}" for row in rows)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_text_is_written_as_utf8_and_untouched(tmp_path: Path) -> None:
    rows = [{"z": "schön 漢字", "a": 1}, {"lone": "\ud800"}, {"n": [1.5, None, True]}]
    gradstore.import_arrays(tmp_path / "s", name="pool", gradients=np.eye(3), ids=["b", "a", "c"], rows=rows)
    picked = gradstore.select(tmp_path / "s", selector="random", budget=3)
    picked.write(tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    by_id = dict(zip(picked.ids, lines, strict=True))
    assert by_id["b"] == '{"z": "schön 漢字", "a": 1}'
    assert json.loads(by_id["a"]) == rows[1]


def test_rows_that_are_not_in_the_store_are_taken_from_data(tmp_path: Path) -> None:
    gradstore.import_arrays(tmp_path / "s", name="pool", gradients=np.eye(3))
    picked = gradstore.select(tmp_path / "s", selector="random", budget=2)
    with pytest.raises(UsageError, match="--data"):
        picked.write(tmp_path / "out.jsonl")
    with pytest.raises(UsageError, match="has no row"):
        picked.write(tmp_path / "out.jsonl", data={})
    assert not (tmp_path / "out.jsonl").exists()
    picked.write(tmp_path / "out.jsonl", data={f"pool-{i}": {"i": i} for i in range(3)})
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_an_error_of_ours(store: Store, tmp_path: Path) -> None:
    picked = gradstore.select(store, selector="random", budget=2)
    with pytest.raises(StoreWriteError, match="there is no folder"):
        picked.write(tmp_path / "missing" / "out.jsonl")
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(StoreWriteError, match=r"out\.jsonl"):
        picked.write(tmp_path / "out.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "s"]


def test_a_folder_that_is_there_is_not_written_over(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    picked = gradstore.select(store, selector="random", budget=2)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreWriteError, match="folder is a folder already"):
        picked.write(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "s"]


def test_budgets_are_rows_or_a_share_of_all_rows() -> None:
    assert rows_for(1, rows=100, candidates=90) == 1
    assert rows_for(0.9, rows=100, candidates=90) == 90
    assert rows_for(0.001, rows=100, candidates=90) == 1
    for budget, message in (
        (0, "at least 1"),
        (-3, "at least 1"),
        (True, "at least 1"),
        (0.0, "above 0"),
        (1.5, "up to 1"),
        (float("nan"), "above 0"),
        (91, "only 90 of 100"),
        (1.0, "only 90 of 100"),
    ):
        with pytest.raises(UsageError, match=message):
            rows_for(budget, rows=100, candidates=90)


def test_what_cannot_be_selected_is_explained(store: Store) -> None:
    gradstore.import_arrays(store.location, name="empty", gradients=np.zeros((3, 24)), target=True)
    for change, error, message in (
        ({"target": None}, UsageError, "needs a target"),
        ({"target": "targt"}, StoreNotFoundError, "did you mean 'target'"),
        ({"target": "empty"}, DataError, "'empty' has no valid row"),
        ({"selector": "g2is"}, StoreNotFoundError, "run `gradstore graph"),
        ({"selector": "les"}, UsageError, "did you mean 'less'"),
        ({"params": {"agregate": "mean"}}, UsageError, "did you mean 'aggregate'"),
        ({"params": {"center": "maybe"}}, UsageError, "center must be true or false"),
    ):
        arguments = {"selector": "less", "target": "target", "budget": 5, "train": ["pool"], **change}
        with pytest.raises(error, match=message):
            gradstore.select(store, **arguments)


def test_a_graph_of_other_data_sets_or_directions_is_refused(store: Store) -> None:
    gradstore.build_graph(store)
    gradstore.import_arrays(store.location, name="more", gradients=np.eye(4, 24))
    with pytest.raises(IncompatibleError, match=r"directions .*'more'"):
        gradstore.select(store, target="target", budget=5)
    assert len(gradstore.select(store, target="target", budget=5, train=["pool"]).ids) == 5


def test_the_room_can_be_called_and_entered(store: Store) -> None:
    from gradstore.select import select
    from gradstore.select.g2is import gradient_walk

    assert callable(gradient_walk)
    ids = gradstore.select(store, selector="random", budget=5, seed=3).ids
    assert ids == select(store, selector="random", budget=5, seed=3).ids
    assert ids != select(store, selector="random", budget=5, seed=4).ids


def test_the_room_is_a_function_and_a_package() -> None:
    """Both names are promised: ``gradstore.select(…)`` and ``gradstore.select.g2is.gradient_walk``."""
    code = "import gradstore; assert callable(gradstore.select); gradstore.select.g2is.gradient_walk"
    subprocess.run([sys.executable, "-c", code], check=True)
