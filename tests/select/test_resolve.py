"""From a name, a file or an object to a selector."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstore.errors import UsageError
from gradstore.select import resolve, selectors
from gradstore.select.less import Less
from gradstore.testing import check_selector

PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from gradstore.records import Selection

@dataclass(kw_only=True)
class Longest:
    """Rows of highest id first."""
    reverse: bool = True
    name = "longest"

    def select(self, context, budget):
        order = context.by_id()
        return Selection((order[::-1] if self.reverse else order)[:budget])

class Broken:
    pass
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def test_the_installed_selectors_are_listed_with_their_parameters() -> None:
    found = {info.name: info for info in selectors()}
    assert {"random", "less", "g2is"} <= set(found)
    assert [p.name for p in found["less"].parameters] == ["aggregate", "center"]
    assert all(info.description.endswith((".", ")", "beat.")) for info in found.values())


def test_a_name_and_texts_become_a_selector() -> None:
    less = resolve("less", {"aggregate": "mean", "center": "true"})
    assert isinstance(less, Less)
    assert (less.aggregate, less.center) == ("mean", True)


def test_an_object_is_taken_as_it_is() -> None:
    less = Less()
    assert resolve(less) is less
    with pytest.raises(UsageError, match="has its parameters already"):
        resolve(less, {"center": "true"})


def test_a_selector_from_a_file_behaves(plugin: Path) -> None:
    made = resolve(f"{plugin}:Longest", {"reverse": "false"})
    assert made.name == "longest"
    check_selector(made)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'g2is'"):
        resolve("g2si")


def test_things_that_are_no_selector_are_refused(plugin: Path) -> None:
    for selector, message in (
        (f"{plugin}:Broken", "no selector"),
        (f"{plugin}:Missing", "has no class 'Missing'"),
        (f"{plugin.parent}/other.py:X", "there is no file"),
        (Less, "no selector"),
        (3, "no selector"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve(selector)  # type: ignore[arg-type]


def test_a_file_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero"):
        resolve(f"{tmp_path}/bad.py:X")
