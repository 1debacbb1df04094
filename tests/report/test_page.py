"""The page holds what the store says, loads nothing, and lets no row be more than text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import CorruptError, IncompatibleError, StoreNotFoundError, StoreWriteError, UsageError
from gradstore.report.gather import MOST
from tests.report.conftest import ATTACK, TURNED


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            del self.inside[len(self.inside) - 1 - self.inside[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "script":
            about, text = self.scripts[-1]
            self.scripts[-1] = (about, text + data)
        elif not self.inside or self.inside[-1] != "style":
            self.text += data

    def data(self) -> dict[str, Any]:
        """The rows of the page, as its script sees them."""
        packed = next(text for about, text in self.scripts if about.get("id") == "rows")
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return found


@pytest.fixture(scope="module")
def page(shown_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = tmp_path_factory.mktemp("page") / "report.html"
    found = gradstore.report(shown_store, path)
    assert found["bytes"] == path.stat().st_size
    assert found["rows"] == 98
    assert found["nodes"] == 97  # one row has no gradient
    return Page(path)


def test_nothing_is_loaded_and_only_our_scripts_run(page: Page) -> None:
    policy = next(about["content"] for tag, about in page.elements if about.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    run = [text for about, text in page.scripts if "type" not in about]
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == digests
    for tag, about in page.elements:
        assert "src" not in about
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert (about.get("href") or "#").startswith("#")
    style = re.search("<style>.*?</style>", page.rawdata + Path(__file__).read_text(), re.DOTALL)
    assert style is None or "url(" not in style[0]


def test_a_hostile_row_adds_no_element_and_no_attribute(page: Page) -> None:
    assert len(page.scripts) == 4
    assert not [about for _, about in page.elements if any(name.startswith("on") for name in about)]
    assert f"{ATTACK}source" in page.text  # shown as it is, in the table of sources


def test_texts_of_rows_arrive_whole_and_without_characters_that_act(page: Page) -> None:
    data = page.data()
    row = data["id"].index("turned")
    [(role, text)] = data["text"][row]
    assert role == ""
    assert text == "safe\ufffdtxet\ufffd\ufffdnext\ufffdline & <b>bold</b>" != TURNED
    attacked = next(i for i, name in enumerate(data["id"]) if name.startswith("</script>"))
    assert data["text"][attacked] == [["user", ATTACK], ["assistant", "no"]]


def test_links_are_those_of_the_graph(page: Page, shown_store: Path) -> None:
    graph, data = gradstore.load_graph(shown_store), page.data()
    for row in (3, 40, 90):
        name, dataset = data["id"][row], data["sets"][data["set"][row]]
        for key, links in (("near", graph.neighbours_of), ("against", graph.conflicts_of)):
            ends, cosines = data[key][row][::2], data[key][row][1::2]
            found = links(name, dataset)
            assert [data["id"][end] for end in ends] == [link.id for link in found]
            assert np.allclose(cosines, [1000 * link.cosine for link in found], atol=0.51)


def test_picks_scores_and_reasons_are_those_of_the_selection(page: Page, shown_store: Path) -> None:
    from gradstore.select.why import why

    store, data = gradstore.open(shown_store), page.data()
    for selection in data["selections"]:
        picked = selection["picks"]
        assert [selection["rank"][row] for row in picked] == list(range(len(picked)))
        for row in (picked[0], picked[-1], 5, 50, 51):
            told = why(store, selection["name"], data["id"][row])
            assert told["rank"] == (selection["rank"][row] if selection["rank"][row] >= 0 else None)
            assert told["verdict"] == data["verdicts"][selection["verdict"][row]]
            if told["score"] is not None:
                assert selection["score"][row] == pytest.approx(told["score"], rel=1e-3)
            if told["near_duplicate"]:
                assert data["id"][selection["twins"][str(row)][0]] == told["near_duplicate"]["id"]
            for column, value in told["because"].items():
                assert selection["because"][column][told["rank"]] == value
    wide = next(each for each in data["selections"] if each["name"] == "wide")
    assert wide["twins"]


def test_rows_without_a_gradient_say_why(page: Page) -> None:
    data = page.data()
    row = data["id"].index("row-7")
    assert row >= len(data["x"])
    assert data["reasons"][data["reason"][row]]


def test_places_on_the_map_depend_on_the_seed_alone(shown_store: Path, tmp_path: Path) -> None:
    places = []
    for seed in (0, 0, 1):
        gradstore.report(shown_store, tmp_path / "page.html", seed=seed)
        data = Page(tmp_path / "page.html").data()
        places.append((data["x"], data["y"]))
    assert places[0] == places[1] != places[2]


def test_without_texts_no_text_is_on_the_page(shown_store: Path, tmp_path: Path) -> None:
    gradstore.report(shown_store, tmp_path / "page.html", texts=False)
    found = Page(tmp_path / "page.html")
    assert found.data()["text"] is None
    assert "What is 9 plus 9" not in json.dumps(found.data()) + found.text


def test_a_store_with_nothing_but_rows_has_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gradstore.import_arrays(tmp_path / "s.zarr", name="pool", gradients=rng.normal(size=(9, 4)))
    found = gradstore.report(tmp_path / "s.zarr", tmp_path / "page.html", png=tmp_path / "pictures")
    assert (found["nodes"], found["rows"], found["graph"]) == (0, 9, None)
    assert [Path(each).name for each in found["pictures"]] == ["composition.png"]
    page = Page(tmp_path / "page.html")
    assert page.data()["text"] == [[]] * 9
    assert "gradstore graph builds one" in page.text


def test_an_empty_store_has_a_page(tmp_path: Path) -> None:
    from gradstore.store import new_store

    new_store(tmp_path / "s.zarr")
    found = gradstore.report(tmp_path / "s.zarr", tmp_path / "page.html", png=tmp_path / "pictures")
    assert found["rows"] == 0
    assert found["pictures"] == []
    assert "The store is empty" in Page(tmp_path / "page.html").text


def test_data_sets_of_several_checkpoints_count_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for checkpoint in ("step-1", "step-2"):
        for name, count in (("pool", 20), ("goal", 3)):
            gradstore.import_arrays(
                tmp_path / "s.zarr",
                name=name,
                gradients=rng.normal(size=(count, 8)),
                checkpoint=checkpoint,
                target=name == "goal",
            )
    gradstore.build_graph(tmp_path / "s.zarr", neighbours=4)
    gradstore.select(tmp_path / "s.zarr", selector="less", target="goal", budget=3)
    found = gradstore.report(tmp_path / "s.zarr", tmp_path / "page.html")
    assert (found["rows"], found["nodes"], found["notes"]) == (23, 23, [])
    text = Page(tmp_path / "page.html").text
    assert "step-1" in text
    assert "step-2" in text


def test_an_overlay_shows_what_lies_below(shown_store: Path, tmp_path: Path) -> None:
    from gradstore.store import new_store

    new_store(tmp_path / "mine.zarr", on=shown_store)
    gradstore.select(tmp_path / "mine.zarr", selector="less", target="goal", budget=4, name="mine")
    found = gradstore.report(tmp_path / "mine.zarr", tmp_path / "page.html")
    assert found["graph"] == "default"
    assert set(found["selections"]) > {"mine", "wide"}


def test_what_is_older_than_its_rows_is_a_note_unless_it_was_named(tmp_path: Path) -> None:
    import shutil

    rng = np.random.default_rng(0)
    place = tmp_path / "s.zarr"
    gradstore.import_arrays(place, name="pool", gradients=rng.normal(size=(20, 8)))
    gradstore.build_graph(place, neighbours=4)
    gradstore.select(place, selector="random", budget=3)
    shutil.rmtree(place / "checkpoints" / "imported" / "pool")
    gradstore.import_arrays(place, name="pool", gradients=rng.normal(size=(20, 8)))
    found = gradstore.report(place, tmp_path / "page.html")
    assert (found["graph"], found["selections"]) == (None, [])
    assert [note.split(" is not shown")[0] for note in found["notes"]] == [
        "Graph 'default'",
        "Selection 'random'",
    ]
    for number in range(MOST):  # the one that cannot be shown takes the place of none, and is not counted
        gradstore.select(place, selector="random", budget=3, name=f"s{number:02}")
    assert len(gradstore.report(place, tmp_path / "page.html")["selections"]) == MOST
    gradstore.select(place, selector="random", budget=3, name="t")
    notes = gradstore.report(place, tmp_path / "page.html")["notes"]
    assert notes[-1] == f"{MOST} of {MOST + 2} selections are shown: name others with --selection (t)."
    for named in ({"graph": "default"}, {"selections": ["random"]}):
        with pytest.raises(IncompatibleError):
            gradstore.report(place, tmp_path / "page.html", **named)


def test_a_selection_that_does_not_fit_itself_is_refused(shown_store: Path, tmp_path: Path) -> None:
    import shutil

    from gradstore.store import read_artefact, write_artefact

    store = gradstore.open(shutil.copytree(shown_store, tmp_path / "s.zarr"))
    kept = read_artefact(store, "selections", "random")
    for name, change in (
        ("far", {"picks": np.array([10**9])}),
        ("short", {"scores": np.zeros(2, np.float32)}),
    ):
        write_artefact(
            store, "selections", name,
            arrays={**kept.arrays, **change}, strings=dict(kept.strings), attributes=kept.attributes,
        )  # fmt: skip
        with pytest.raises(CorruptError, match="select again"):
            gradstore.report(store, tmp_path / "page.html", selections=[name])


def test_names_that_are_not_there_and_places_that_cannot_be_written(
    shown_store: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreNotFoundError, match="wide"):
        gradstore.report(shown_store, tmp_path / "page.html", selections=["wied"])
    with pytest.raises(StoreNotFoundError, match="default"):
        gradstore.report(shown_store, tmp_path / "page.html", graph="defalt")
    with pytest.raises(UsageError, match="twice"):
        gradstore.report(shown_store, tmp_path / "page.html", selections=["wide", "wide"])
    with pytest.raises(StoreWriteError, match="no folder"):
        gradstore.report(shown_store, tmp_path / "none" / "page.html")
    with pytest.raises(StoreWriteError, match=r"cannot be written: there is no folder .*page"):
        gradstore.report(shown_store, None, png=Path(__file__) / "figures")
    with pytest.raises(UsageError, match="page or pictures"):
        gradstore.report(shown_store, None)
    assert not list(tmp_path.iterdir())


def test_a_page_takes_the_place_of_a_page_alone(shown_store: Path, tmp_path: Path) -> None:
    page, mine = tmp_path / "page.html", tmp_path / "ok.jsonl"
    mine.write_text('{"text": "mine"}')
    with pytest.raises(StoreWriteError, match="no earlier report"):
        gradstore.report(shown_store, mine)
    assert mine.read_text() == '{"text": "mine"}'
    with_texts = gradstore.report(shown_store, page)["bytes"]
    assert gradstore.report(shown_store, page, texts=False)["bytes"] < with_texts


def test_a_store_on_a_web_server_is_shown_without_a_vector_being_read(
    shown_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore", reason="needs pip install 'gradstore[remote]'")
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    handler = partial(Handler, directory=str(shown_store.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            place = f"http://127.0.0.1:{server.server_port}/{shown_store.name}"
            found = gradstore.report(place, tmp_path / "far.html")
        finally:
            server.shutdown()
    assert found["graph"] == "default"
    assert any("/columns/record/" in path for path in asked)
    assert not [path for path in asked if "/gradient/c" in path]
    gradstore.report(shown_store, tmp_path / "near.html")
    assert Page(tmp_path / "far.html").data() == Page(tmp_path / "near.html").data()
