"""Notebooks show what text shows, whatever the names are."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

from gradstore.store import open_store
from gradstore.store.html import store_html


class Cells(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 (the parser calls it so)
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_store_and_a_data_set_are_tables(tmp_path: Path, make: SimpleNamespace) -> None:
    dataset = make.write(tmp_path / "s")
    page = Cells(open_store(tmp_path / "s")._repr_html_())
    assert {"step-1", "pool", "10"} <= set(page.texts)
    assert page.tags.count("tr") == 2
    assert "int8" in Cells(dataset._repr_html_()).texts


def test_text_from_a_store_is_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    checkpoint = {"name": evil, "datasets": [{"name": evil, "problem": evil}]}
    info = {
        "location": evil,
        "base": evil,
        "bytes": 1,
        "checkpoints": [checkpoint],
        "graphs": [evil],
        "selections": [],
    }
    assert set(Cells(store_html(info)).tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
