"""Parameters of selectors from text."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from gradstore.errors import UsageError
from gradstore.select.g2is import G2IS
from gradstore.select.params import parameters, parse, settings


class Example:
    def __init__(
        self,
        *,
        count: int,
        share: float = 0.5,
        flag: bool = False,
        word: str = "a",
        kind: Literal["x", "y", 3] = "x",
        limit: int | None = None,
    ) -> None:
        self.given = (count, share, flag, word, kind, limit)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("share", "1", 1.0),
        ("share", 1, 1.0),
        ("share", "1e-3", 0.001),
        ("flag", "True", True),
        ("flag", "false", False),
        ("word", "none", "none"),
        ("kind", "y", "y"),
        ("kind", "3", 3),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "5", 5),
    ],
)
def test_text_becomes_a_value_of_the_annotated_type(name: str, text: Any, value: Any) -> None:
    parsed = parse(Example, {"count": 1, name: text})[name]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": "many"}, "count must be a whole number, not 'many'"),
        ({"count": True}, "count must be a whole number, not True"),
        ({"count": 1, "share": "half"}, "share must be a number"),
        ({"count": 1, "flag": "yes"}, "flag must be true or false"),
        ({"count": 1, "kind": "z"}, "kind must be 'x' or 'y' or 3, not 'z'"),
        ({"count": 1, "limit": "1.5"}, "limit must be a whole number or none"),
        ({"count": 1, "shaer": "1"}, "unknown parameter 'shaer'; did you mean 'share'"),
        ({}, r"count \(a whole number\) must be given"),
    ],
)
def test_what_cannot_be_right_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(Example, given)


def test_a_class_without_a_constructor_has_no_parameters() -> None:
    class Plain:
        pass

    assert parameters(Plain) == {}


def test_settings_are_what_the_constructor_was_given() -> None:
    assert settings(G2IS(mix=0.2))["mix"] == 0.2
    assert set(settings(G2IS())) == set(parameters(G2IS))
