"""Graphs in a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.graph import build_graph, load_graph, open_nodes
from gradstore.graph.sets import checkpoint_weights
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec
from gradstore.store import DatasetWriter, Store
from gradstore.testing import tiny_store


def test_a_graph_links_valid_train_and_target_rows(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    graph = build_graph(store, neighbours=6)
    assert store.graphs == ("default",)
    assert len(graph) == 57 + 9
    assert graph.method == "exact"
    assert graph.recall == 1.0
    assert "comparing all pairs takes about" in graph.attributes["why"]
    assert graph.datasets.tolist() == ["pool"] * 57 + ["target"] * 9
    np.testing.assert_array_equal(graph.ids[:57], store.dataset("pool").ids[graph.rows[:57]])
    assert (np.diff(graph.cosines, axis=1) <= 0).all()
    assert (graph.neighbours >= 57).any(), "no train row is linked to a target row"


def test_the_same_rows_give_the_same_graph(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        tiny_store(tmp_path / name)
        for method in ("exact", "hnsw"):
            build_graph(tmp_path / name, method=method, name=f"by-{method}")
        store = gradstore.open(tmp_path / name)
        from gradstore.store import read_artefact

        digests.add(tuple(read_artefact(store, "graphs", g).digest for g in store.graphs))
    assert len(digests) == 1


def test_an_approximate_graph_records_its_recall_and_settings(tmp_path: Path) -> None:
    graph = build_graph(tiny_store(tmp_path / "s"), method="hnsw", neighbours=5, M=8)
    assert graph.method == "hnsw"
    assert graph.recall > 0.9
    assert graph.attributes["settings"]["M"] == 8


def test_a_stale_graph_is_refused_with_the_command_that_rebuilds_it(tmp_path: Path) -> None:
    build_graph(tiny_store(tmp_path / "s"))
    (place,) = (tmp_path / "s" / "checkpoints").glob("*/pool")
    shutil.rmtree(place)
    with pytest.raises(
        IncompatibleError, match=r"imported/pool.*gradstore graph .* --train pool --target target"
    ):
        load_graph(tmp_path / "s")
    gradstore.import_arrays(tmp_path / "s", name="pool", gradients=np.eye(4, 24))
    with pytest.raises(IncompatibleError, match="was built from other rows"):
        load_graph(tmp_path / "s")


def add_direction(store: Store, name: str, direction: str, dim: int) -> None:
    """Add random rows in another direction to a data set."""
    dataset = store.dataset(name)
    with DatasetWriter.open(
        store.location, checkpoint=dataset.checkpoint, identity=dataset.identity, name=name, rows=len(dataset),
        directions={direction: dim}, content_digest=dataset.content_digest, attributes=dataset.attributes,
    ) as writer:  # fmt: skip
        rows = np.random.default_rng(1).standard_normal((len(dataset), dim)).astype(np.float32)
        writer.write(
            0,
            GradientBlock(
                ids=list(dataset.ids), sources=list(dataset.sources), subtasks=list(dataset.subtasks),
                reasons=list(dataset.reasons), records=[b""] * len(dataset), loss=dataset.loss,
                tokens=dataset.tokens, valid=dataset.valid, truncated=dataset.truncated,
                contents=dataset.contents, gradients={direction: rows},
            ),
        )  # fmt: skip
        writer.seal()


def test_a_direction_that_is_added_leaves_a_graph_fresh(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    before = build_graph(store).attributes["digests"]
    add_direction(store, "pool", "rds", 5)
    assert load_graph(store).attributes["digests"] == before
    assert before == {f"imported/{name}": store.dataset(name).digest_of("sgd") for name in ("pool", "target")}


def test_a_graph_of_a_direction_that_is_gone_is_stale(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    add_direction(store, "pool", "adam", 24)
    build_graph(store, direction="adam")
    shutil.rmtree(tmp_path / "s/checkpoints/imported/pool/adam")
    with pytest.raises(IncompatibleError, match=r"\(imported/pool\); rebuild it: .* --direction adam"):
        load_graph(store)


def test_embeddings_are_not_compared_with_gradients_nor_rows_of_different_lengths(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    for direction, dim in (("rds", 24), ("adam", 12)):
        add_direction(store, "pool", direction, dim)
    with pytest.raises(
        IncompatibleError, match="'rds' of 'pool' and 'sgd' of 'target': embeddings cannot be"
    ):
        build_graph(store, direction="rds")
    with pytest.raises(IncompatibleError, match=r"rows of different lengths: \(12,\), \(24,\) numbers"):
        build_graph(store)
    add_direction(store, "target", "rds", 24)
    assert len(build_graph(store, direction="rds", target_direction="rds")) == 57 + 9


def test_a_graph_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    with pytest.raises(StoreNotFoundError, match="run `gradstore graph"):
        load_graph(store)
    build_graph(store)
    with pytest.raises(StoreNotFoundError, match="did you mean 'default'"):
        load_graph(store, "defautl")


@pytest.mark.parametrize(
    ("known", "shares"),
    [((1e-5, 3e-5), (0.25, 0.75)), ((1e-5, 0, 3e-5), (1 / 6, 1 / 3, 1 / 2)), ((0, 0), (0.5, 0.5))],
)
def test_a_checkpoint_of_unknown_learning_rate_weighs_as_much_as_the_others_on_average(
    tmp_path: Path, known: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    for t, weight in enumerate(known):
        identity = CheckpointIdentity(step=t, weight=weight, projection=ProjectionSpec("external", 2, 0))
        gradstore.import_arrays(
            tmp_path / "s", name="pool", gradients=np.eye(2), checkpoint=f"c{t}", identity=identity
        )
    store = gradstore.open(tmp_path / "s")
    assert checkpoint_weights(store, store.checkpoints) == pytest.approx(shares)


def test_several_checkpoints_are_a_concatenation_weighted_by_learning_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pool, aim = rng.standard_normal((2, 20, 6)), rng.standard_normal((2, 4, 6))
    for t, weight in enumerate((1e-5, 3e-5)):
        identity = CheckpointIdentity(step=t, weight=weight, projection=ProjectionSpec("external", 6, 0))
        common = {"checkpoint": f"c{t}", "identity": identity}
        gradstore.import_arrays(tmp_path / "s", name="pool", gradients=pool[t], direction="adam", **common)
        gradstore.import_arrays(tmp_path / "s", name="aim", gradients=aim[t], target=True, **common)
    nodes = open_nodes(gradstore.open(tmp_path / "s"), train=["pool"], targets=["aim"])

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    vectors = nodes.take(np.arange(24))
    weighted = 0.25 * unit(pool[0]) @ unit(aim[0]).T + 0.75 * unit(pool[1]) @ unit(aim[1]).T
    np.testing.assert_allclose(vectors[:20] @ vectors[20:].T, weighted, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([b for _, b in nodes.blocks()]), vectors)
    graph = build_graph(tmp_path / "s", neighbours=23)
    found = graph.cosines[0][np.argsort(graph.neighbours[0])]
    np.testing.assert_allclose(found, vectors[0] @ vectors[1:].T, atol=1e-6)
    one = build_graph(tmp_path / "s", checkpoints=["c1"], name="one")
    assert one.attributes["checkpoints"] == ["c1"]


def test_data_sets_without_a_common_checkpoint_are_refused_with_the_difference(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((5, 6))
    gradstore.import_arrays(tmp_path / "s", name="pool", gradients=rows, checkpoint="a")
    other = CheckpointIdentity(projection=ProjectionSpec("external", 6, 7))
    gradstore.import_arrays(
        tmp_path / "s", name="aim", gradients=rows, checkpoint="b", identity=other, target=True
    )
    with pytest.raises(IncompatibleError, match=r"'pool' in a; 'aim' in b.*projection seed: 7, not 0"):
        build_graph(tmp_path / "s")


def test_a_graph_that_is_replaced_is_told(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    lines: list[str] = []
    build_graph(store, neighbours=5, conflicts=2)
    build_graph(store, neighbours=6, log=lines.append)
    assert lines[-1] == "replaced graph default (exact, 5 neighbours, 2 conflicts a row)"
    (tmp_path / "s" / "graphs" / "default" / "zarr.json").write_text("damaged")
    build_graph(store, neighbours=6, log=lines.append)
    assert lines[-1] == "replaced graph default"
    build_graph(store, neighbours=6, name="other", log=lines.append)
    assert not lines[-1].startswith("replaced")


def test_a_store_that_cannot_be_written_is_told_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tiny_store(tmp_path / "s")
    monkeypatch.setattr(Store, "writable", False)
    with pytest.raises(
        StoreWriteError, match=r"cannot be written: build .* \(gradstore store new mine.zarr --on"
    ):
        build_graph(store, train=["looked at later"])


def test_requests_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s")
    gradstore.import_arrays(tmp_path / "s", name="empty", gradients=np.zeros((3, 24)), target=True)
    for change, error, message in (
        ({"train": ["pol"]}, StoreNotFoundError, "did you mean 'pool'"),
        ({"checkpoints": ["importd"]}, StoreNotFoundError, "did you mean 'imported'"),
        ({"targets": ["pool"], "train": ["pool"]}, UsageError, "named twice"),
        ({"direction": "adam", "targets": []}, UsageError, "has no direction 'adam'"),
        ({"name": "a/b"}, UsageError, "graph name 'a/b' cannot be used"),
        ({"neighbours": 0}, UsageError, "at least 1"),
        ({"name": "exact"}, UsageError, "stands for a choice without a graph"),
        ({"method": "fast"}, UsageError, "auto, exact or hnsw"),
        ({"targets": ["empty"]}, DataError, "no valid row"),
    ):
        with pytest.raises(error, match=message):
            build_graph(store, **change)
