"""Which method builds a graph, and what it says of it."""

from __future__ import annotations

from typing import Any

import pytest

from gradstore.errors import UsageError
from gradstore.graph import method
from gradstore.graph.hnsw import Search, index_bytes
from gradstore.graph.method import choose_method
from gradstore.graph.vectors import Dense
from tests.graph.vectors import clustered

SEARCH = Search(M=8, ef_construction=20, ef=20, keep=0)
ROWS = Dense(clustered(2500, 150))


def chosen(name: Any, *, sketch: int | None = None, memory: int = 1 << 30, keep: int = 0) -> method.Method:
    search = Search(M=8, ef_construction=20, ef=20, keep=keep)
    return choose_method(ROWS, 10, name, search, sketch=sketch, memory=memory)


def took(monkeypatch: pytest.MonkeyPatch, exact: float, approximate: float) -> None:
    monkeypatch.setattr(method, "_exact_seconds", lambda *_: exact)
    monkeypatch.setattr(method, "_hnsw_seconds", lambda *_: approximate)


def test_what_will_be_finished_first_is_taken_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    took(monkeypatch, 7300, 400)
    found = chosen("auto")
    assert found.name == "hnsw"
    assert found.why == "HNSW takes about 7 min, comparing all pairs 2.0 h (measured on 2048 rows)"
    took(monkeypatch, 80, 400)
    assert chosen("auto").name == "exact"
    took(monkeypatch, 12, 0)
    assert chosen("auto").why == "comparing all pairs takes about 12 s"


def test_what_is_asked_for_is_taken_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "_exact_seconds", lambda *_: pytest.fail("measured"))
    assert (chosen("exact").name, chosen("exact").why) == ("exact", "asked for")
    assert (chosen("hnsw").name, chosen("hnsw").why) == ("hnsw", "asked for")


def test_a_few_rows_are_compared_at_once_and_estimates_are_times() -> None:
    assert chosen("auto").name == "exact"
    assert 0 < method._exact_seconds(ROWS, 10, 1 << 30) < 60
    assert 0 < method._hnsw_seconds(ROWS, 10, SEARCH) < 600


def test_a_sketch_is_as_long_as_asked_for_none_for_nought_and_fits_the_memory() -> None:
    asked = chosen("hnsw", sketch=64)
    assert asked.sketch is not None
    assert asked.sketch.basis.shape == (150, 64)
    assert asked.search.keep == 60
    assert chosen("hnsw", sketch=0).sketch is None
    assert chosen("hnsw", sketch=0).search.keep == 18
    assert chosen("hnsw", keep=25, sketch=64).search.keep == 25
    with pytest.raises(UsageError, match="sketch is 150; rows have 150 numbers"):
        chosen("hnsw", sketch=150)


def test_the_index_stays_within_half_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradstore.graph.sketch._ENOUGH", 1.1)  # none is good enough
    rows, half = len(ROWS), 2 * index_bytes(len(ROWS), 64, 8)
    assert chosen("hnsw").sketch is None, "whole rows have room"
    tight = chosen("hnsw", memory=half).sketch
    assert tight is not None
    assert tight.basis.shape[1] == 64
    with pytest.raises(
        UsageError, match=f"an index of {rows:,} rows takes .* allow more, or compare all pairs"
    ):
        chosen("hnsw", memory=half - 2)
