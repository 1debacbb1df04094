"""Text that anybody may have written, made safe for Markdown and YAML."""

from __future__ import annotations

import json
import unicodedata

__all__ = ["code", "plain", "quoted"]

_LONGEST = 120


def plain(value: object, longest: int = _LONGEST) -> str:
    """One line of visible characters, cut if long: no controls, no marks that turn the direction of writing."""
    text = "".join(
        " " if character.isspace() else character
        for character in str(value)
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def code(value: object) -> str:
    """A code span: Markdown reads nothing inside it, neither markup nor HTML nor addresses.

    A backtick would end the span and a bar a table's cell, so others stand for them.
    """
    return f"`{plain(value).replace('`', 'ˋ').replace('|', '¦') or ' '}`"  # noqa: RUF001


def quoted(value: object) -> str:
    """A YAML string that cannot become anything else: JSON in one line, as YAML 1.2 has it."""
    return json.dumps(plain(value), ensure_ascii=False)
