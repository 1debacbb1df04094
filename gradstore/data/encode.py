"""Rows as tokens, with the tokens that are learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.data.formats import Chat, Text, Tokens, convert
from gradstore.data.learned import learned_text
from gradstore.data.spans import Span, tokens_in
from gradstore.data.templates import BUILT_IN, Template, template_text
from gradstore.errors import DataError, UsageError
from gradstore.records import Example, Row, canonical_json, digest

__all__ = ["ChatTokenizer"]

_IGNORED = -100


class ChatTokenizer:
    """Turns rows into examples.

    Of a conversation the assistant's turns are learned, each with the end-of-turn token that the template
    writes after it (of a conversation given as prompt and completion, only those of the completion); of text
    given as prompt and completion the completion, with the end-of-text token; of plain text every token.

    Parameters
    ----------
    tokenizer : transformers fast tokenizer or None
        None if all rows are tokens already.
    template : str or None
        A built-in chat template (``"chatml"``, ``"less"``), a path to a Jinja file, or a template's text;
        None for the tokenizer's own.
    max_length : int
        Tokens beyond it are cut.

    Attributes
    ----------
    template_digest : str
        Digest of the template's text; ``""`` without a template.
    tokenizer_digest : str
        Digest of all that decides which tokens a text has; ``""`` without a tokenizer.
    """

    def __init__(self, tokenizer: Any, *, template: str | None, max_length: int) -> None:
        if max_length < 2:
            raise UsageError(f"the maximal length must be at least 2 tokens, not {max_length}")
        if tokenizer is not None and not tokenizer.is_fast:
            raise DataError("the tokenizer tells no character offsets; use one that has a tokenizer.json")
        self._tokenizer = tokenizer
        self._max_length = max_length
        text = template_text(template, tokenizer) if tokenizer is not None else ""
        self._template = Template(text, tokenizer.special_tokens_map) if text else None
        self.template_digest = digest(text.encode()) if text else ""
        self._special = tuple(tokenizer.all_special_tokens) if tokenizer is not None else ()

    @cached_property
    def tokenizer_digest(self) -> str:  # noqa: D102 (documented with the class)
        if self._tokenizer is None:
            return ""
        backend = json.loads(self._tokenizer.backend_tokenizer.to_str())
        for state in ("truncation", "padding"):  # set anew by each call, so no property of the tokenizer
            backend.pop(state, None)
        ends = [self._tokenizer.bos_token, self._tokenizer.eos_token]
        return digest(canonical_json(backend), canonical_json(ends))

    def encode(self, row: Row, fmt: str) -> Example:
        """The tokens of one row.

        Parameters
        ----------
        row : Row
        fmt : str
            Its format, one of `gradstore.data.FORMATS`.

        Returns
        -------
        Example
            With a reason if no token is learned: that is no error.

        Raises
        ------
        DataError
            If the row does not have the format, there is no tokenizer or chat template for it, or the
            template hides where an assistant turn begins.
        """
        content = convert(row.record, fmt, row.where)
        if isinstance(content, Tokens):
            return self._example(content.input_ids, content.labels)
        if self._tokenizer is None:
            raise DataError(
                f"{row.where}: rows of format {fmt} need a tokenizer; only rows of format tokens do not"
            )
        return self._text(content) if isinstance(content, Text) else self._chat(content, row.where)

    def _text(self, content: Text) -> Example:
        text = content.prompt + content.completion
        if not text:
            return self._example([], [])
        ids, offsets = self._tokenize(text, special=True)
        end = self._tokenizer.eos_token_id
        if end is not None and ids[-1:] != [end]:
            ids, offsets = [*ids, end], [*offsets, (len(text), len(text))]
        learned = tokens_in([(len(content.prompt), len(text))], text, offsets)
        learned[-1] |= ids[-1] == end
        return self._example(ids, np.where(learned, ids, _IGNORED))

    def _chat(self, chat: Chat, where: str) -> Example:
        if not chat.turns:
            return self._example([], [])
        if self._template is None:
            raise DataError(
                f"{where}: the tokenizer has no chat template; name one with --chat-template: "
                f"{', '.join(BUILT_IN)}, or the path of a .jinja file"
            )
        text, spans = learned_text(self._template, chat, self._special, where)
        ids, offsets = self._tokenize(text, special=False)
        labels = np.where(tokens_in(spans, text, offsets), ids, _IGNORED)
        return self._example(ids, labels, "" if chat.learned else "no assistant turn")

    def _tokenize(self, text: str, *, special: bool) -> tuple[list[int], list[Span]]:
        encoded = self._tokenizer(
            text, add_special_tokens=special, return_offsets_mapping=True, verbose=False
        )
        return encoded["input_ids"], encoded["offset_mapping"]

    def _example(self, ids: Sequence[int], labels: npt.ArrayLike, reason: str = "") -> Example:
        limit = self._max_length
        inputs, targets = np.asarray(ids[:limit], np.int32), np.asarray(labels, np.int32)[:limit]
        truncated = len(ids) > limit
        if not ids:
            reason = "empty"
        elif not (targets[1:] == _IGNORED).all():  # a model predicts every token but the first
            reason = ""
        elif not reason:
            reason = f"no learned token within {limit} tokens" if truncated else "no learned token"
        return Example(inputs, targets, reason, truncated)
