"""The numbers behind the figures are those of the store, by other ways of counting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.report import numbers, sample
from gradstore.report.gather import Gathered, gather
from gradstore.report.layout import layout
from gradstore.report.payload import CHARACTERS, text_lengths
from gradstore.report.texts import turns, visible


@pytest.fixture(scope="module")
def found(shown_store: Path) -> Gathered:
    return gather(gradstore.open(shown_store), None, None)


def test_overlap_and_composition_are_those_that_compare_tells(found: Gathered, shown_store: Path) -> None:
    from gradstore.select.compare import compare

    names = [each.name for each in found.selections]
    told = compare(gradstore.open(shown_store), names)
    common = numbers.overlap(found.selections)
    for pair in told["pairs"]:
        i, j = names.index(pair["first"]), names.index(pair["second"])
        assert common.common[i, j] == common.common[j, i] == pair["common"]
        assert common.jaccard[i, j] == pytest.approx(pair["jaccard"])
    made_of = numbers.composition(found)
    shares = {each["source"]: each for each in told["sources"]}
    assert set(made_of.sources) == set(shares)
    for i, source in enumerate(made_of.sources):
        assert made_of.shares()[i] == pytest.approx(shares[source]["pool"])
        for place in range(len(names)):
            assert made_of.shares(place)[i] == pytest.approx(shares[source]["selections"][place])


def test_a_histogram_counts_every_score_once_and_cuts_at_the_lowest_chosen(found: Gathered) -> None:
    less = next(each for each in found.selections if each.name == "less-goal")
    scores = numbers.histogram(less)
    assert scores is not None
    assert scores.candidates.sum() == 89
    assert scores.chosen.sum() == 12
    assert (scores.chosen <= scores.candidates).all()
    assert scores.cut == sorted(less.kept.scores.tolist(), reverse=True)[11]


def test_selections_without_scores_have_no_histogram(found: Gathered) -> None:
    random = next(each for each in found.selections if each.name == "random")
    assert numbers.histogram(random) is None
    assert numbers.trace(random) is None
    assert random.cut is None


def test_stretches_of_a_trace_cover_every_pick_once(found: Gathered) -> None:
    less = next(each for each in found.selections if each.name == "less-goal")
    steps = numbers.trace(less)
    assert steps is not None
    parts = numbers.stretches(steps)
    spans = [range(int(part["first"]), int(part["last"]) + 1) for part in parts]
    assert [pick for span in spans for pick in span] == list(range(1, 13))
    scores = less.kept.scores[less.kept.picks]
    for span, part in zip(spans, parts, strict=True):
        assert part["least"] == pytest.approx(min(scores[span.start - 1 : span.stop - 1]))
        assert part["most"] == pytest.approx(max(scores[span.start - 1 : span.stop - 1]))


def test_lengths_count_every_row(found: Gathered) -> None:
    goal, pool = sorted(numbers.lengths(found.rows), key=lambda each: each.name)
    assert (goal.counts.sum(), pool.counts.sum()) == (8, 90)
    assert pool.valid == 89
    assert sum(pool.reasons.values()) == 1


def test_a_large_graph_is_drawn_with_targets_and_picks_first(
    found: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MAP", 90)
    shown = sample.choose(found, 0)
    assert len(shown.nodes) == 90
    assert np.array_equal(shown.rows[:90], found.nodes[shown.nodes])
    worth = np.concatenate([np.flatnonzero(found.rows.is_target), *(each.picks for each in found.selections)])
    assert np.isin(worth, shown.rows[:90]).all()
    assert found.graph is not None
    listed = found.nodes[found.graph.neighbours[shown.nodes]].ravel()
    assert np.isin(listed, shown.rows).all()  # what a node on the map is linked to can be read
    monkeypatch.setattr(sample, "MAP", 8)
    few = sample.choose(found, 0)
    assert len(few.nodes) == 8
    assert np.isin(few.rows[:8], worth).sum() == 6


def test_links_that_leave_the_page_are_left_out_in_order(
    found: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MAP", 20)
    monkeypatch.setattr(sample, "PAGE", 30)
    shown = sample.choose(found, 0)
    graph = found.graph
    assert graph is not None
    assert len(shown.rows) == 30
    links = sample.links(found, shown, graph.neighbours, graph.cosines, 4)
    places = {int(row): place for place, row in enumerate(shown.rows)}
    for place, node in enumerate(shown.nodes):
        ends = [places.get(int(found.nodes[end]), -1) for end in graph.neighbours[node]]
        kept = [(end, cosine) for end, cosine in zip(ends, graph.cosines[node], strict=True) if end >= 0][:4]
        there = links.ends[place] >= 0
        assert list(zip(links.ends[place][there], links.cosines[place][there], strict=True)) == kept


def test_neighbours_lie_closer_than_others() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 50)
    neighbours = np.stack([rng.choice(np.flatnonzero(group == each), 8) for each in group]).astype(np.int32)
    places = layout(neighbours, np.full(neighbours.shape, 0.9, np.float32), 0)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    same = group[:, None] == group
    assert apart[same].mean() < 0.3 * apart[~same].mean()
    assert (places >= 0).all()
    assert (places <= 1).all()


@pytest.mark.parametrize("nodes", [0, 1, 2])
def test_a_graph_of_hardly_any_nodes_has_a_layout(nodes: int) -> None:
    lists = np.full((nodes, 3), -1, np.int32)
    places = layout(lists, np.zeros(lists.shape, np.float32), 0)
    assert places.shape == (nodes, 2)
    assert np.isfinite(places).all()


def test_texts_share_the_page() -> None:
    for rows, first in ((10, 10), (5000, 5000), (20_000, 20_000), (100_000, 20_000), (100_000, 0)):
        longest, shorter = text_lengths(rows, first)
        assert shorter <= longest <= 2000
        assert first * longest + (rows - first) * shorter <= CHARACTERS * 1.01


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"text": "plain"}, [("", "plain")]),
        ({"prompt": "p", "completion": "c"}, [("prompt", "p"), ("completion", "c")]),
        ({"instruction": "i", "input": "x", "output": "o"}, [("user", "i\n\nx"), ("assistant", "o")]),
        ({"input_ids": [1, 2, 3]}, [("tokens", "1 2 3")]),
        ({"id": "long id", "other": ["a", {"b": "the text"}]}, [("", "the text")]),
        ({"messages": "broken"}, [("", "broken")]),
        ({}, [("", "")]),
    ],
)
def test_rows_of_every_format_have_a_text(record: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert turns(record, 100) == expected


def test_a_long_conversation_keeps_its_beginning_and_its_end() -> None:
    record = {
        "messages": [{"role": "user", "content": "q" * 500}, {"role": "assistant", "content": "a" * 500}]
    }
    (_, asked), (_, answered) = turns(record, 100)
    assert (len(asked), len(answered)) == (75, 25)
    assert asked.endswith("…")
    assert answered.endswith("…")


def test_only_tabs_and_newlines_of_the_controls_stay() -> None:
    controls = "".join(map(chr, (*range(32), 127, 0x202E, 0x2028, 0xD800)))
    assert set(visible(controls, 100)) == {"\t", "\n", "\ufffd"}
    assert visible("zero\u200djoiner é 数", 100) == "zero\u200djoiner é 数"


def test_the_rows_of_a_histogram_stand_on_an_axis_that_says_its_scale_with_few_labels() -> None:
    from gradstore.report.charts import score_chart

    for most, ticks in ((1, [1]), (21, [1, 3, 10, 30]), (2000, [1, 3, 10, 30, 100, 300, 1000, 3000])):
        counts = np.array([most, 0])
        drawn = json.dumps(score_chart(numbers.Histogram(np.arange(3.0), counts, counts, None)))
        assert '"rows (log scale)"' in drawn
        assert f'"ticks": {ticks}' in drawn
