"""A selector of one's own: the rows most similar to the target among those that are short."""

from __future__ import annotations

import numpy as np

from gradstore.records import Selection
from gradstore.select import SelectionContext


class ShortAnswers:
    """Highest mean similarity to the target, discounted by length.

    Parameters
    ----------
    half_length : int
        Number of tokens at which a row's similarity counts half.
    """

    name = "short-answers"

    def __init__(self, *, half_length: int = 200) -> None:
        self.half_length = half_length

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Score every candidate; of equal scores the smaller id wins, so that the choice is stable."""
        similarity = context.similarity().mean(axis=1)
        scores = similarity * 0.5 ** (context.tokens / self.half_length)
        picks = context.ranked(scores)[:budget]
        why = {"cosine": similarity[picks].tolist(), "tokens": context.tokens[picks].tolist()}
        return Selection(picks, scores.astype(np.float32), {"half_length": self.half_length}, why)
