"""An example as people read it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from gradstore.records import Example

__all__ = ["show"]


def show(example: Example, tokenizer: Any) -> str:
    """The text of an example with the learned tokens between ``⟦`` and ``⟧``, under a line of counts.

    Parameters
    ----------
    example : Example
    tokenizer : transformers tokenizer or None
        Without one, token ids are shown.
    """
    ids = example.input_ids.tolist()
    learned = example.labels != -100
    edges = [0, *(np.flatnonzero(np.diff(learned)) + 1).tolist(), len(ids)] if ids else [0]
    piece = _ids if tokenizer is None else _decoder(tokenizer)
    parts = []
    for start, stop in pairwise(edges):
        text = piece(ids, start, stop)
        parts.append(f"⟦{text}⟧" if learned[start] else text)
    return _header(example, int(learned.sum())) + "\n" + (" " if tokenizer is None else "").join(parts)


def _header(example: Example, learned: int) -> str:
    cut = ", cut at the maximal length" if example.truncated else ""
    reason = f"; not learnable: {example.reason}" if example.reason else ""
    return f"{len(example.input_ids)} tokens, {learned} learned{cut}{reason}"


def _ids(ids: list[int], start: int, stop: int) -> str:
    return " ".join(map(str, ids[start:stop]))


def _decoder(tokenizer: Any) -> Callable[[list[int], int, int], str]:
    """Decodes a piece in its context, because some decoders strip the blank of the first word."""

    def decode(ids: list[int], start: int, stop: int) -> str:
        before: str = tokenizer.decode(ids[:start], clean_up_tokenization_spaces=False)
        return str(tokenizer.decode(ids[:stop], clean_up_tokenization_spaces=False))[len(before) :]

    return decode
