"""Plug-ins come from installed distributions; a broken one is named and breaks nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select import resolve, select, selectors
from gradstore.testing import check_selector, tiny_store

PLUGIN = '''
import numpy as np
from gradstore.records import Selection

class Shortest:
    """Rows with the fewest tokens."""

    name = "shortest"

    def __init__(self, *, reverse: bool = False) -> None:
        self.reverse = reverse

    def select(self, context, budget):
        order = sorted(range(len(context)), key=lambda i: (context.tokens[i], context.ids[i]), reverse=self.reverse)
        return Selection(np.array(order[:budget]))
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution on the path whose entry points name one good selector and one that cannot be imported."""
    site = tmp_path / "site"
    info = site / "shortest_rows-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shortest_rows.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shortest-rows\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gradstore.selectors]\nshortest = shortest_rows:Shortest\nbroken = shortest_rows_gone:Gone\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    sys.modules.pop("shortest_rows", None)


def test_installed_selector_is_found_by_name_takes_parameters_and_behaves(installed: Path) -> None:
    store = tiny_store(installed / "s.zarr")
    picked = select(store, selector="shortest", budget=3, params={"reverse": "true"})
    assert len(picked.ids) == 3
    assert picked.config["parameters"] == {"reverse": True}
    check_selector(lambda: resolve("shortest"))


def test_broken_selector_names_its_distribution_and_leaves_the_others_usable(installed: Path) -> None:
    with pytest.raises(UsageError, match="'broken' from shortest-rows cannot be imported"):
        resolve("broken")
    found = {info.name: info for info in selectors()}
    assert "shortest-rows" in found["broken"].problem
    assert [found[name].problem for name in ("shortest", "random", "less", "g2is")] == [""] * 4


def test_selector_that_repeats_a_row_is_refused() -> None:
    with pytest.raises(UsageError, match="picked a row twice"):
        Selection(np.array([1, 1]))
