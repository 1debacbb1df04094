"""What a store tells of the rows it was made from, and of the machine it was made on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gradstore
from gradstore.inspection.verify import verify
from gradstore.store.layout import STRING_COLUMNS

PRIVATE = "the combination is 7-13-29"


@pytest.fixture
def rows(token_rows: Path, tmp_path: Path) -> Path:
    path = tmp_path / "somebodys-home" / "rows.jsonl"
    path.parent.mkdir()
    lines = token_rows.read_text().splitlines()[:20]
    path.write_text("".join(json.dumps({**json.loads(line), "text": PRIVATE}) + "\n" for line in lines))
    return path


def told(store: Path) -> str:
    """All documents of a store as they are, and all strings that its columns hold."""
    dataset = gradstore.open(store).dataset("pool")
    texts = [path.read_text() for path in store.rglob("*") if path.suffix in (".json", ".md")]
    columns = (dataset.ids, dataset.sources, dataset.subtasks, dataset.reasons)
    assert len(columns) == len(STRING_COLUMNS) - 1  # and the rows themselves
    texts += [text for column in columns for text in column]
    return "\n".join(texts)


@pytest.mark.parametrize("embed_rows", [True, False])
def test_a_store_holds_its_rows_only_if_it_may_and_never_a_path(
    embed_rows: bool, rows: Path, tiny_run: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s.zarr"
    job = {"checkpoints": [tiny_run / "run" / "checkpoint-8"], "data": rows, "name": "pool", "dim": 64}
    gradstore.extract(store, **job, embed_rows=embed_rows, license={"": "MIT", "a": "CC0-1.0"})
    dataset = gradstore.open(store).dataset("pool")
    assert dataset.has_records == embed_rows
    assert ("Text of the rows: embedded" in (store / "README.md").read_text()) == embed_rows
    if embed_rows:
        assert dataset.records([0])[0]["text"] == PRIVATE
    found = told(store)
    assert PRIVATE not in found
    assert "somebodys-home" not in found
    assert str(tmp_path) not in found
    assert str(tiny_run) not in found
    assert "Licence: `MIT`; of sources: `a` `CC0-1.0`" in (store / "README.md").read_text()
    assert verify(store) == []
    before = (store / "index.json").read_bytes()
    gradstore.extract(store, **job, embed_rows=embed_rows)  # says nothing of licences, and changes nothing
    assert (store / "index.json").read_bytes() == before
    with pytest.raises(gradstore.IncompatibleError, match="license is MIT there, Apache now"):
        gradstore.extract(store, **job, embed_rows=embed_rows, license="Apache")
