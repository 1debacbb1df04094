"""Questions to a graph: links of a row, restriction to data sets, forms of other libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.errors import StoreNotFoundError, UsageError
from gradstore.graph import Graph, links, load_graph
from gradstore.graph.links import Link
from gradstore.store import write_artefact
from gradstore.testing import tiny_store


def graph_of(
    n: int = 30, m: int = 6, c: int = 4, seed: int = 0, sets: tuple[str, ...] = ("pool", "aim")
) -> Graph:
    """A graph of all pairs of random rows: the m nearest and the c most contrary of each; some lists are shorter."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosines = (x @ x.T).astype(np.float32)
    np.fill_diagonal(cosines, np.nan)
    near, against = (_lists(key, cosines, k) for key, k in ((-cosines, m), (cosines, c)))
    near[0][n // 2, m // 2 :] = -1
    near[1][n // 2, m // 2 :] = 0
    datasets = np.array([sets[i % len(sets)] for i in range(n)], object)
    ids = np.array([f"{name}-{i}" for i, name in enumerate(datasets)], object)
    return Graph(ids, datasets, np.arange(n), *near, *against, {"method": "exact", "recall": 1.0})


def _lists(key: np.ndarray, cosines: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(key)
    found = np.full((n, count), -1, np.int32)
    listed = min(count, n - 1)
    found[:, :listed] = np.argsort(key, axis=1, kind="stable")[:, :listed]
    values = np.take_along_axis(cosines, np.maximum(found, 0), axis=1)
    return found, np.where(found >= 0, values, 0).astype(np.float32)


def slow_links(graph: Graph) -> dict[tuple[int, int], tuple[float, str]]:
    """Cosine and kind of each link, by pair of nodes."""
    found: dict[tuple[int, int], tuple[float, str]] = {}
    for node in range(len(graph)):
        for kind, ends, cosines in (
            ("neighbour", graph.neighbours, graph.cosines),
            ("conflict", graph.conflicts, graph.conflict_cosines),
        ):
            for end, cosine in zip(ends[node].tolist(), cosines[node].tolist(), strict=True):
                if end >= 0 and (kind == "neighbour" or cosine < 0):
                    found.setdefault((node, end), (cosine, kind))
    return found


graphs = st.builds(
    graph_of,
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    c=st.integers(0, 12),
    seed=st.integers(0, 10**6),
    sets=st.sampled_from([("pool",), ("pool", "aim"), ("pool", "aim", "goal")]),
)


@given(graphs)
def test_scipy_and_networkx_hold_each_link_once(graph: Graph) -> None:
    links = slow_links(graph)
    matrix = graph.to_scipy()
    assert matrix.shape == (len(graph), len(graph))
    assert matrix.dtype == np.float32
    entries = matrix.tocoo()
    pairs = zip(*(each.tolist() for each in entries.coords), strict=True)
    cosines = {pair: cosine for pair, (cosine, _) in links.items()}
    assert dict(zip(pairs, entries.data.tolist(), strict=True)) == cosines
    found = graph.to_networkx()
    assert isinstance(found, networkx.DiGraph)
    assert {(a, b): (data["weight"], data["kind"]) for a, b, data in found.edges(data=True)} == links
    assert [data["id"] for _, data in found.nodes(data=True)] == graph.ids.tolist()
    assert [data["dataset"] for _, data in found.nodes(data=True)] == graph.datasets.tolist()


@given(graphs, st.data())
def test_a_restricted_graph_has_the_links_that_stay_within_its_data_sets(graph: Graph, data: Any) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(set(graph.datasets))), min_size=1))
    part = graph.among(sorted(names))
    chosen = [node for node in range(len(graph)) if graph.datasets[node] in names]
    assert part.ids.tolist() == graph.ids[chosen].tolist()
    assert part.rows.tolist() == graph.rows[chosen].tolist()
    assert part.neighbours.shape == (len(chosen), graph.neighbours.shape[1])
    assert part.neighbours.dtype == part.conflicts.dtype == np.int32
    for ours, theirs, values, their_values in (
        (part.neighbours, graph.neighbours, part.cosines, graph.cosines),
        (part.conflicts, graph.conflicts, part.conflict_cosines, graph.conflict_cosines),
    ):
        for i, node in enumerate(chosen):
            kept = [j for j, end in enumerate(theirs[node].tolist()) if end in chosen]
            filled = ours.shape[1] - len(kept)
            assert ours[i].tolist() == [chosen.index(theirs[node, j]) for j in kept] + [-1] * filled
            assert values[i].tolist() == their_values[node, kept].tolist() + [0.0] * filled
    assert (graph.to_scipy(sorted(names)) != part.to_scipy()).nnz == 0
    assert graph.to_networkx(sorted(names)).number_of_nodes() == len(chosen)


