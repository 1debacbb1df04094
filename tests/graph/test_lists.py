"""Exact lists: the same from every engine, in any memory, with or without copies, all at once or one after another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstore.graph import attach, exact
from gradstore.graph.attach import joined
from gradstore.graph.candidates import Index
from gradstore.graph.distinct import Distinct, expanded, originals
from gradstore.graph.exact import Lists, Wanted, exact_lists, nearest_to
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.products import Float32, choose_engine, engines
from gradstore.graph.vectors import Dense, Float, Vectors
from tests.graph.vectors import as_stored, random_rows, sorted_all

BOTH = [Wanted(1, 7), Wanted(-1, 5)]
SHAPES = st.tuples(st.integers(1, 150), st.integers(1, 40))


def same(ours: Lists, theirs: Lists) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (exact, attach):
        monkeypatch.setattr(module, "TILE", 32)


@given(st.integers(0, 10**6), SHAPES)
def test_nearest_and_most_contrary_rows_are_those_of_a_full_sort(seed: int, shape: tuple[int, int]) -> None:
    rows = random_rows(*shape, seed)
    for (found, cosines), wanted in zip(exact_lists(Dense(rows), BOTH), BOTH, strict=True):
        _, true = sorted_all(rows, wanted.m, wanted.sign)
        np.testing.assert_allclose(cosines[:, : true.shape[1]], true, atol=2e-6)
        assert (found[:, true.shape[1] :] == -1).all()
        listed = found[:, : true.shape[1]]
        assert all(len(set(row)) == len(row) for row in listed.tolist())
        np.testing.assert_allclose(np.einsum("nmk,nk->nm", rows[listed], rows), true, atol=2e-6)


@given(st.integers(0, 10**6), st.tuples(st.integers(2, 120), st.integers(16, 40)), st.booleans())
def test_every_engine_gives_the_same_bytes_in_any_memory(
    seed: int, shape: tuple[int, int], stored: bool
) -> None:
    rows = random_rows(*shape, seed)
    vectors = Dense(as_stored(rows) if stored else rows)
    first = exact_lists(vectors, BOTH, engine=Float32())
    for engine in engines(vectors.widths):
        for memory in (1, 1 << 30):
            again = exact_lists(vectors, BOTH, engine=engine, memory=memory)
            assert all(same(a, b) for a, b in zip(first, again, strict=True)), engine.name


def test_engines_are_as_exact_as_they_say_and_stored_rows_lose_nothing() -> None:
    widths = (100, 200)
    parts = [
        as_stored(random_rows(60, width)) * np.float32(weight**0.5)
        for width, weight in zip(widths, (0.3, 0.7), strict=True)
    ]
    weighted = np.concatenate(parts, axis=1)
    true = weighted.astype(np.float64) @ weighted.T.astype(np.float64)
    for engine in engines(widths):
        loaded = engine.load(weighted)
        assert loaded.error < 5e-6
        assert np.abs(engine.multiply(loaded, loaded) - true).max() <= 2 * loaded.error
        rough = engine.load(random_rows(60, 300))
        full = random_rows(60, 300).astype(np.float64)
        assert np.abs(engine.multiply(rough, rough) - full @ full.T).max() <= 2 * rough.error


def test_an_engine_that_multiplies_wrongly_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Float32):
        def multiply(self, left: exact.Loaded, right: exact.Loaded) -> Float:
            return super().multiply(left, right) * np.float32(0.999)

    monkeypatch.setattr("gradstore.graph.products.engines", lambda _: [Wrong(), Float32()])
    assert type(choose_engine(random_rows(50, 20), (20,))) is Float32


@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 20))
def test_a_cosine_depends_on_its_two_rows_alone(seed: int, n: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = Dense(random_rows(n, dim, seed))
    left, right = rng.integers(0, n, (2, 50))
    together = pair_cosines(vectors, np.sort(left), right)
    one_by_one = [
        pair_cosines(vectors, np.array([a]), np.array([b]))[0]
        for a, b in zip(np.sort(left), right, strict=True)
    ]
    np.testing.assert_array_equal(together, one_by_one)
    turned = pair_cosines(vectors, right, np.sort(left))
    np.testing.assert_array_equal(together, turned)
    np.testing.assert_allclose(
        together, (vectors.take(np.sort(left)) * vectors.take(right)).sum(axis=1), atol=1e-6
    )


@given(st.integers(0, 10**6), st.integers(2, 100), st.integers(1, 99))
def test_lists_of_some_rows_are_those_of_the_whole(seed: int, n: int, cut: int) -> None:
    vectors = Dense(random_rows(n, 12, seed))
    whole = exact_lists(vectors, [Wanted(1, n - 1)])[0]
    queries = np.random.default_rng(seed).permutation(n)[: 1 + cut % n]
    assert same(nearest_to(vectors, queries, n - 1), (whole[0][queries], whole[1][queries]))


@given(st.integers(0, 10**6), st.integers(2, 100), st.floats(0.05, 0.9), st.integers(1, 30))
def test_rows_that_are_attached_stand_where_a_full_build_puts_them(
    seed: int, n: int, share: float, dim: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(n, dim, seed)
    rows[: n // 4] = rows[n // 4 : 2 * (n // 4)]  # ties
    vectors = Dense(rows)
    new = np.flatnonzero(rng.random(n) < share)
    old = np.setdiff1d(np.arange(n), new)
    for wanted, whole in zip(BOTH, exact_lists(vectors, BOTH), strict=True):
        links = np.full((n, wanted.m), -1, np.int32)
        cosines = np.zeros(links.shape, np.float32)
        if len(old):
            found, values = exact_lists(Dense(rows[old]), [wanted])[0]
            links[old], cosines[old] = np.where(found >= 0, old[found], -1), values
        for memory in (1, 1 << 30):
            assert same(joined(vectors, (links, cosines), new, wanted, memory=memory), whole)


@pytest.mark.parametrize("wanted", BOTH)
def test_lists_with_room_are_offered_the_best_of_the_new_rows_and_not_all(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = Dense(random_rows(600, 40))
    new = np.arange(200, 600)
    offered = []

    def admit(vectors: Vectors, lists: Lists, rows: Index, others: Index, wanted: Wanted) -> None:
        offered.append(len(rows))
        admitted(vectors, lists, rows, others, wanted)

    admitted = attach._admit
    monkeypatch.setattr(attach, "_admit", admit)
    monkeypatch.setattr(attach, "TILE", 400)
    empty = np.full((600, wanted.m), -1, np.int32), np.zeros((600, wanted.m), np.float32)
    links, cosines = joined(vectors, empty, new, wanted)
    assert 200 * wanted.m <= sum(offered) < 2 * 200 * wanted.m, "of 200 × 400"
    true = wanted.sign * np.sort(wanted.sign * (vectors.read(0, 200) @ vectors.take(new).T), axis=1)[:, ::-1]
    np.testing.assert_allclose(cosines[:200], true[:, : wanted.m], atol=2e-6)
    assert (links[:200] >= 200).all()


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 6))
def test_copies_compared_once_are_listed_as_if_all_had_been(seed: int, n: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    base = random_rows(n, 20, seed)
    vectors = Dense(base[rng.integers(0, n, n * times)])
    first = originals(vectors)
    np.testing.assert_array_equal(vectors.take(first), vectors.take(np.arange(n * times)))
    kept = np.unique(first)
    assert len(np.unique(vectors.take(kept), axis=0)) == len(kept)
    few = exact_lists(Distinct(vectors, kept), BOTH)
    for lists, wanted, whole in zip(few, BOTH, exact_lists(vectors, BOTH), strict=True):
        assert same(expanded(vectors, lists, first, wanted), whole)


def test_copies_are_compared_many_at_a_time() -> None:
    class Counted(Dense):
        takes = 0

        def take(self, nodes: object) -> Float:
            self.takes += 1
            return super().take(nodes)

    vectors = Counted(np.repeat(random_rows(2, 20), 1500, axis=0))
    np.testing.assert_array_equal(originals(vectors), np.repeat([0, 1500], 1500))
    assert vectors.takes < 10  # for 2998 copies


def test_rows_that_are_nearly_parallel_do_not_fill_the_memory() -> None:
    rows = np.ones((400, 30), np.float32) + 1e-4 * random_rows(400, 30)
    vectors = Dense((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    found, cosines = exact_lists(vectors, [Wanted(1, 5)])[0]
    true = exact_lists(vectors, [Wanted(1, 5)], engine=Float32())[0]
    assert same((found, cosines), true)
    everything = pair_cosines(vectors, np.repeat(np.arange(400), 400), np.tile(np.arange(400), 400)).reshape(
        400, 400
    )
    np.fill_diagonal(everything, -2)
    np.testing.assert_array_equal(found, np.argsort(-everything, axis=1, kind="stable")[:, :5])
