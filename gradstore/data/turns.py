"""What a row says, for people: every view of rows shows this, and shortens it as it has room."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gradstore.data.formats import Chat, Text, Tokens, convert, detect
from gradstore.errors import DataError

__all__ = ["Turn", "line", "turns"]

Turn = tuple[str, str]
"""Who speaks (``""`` in plain text), and what."""


def turns(record: Mapping[str, Any]) -> list[Turn]:
    """The conversation or text of a row, at least one turn.

    Of a row without a known format, as imported vectors may have, its longest text, or all of it where it has none.
    """
    try:
        content = convert(record, detect(record, ""), "")
    except DataError:
        longest = max(_strings(record), key=len, default="")
        return [("", longest or (json.dumps(record, ensure_ascii=False) if record else ""))]
    match content:
        case Chat(turns=found):
            return [(str(turn["role"]), str(turn["content"])) for turn in found] or [("", "")]
        case Text(prompt="", completion=text):
            return [("", text)]
        case Text(prompt=prompt, completion=completion):
            return [("prompt", prompt), ("completion", completion)]
        case Tokens(input_ids=ids):
            return [("tokens", " ".join(map(str, ids)))]


def line(record: Mapping[str, Any]) -> str:
    """All turns of a row, one after the other in one line."""
    return " ".join(" ".join(text for _, text in turns(record)).split())


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                if key != "id":
                    yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