def test_all_data_sets_are_the_whole_graph() -> None:
    graph = graph_of()
    part = graph.among(["aim", "pool"])
    for name in ("ids", "neighbours", "cosines", "conflicts", "conflict_cosines"):
        np.testing.assert_array_equal(getattr(part, name), getattr(graph, name))


def test_the_links_of_a_row_are_its_lists() -> None:
    graph = graph_of(sets=("pool", "aim", "goal"))
    near, against = graph.neighbours_of("pool-3"), graph.conflicts_of("pool-3")
    assert near[0] == Link(
        graph.ids[graph.neighbours[3, 0]],
        graph.datasets[graph.neighbours[3, 0]],
        int(graph.neighbours[3, 0]),
        float(graph.cosines[3, 0]),
    )
    assert [link.node for link in near] == graph.neighbours[3].tolist()
    assert [link.cosine for link in against] == graph.conflict_cosines[3].tolist()
    assert len(graph.neighbours_of(graph.ids[15])) == 3, "padding is no link"
    assert graph.neighbours_of("pool-3", among="goal") == [link for link in near if link.dataset == "goal"]
    assert graph.conflicts_of("pool-3", among=["aim", "pool"]) == [
        link for link in against if link.dataset != "goal"
    ]


def test_rows_that_do_not_point_against_another_are_no_conflicts() -> None:
    graph = graph_of(n=8, c=7)
    positive = graph.conflict_cosines >= 0
    assert positive.any()
    assert all(link.cosine < 0 for name in graph.ids for link in graph.conflicts_of(name))
    assert sum(len(graph.conflicts_of(name)) for name in graph.ids) == (~positive).sum()


def test_conflicts_of_a_graph_without_them_are_refused_with_what_builds_them() -> None:
    with pytest.raises(UsageError, match="--conflicts N"):
        graph_of(c=0).conflicts_of("pool-0")


def test_an_id_of_several_data_sets_needs_one_of_them() -> None:
    graph = graph_of()
    graph.ids[:2] = "same"
    with pytest.raises(UsageError, match=r"'same' occurs in several data sets; name one of them: pool, aim"):
        graph.neighbours_of("same")
    assert graph.node_of("same", "aim") == 1
    assert graph.neighbours_of("same", "aim")[0].node == graph.neighbours[1, 0]


def test_names_that_are_not_there_are_told_with_similar_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_CONSIDERED", 100)  # of all ids only some are compared
    graph = graph_of(n=300)
    for call, message in (
        (lambda: graph.neighbours_of("pool-1311"), "no row of the graph has the id 'pool-1311'; did you mean 'pool-1"),
        (lambda: graph.neighbours_of("aim-5", "pool"), "no row of data set 'pool'"),
        (lambda: graph.neighbours_of("Ω"), "ids are such as"),
        (lambda: graph.neighbours_of("", "pool"), "ids are such as 'pool-0'"),
        (lambda: graph.neighbours_of("aim-5", "ami"), "unknown data set 'ami'; did you mean 'aim'"),
        (lambda: graph.neighbours_of("aim-5", among="pol"), "did you mean 'pool'"),
        (lambda: graph.among(["pool", "goal"]), "unknown data set 'goal'"),
    ):  # fmt: skip
        with pytest.raises(StoreNotFoundError, match=message) as caught:
            call()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("library", "method"), [("scipy", "to_scipy"), ("networkx", "to_networkx")])
def test_a_library_that_is_missing_is_named_with_how_to_install_it(
    library: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (library, f"{library}.sparse"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"needs {library}: pip install 'gradstore\[graph\]'"):
        getattr(graph_of(), method)()


def test_conflicts_are_read_from_the_store_where_they_were_built(tmp_path: Path) -> None:
    from gradstore.graph import build_graph
    from gradstore.store import read_artefact

    store = tiny_store(tmp_path / "s")
    without = build_graph(store)
    assert without.conflicts.shape == without.conflict_cosines.shape == (len(without), 0)
    kept = read_artefact(store, "graphs", "default")
    conflicts = np.full((len(without), 2), -1, np.int32)
    conflicts[3, 0] = 5
    cosines = np.where(conflicts >= 0, -0.5, 0).astype(np.float32)
    arrays = {**kept.arrays, "conflicts": conflicts, "conflict_cosines": cosines}
    write_artefact(store, "graphs", "with", arrays=arrays, strings=kept.strings, attributes=kept.attributes)
    graph = load_graph(store, "with")
    (link,) = graph.conflicts_of(graph.ids[3])
    assert (link.id, link.cosine) == (graph.ids[5], -0.5)
