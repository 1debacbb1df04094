"""A kept choice made again with one thing changed at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from gradstore_cli.main import cli

import gradstore
from gradstore.errors import IncompatibleError, UsageError
from gradstore.graph.origin import rebuild_command
from gradstore.interchange import import_arrays
from gradstore.select import stability
from gradstore.select.altered import altered, folded_to
from gradstore.select.kept import load_kept
from gradstore.store import open_store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stability") / "s.zarr"
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((4, 64))
    for checkpoint in ("one", "two"):
        rows = rng.standard_normal((400, 64)) + shared[rng.integers(4, size=400)]
        import_arrays(path, name="pool", checkpoint=checkpoint, direction="sgd", gradients=rows)
        aim = rng.standard_normal((9, 64)) + shared[:1]
        import_arrays(path, name="aim", checkpoint=checkpoint, direction="sgd", gradients=aim, target=True)
    for selector in ("less", "random", "g2is"):
        gradstore.select(path, selector=selector, target="aim", budget=40, graph="exact", name=selector)
    return path


def test_each_thing_is_varied_and_nothing_is_kept(place: Path) -> None:
    store = open_store(place)
    before = store.selections
    found = {(each["varied"], each["value"]): each for each in stability(store, load_kept(store, "less"))}
    assert list(found) == [
        *(("seed", str(seed)) for seed in (1, 2, 3)),
        *(("checkpoint", key) for key in ("one", "two")),
        *(("encoding", kind) for kind in ("half", "int8", "int4", "sign")),
        *(("k", str(dim)) for dim in (32, 16, 8)),
    ]
    assert open_store(place).selections == before
    assert all(found["seed", str(seed)]["jaccard"] == 1 for seed in (1, 2, 3))
    assert found["encoding", "half"]["jaccard"] > 0.9 > found["k", "8"]["jaccard"]
    assert found["encoding", "int8"]["score_correlation"] > found["encoding", "sign"]["score_correlation"]


def test_a_random_choice_owes_everything_to_its_seed_and_nothing_to_rows(place: Path) -> None:
    store = open_store(place)
    for each in stability(store, load_kept(store, "random")):
        assert (each["jaccard"] == 1) == (each["varied"] != "seed")
        assert each["score_correlation"] is None


def test_likeness_is_that_of_the_two_choices(place: Path) -> None:
    store = open_store(place)
    kept = load_kept(store, "g2is")
    alone = next(each for each in stability(store, kept) if each["value"] == "two")
    picked = gradstore.select(
        place, selector="g2is", target="aim", budget=40, graph="exact", checkpoints=["two"], name="again"
    )
    ones, others = set(kept.ids[kept.picks]), set(picked.ids)
    assert alone["common"] == len(ones & others)
    assert alone["jaccard"] == len(ones & others) / len(ones | others)


def test_folded_rows_keep_inner_products_as_a_projection_of_that_width_would(place: Path) -> None:
    """Each entry of a sketch of 512 goes to one of 64 with its own sign, so cosines are off by about 1/√64."""
    rng = np.random.default_rng(0)
    buckets, signs = rng.integers(512, size=5000), rng.choice([-1.0, 1.0], 5000)
    rows = rng.standard_normal((40, 5000))
    sketch = np.zeros((40, 512), np.float32)
    for column, (bucket, sign) in enumerate(zip(buckets, signs, strict=True)):
        sketch[:, bucket] += sign * rows[:, column]
    folded = folded_to(64)(sketch)
    expected = np.zeros((40, 64))
    for column, (bucket, sign) in enumerate(zip(buckets % 64, signs, strict=True)):
        expected[:, bucket] += sign * rows[:, column]
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(UsageError, match="cannot be folded"):
        folded_to(100)(sketch)


def test_an_altered_store_reads_the_same_rows_however_they_are_asked_for(place: Path) -> None:
    store = open_store(place)
    seen = altered(store, folded_to(16)).dataset("pool", "one")
    whole = store.dataset("pool", "one").read("sgd", 0, 400).reshape(400, 4, 16).sum(axis=1)
    assert seen.dim("sgd") == 16
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in seen.blocks("sgd")]), whole)
    np.testing.assert_array_equal(seen.take("sgd", np.array([5, 3])), whole[[5, 3]])
    np.testing.assert_array_equal(seen.read("sgd", 7, 9), whole[7:9])


def test_rows_that_have_changed_are_refused(place: Path) -> None:
    store = open_store(place)
    kept = load_kept(store, "less")
    digests = dict.fromkeys(kept.config["digests"], "0" * 64)
    kept.config["digests"].update(digests)  # type: ignore[attr-defined]
    with pytest.raises(IncompatibleError, match="has changed"):
        stability(store, kept)


def test_what_computing_neighbours_changes_is_not_blamed_on_the_encoding(place: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(place, tmp_path / "s.zarr"))
    gradstore.build_graph(mine, neighbours=4, method="exact")
    gradstore.select(mine, selector="d2", target="aim", budget=40, name="d2")
    found = {
        each["varied"] + each["value"]: each
        for each in stability(open_store(mine), load_kept(open_store(mine), "d2"))
    }
    assert found["graphexact"]["jaccard"] < 0.9
    assert found["encodinghalf"]["jaccard"] > 0.9
    assert [each for each in found.values() if each["varied"] == "graph"] == [found["graphexact"]]


def test_a_checkpoint_with_which_alone_nothing_can_be_chosen_hinders_no_other_variation(
    place: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(place, tmp_path / "s.zarr"))
    gradstore.select(mine, selector="gsnr", budget=40, name="gsnr")
    found = stability(open_store(mine), load_kept(open_store(mine), "gsnr"))
    assert [each["value"] for each in found if "only one" in each.get("refused", "")] == ["one", "two"]
    assert {each["varied"] for each in found if "refused" not in each} == {"seed", "encoding", "k"}
    result = CliRunner().invoke(cli, ["compare", str(mine), "gsnr", "--stability"])
    assert result.exit_code == 0, result.output
    assert "not possible" in result.stdout


def test_train_sets_of_different_directions_are_opened_each_in_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, direction in (("p1", "adam"), ("p2", "sgd"), ("aim", "sgd")):
        import_arrays(
            tmp_path / "s",
            name=name,
            direction=direction,
            gradients=rng.standard_normal((9, 6)),
            target=name == "aim",
        )
    gradstore.select(tmp_path / "s", selector="less", target="aim", budget=4, name="less")
    store = open_store(tmp_path / "s")
    nodes, _ = load_kept(store, "less").nodes(store)
    assert [part.direction for part in nodes.parts] == ["adam", "sgd"]
    assert len(stability(store, load_kept(store, "less"))) > 3
    graph = gradstore.build_graph(tmp_path / "s", neighbours=3)
    words = rebuild_command(open_store(tmp_path / "s"), "default", graph.attributes).split()
    assert "--direction" not in words
    assert words[words.index("--target-direction") + 1] == "sgd"
    assert CliRunner().invoke(cli, words[1:]).exit_code == 0
