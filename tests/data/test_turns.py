"""What a row says, whatever format it has."""

from __future__ import annotations

from typing import Any

import pytest

from gradstore.data.turns import line, turns

MESSAGES = [{"role": "user", "content": "Why?\n\nSo"}, {"role": "user", "content": "?"}]


@pytest.mark.parametrize(
    ("record", "expected", "text"),
    [
        ({"messages": MESSAGES}, [("user", "Why?\n\nSo"), ("user", "?")], "Why? So ?"),
        ({"messages": []}, [("", "")], ""),
        ({"instruction": "Add", "input": "1", "output": "3"}, [("user", "Add\n\n1"), ("assistant", "3")], "Add 1 3"),
        ({"prompt": "A ", "completion": "b"}, [("prompt", "A "), ("completion", "b")], "A b"),
        ({"text": "a\tb\x85c"}, [("", "a\tb\x85c")], "a b c"),
        ({"input_ids": [1, 2], "id": "x"}, [("tokens", "1 2")], "1 2"),
        ({"id": "a long id", "other": ["a", {"b": "the text"}]}, [("", "the text")], "the text"),
        ({"messages": "broken"}, [("", "broken")], "broken"),
        ({"messages": 3}, [("", '{"messages": 3}')], '{"messages": 3}'),
        ({}, [("", "")], ""),
    ],
)  # fmt: skip
def test_rows_of_every_format_have_a_text(
    record: dict[str, Any], expected: list[tuple[str, str]], text: str
) -> None:
    assert turns(record) == expected
    assert line(record) == text
