"""The text of a conversation, and where in it the turns to learn stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradstore.data.formats import Chat
from gradstore.data.spans import Span
from gradstore.data.templates import Template, UnwritableError

__all__ = ["HiddenTurnError", "learned_text"]


class HiddenTurnError(UnwritableError):
    """A conversation whose beginning the template writes differently on its own."""


def learned_text(template: Template, chat: Chat, ends: tuple[str, ...], where: str) -> tuple[str, list[Span]]:
    """Write a conversation by its template and find the turns to learn.

    ``{% generation %}`` blocks tell them. Without these, a turn is what the text of the turns up to it has
    more than the text of those before it, written with the beginning of an answer.

    Parameters
    ----------
    template : Template
    chat : Chat
    ends : tuple of str
        Special tokens. Blanks after the one that ends a turn are not learned: no model writes past it.
    where : str
        The row's place, for messages.

    Returns
    -------
    text : str
    spans : list of (int, int)

    Raises
    ------
    UnwritableError
        If the template refuses the conversation, or (`HiddenTurnError`) hides where a turn to learn begins.
    DataError
        If it is no template that could write any.
    """
    text, marked = template.render(chat.turns, where)
    if not chat.learned:
        return text, []

    def length(turns: Sequence[dict[str, Any]], *, prompt: bool) -> int:
        prefix, _ = template.render(turns, where, prompt=prompt)
        if not text.startswith(prefix):
            raise HiddenTurnError(
                f"{where}: the chat template writes the first {len(turns)} turns differently when others follow, "
                "which hides where a turn begins; name a template with {% generation %} blocks by --chat-template",
                "writes turns differently when others follow",
            )
        return len(prefix)

    if template.marks_generation:
        start = length(chat.turns[: chat.learned_from], prompt=False) if chat.learned_from else 0
        return text, [span for span in marked if span[0] >= start]
    spans = []
    for turn in chat.learned:
        start = length(chat.turns[:turn], prompt=True)
        stop = len(text) if turn + 1 == len(chat.turns) else length(chat.turns[: turn + 1], prompt=False)
        written = text[start:stop].rstrip()
        spans.append((start, start + len(written) if written.endswith(ends) else stop))
    return text, spans
