"""Pictures: which there are, and that they are ones."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradstore

pytest.importorskip("matplotlib", reason="needs pip install 'gradstore[report]'")


def test_a_store_with_everything_has_four_pictures(shown_store: Path, tmp_path: Path) -> None:
    from PIL import Image

    found = gradstore.report(shown_store, None, png=tmp_path / "new" / "pictures")
    assert found["page"] is None
    names = [Path(each).name for each in found["pictures"]]
    assert names == ["scores.png", "composition.png", "map.png", "overlap.png"]
    for name in names:
        with Image.open(tmp_path / "new" / "pictures" / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 400
            assert len(image.convert("P").getcolors() or ()) > 8  # not blank


def test_pictures_are_the_same_each_time(shown_store: Path, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        gradstore.report(shown_store, None, png=tmp_path / folder, selections=["less-goal"])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
