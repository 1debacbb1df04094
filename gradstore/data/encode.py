"""Rows as tokens, with the tokens that are learned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.data.formats import Chat, Text, Tokens, convert
from gradstore.data.learned import HiddenTurnError, learned_text
from gradstore.data.spans import Span, tokens_in
from gradstore.data.templates import BUILT_IN, Template, UnwritableError, template_text
from gradstore.errors import DataError, UsageError
from gradstore.records import Example, Row, canonical_json, digest

__all__ = ["ChatTokenizer"]

_IGNORED = -100
_BATCH = 1 << 18  # characters tokenised at once: a token and its offsets take some hundred bytes meanwhile
_PLAINEST = Chat([{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}])
_Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row as text, with what is learned of it."""

    text: str
    spans: list[Span]
    whole: bool
    """Whether the text stands for itself: special tokens go around it, and its end is learned."""
    reason: str = ""
    """Why nothing is learned, if that is known already."""


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
    template : str
        Jinja text of the template; ``""`` without one.
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
        self.template = text
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
        """The tokens of one row: `encode_all` for a single one."""
        return self.encode_all([row], fmt)[0]

    def encode_all(self, rows: Sequence[Row], fmt: str) -> list[Example]:
        """The tokens of some rows, which are the same whatever rows they are encoded with.

        Parameters
        ----------
        rows : sequence of Row
        fmt : str
            Their format, one of `gradstore.data.FORMATS`.

        Returns
        -------
        list of Example
            With a reason where no token is learned: that is no error, nor is a conversation that the chat
            template refuses.

        Raises
        ------
        DataError
            If a row does not have the format, there is no tokenizer or chat template for it, or the template
            is none that could be learned with: broken, or hiding where an answer begins in any conversation.
        """
        drafts = [self._draft(row, fmt) for row in rows]
        encoded = self._encoded([draft for draft in drafts if isinstance(draft, _Draft)])
        return [draft if isinstance(draft, Example) else next(encoded) for draft in drafts]

    def _draft(self, row: Row, fmt: str) -> _Draft | Example:
        content = convert(row.record, fmt, row.where)
        if isinstance(content, Tokens):
            return self._example(
                np.asarray(content.input_ids, np.int32), np.asarray(content.labels, np.int32)
            )
        if self._tokenizer is None:
            raise DataError(
                f"{row.where}: rows of format {fmt} need a tokenizer; only rows of format tokens do not"
            )
        if isinstance(content, Text):
            text = content.prompt + content.completion
            return _Draft(text, [(len(content.prompt), len(text))], whole=True) if text else _nothing("empty")
        return self._chat(content, row.where)

    def _chat(self, chat: Chat, where: str) -> _Draft | Example:
        if not chat.turns:
            return _nothing("empty")
        if self._template is None:
            raise DataError(
                f"{where}: the tokenizer has no chat template; name one with --chat-template: "
                f"{', '.join(BUILT_IN)}, or the path of a .jinja file"
            )
        try:
            text, spans = learned_text(self._template, chat, self._special, where)
        except UnwritableError as error:
            if isinstance(error, HiddenTurnError) and self._always_hides(self._template):
                raise
            return _nothing(error.reason)
        return _Draft(text, spans, whole=False, reason="" if chat.learned else "no assistant turn")

    def _always_hides(self, template: Template) -> bool:
        """Whether not even the plainest answer can be found, so that the template is at fault, not a row."""
        try:
            learned_text(template, _PLAINEST, self._special, "")
        except UnwritableError as error:
            return isinstance(error, HiddenTurnError)
        return False

    def _encoded(self, drafts: Sequence[_Draft]) -> Iterator[Example]:
        for batch in _batches(drafts):
            whole = batch[0].whole
            found = self._tokenizer(
                [draft.text for draft in batch],
                add_special_tokens=whole,
                return_offsets_mapping=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            for draft, ids, offsets in zip(batch, found["input_ids"], found["offset_mapping"], strict=True):
                yield self._learned(draft, ids, offsets)

    def _learned(self, draft: _Draft, tokens: list[int], offsets: list[Span]) -> Example:
        end = self._tokenizer.eos_token_id if draft.whole else None
        if end is not None and tokens[-1:] != [end]:
            tokens, offsets = [*tokens, end], [*offsets, (len(draft.text), len(draft.text))]
        ids = np.asarray(tokens, np.int32)
        learned = tokens_in(draft.spans, draft.text, offsets)
        if end is not None:
            learned[-1] = True
        return self._example(ids, np.where(learned, ids, np.int32(_IGNORED)), draft.reason)

    def _example(self, ids: _Ids, labels: _Ids, reason: str = "") -> Example:
        limit = self._max_length
        inputs, targets = ids[:limit].copy(), labels[:limit].copy()  # not views of what is cut
        truncated = len(ids) > limit
        if not len(ids):
            reason = "empty"
        elif not (targets[1:] == _IGNORED).all():  # a model predicts every token but the first
            reason = ""
        elif not reason:
            reason = f"no learned token within {limit} tokens" if truncated else "no learned token"
        return Example(inputs, targets, reason, truncated)


def _nothing(reason: str) -> Example:
    return Example(np.zeros(0, np.int32), np.zeros(0, np.int32), reason)


def _batches(drafts: Sequence[_Draft]) -> Iterator[list[_Draft]]:
    """Neighbours that are tokenised alike, no more than a batch's characters unless a single one has them."""
    batch: list[_Draft] = []
    size = 0
    for draft in drafts:
        if batch and (draft.whole != batch[0].whole or size + len(draft.text) > _BATCH):
            yield batch
            batch, size = [], 0
        batch.append(draft)
        size += len(draft.text)
    if batch:
        yield batch
