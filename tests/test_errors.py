from __future__ import annotations

import pytest

from gradstore.errors import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [("no room\nat all", "no room"), ("", "ValueError"), ("\n \n", "ValueError"), ("\nlate", "late")],
)
def test_every_error_has_a_line(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line
