"""What a row says, cut to a length and without characters that would act instead of being seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gradstore.data import turns as data
from gradstore.data.turns import Turn

__all__ = ["name", "turns", "visible"]

_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of writing
    "\u2028\u2029\ufeff\ufff9-\ufffb\ud800-\udfff]"  # line separators of scripts, invisible marks, halves of characters
)
_SEEN = "\N{REPLACEMENT CHARACTER}"
_LONGEST_NAME = 120


def visible(text: str, longest: int) -> str:
    """At most `longest` characters of a text; what would act on the page or its lines is shown as U+FFFD."""
    cut = text if len(text) <= longest else text[: max(longest - 1, 0)] + "…"
    return _ACTING.sub(_SEEN, cut.replace("\r\n", "\n"))


def name(text: object) -> str:
    """An id, a source or another name in one line."""
    return " ".join(visible(str(text), _LONGEST_NAME).split())


def turns(record: Mapping[str, Any], longest: int) -> list[Turn]:
    """The conversation or text of a row, `longest` characters of it in all.

    What comes first is kept, but for the last turn: a quarter of the length is its own, since what is learned stands
    there.
    """
    found = data.turns(record)
    if sum(len(text) for _, text in found) <= longest:
        return [(role, visible(text, len(text))) for role, text in found]
    reserved = min(len(found[-1][1]), longest // 4 if len(found) > 1 else longest)
    left, cut = longest - reserved, []
    for role, text in found[:-1]:
        if left > 0:
            cut.append((role, visible(text, left)))
        left -= len(text)
    role, text = found[-1]
    return [*cut, (role, visible(text, reserved + max(left, 0)))]
