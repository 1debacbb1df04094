"""Which tokens make up a piece of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

__all__ = ["Span", "tokens_in"]

Span = tuple[int, int]
"""First character of a piece of text, and the one after its last."""


def tokens_in(spans: Iterable[Span], text: str, offsets: Sequence[Span]) -> npt.NDArray[np.bool_]:
    """Mark the tokens that begin in one of `spans`.

    A token's blanks in front do not count, because tokenizers differ in whether offsets cover them:
    ``" foo"`` belongs to a span that begins with ``foo``. Several tokens may share a character (its bytes).

    Parameters
    ----------
    spans : iterable of (int, int)
    text : str
    offsets : sequence of (int, int), length n
        First character of each token, and the one after its last. Tokens without any, such as those put
        around a text, stand where the token before them ends.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    starts, stops = np.fromiter(chain.from_iterable(offsets), np.int64, 2 * len(offsets)).reshape(-1, 2).T
    ends = np.maximum.accumulate(np.concatenate([[0], stops]))[:-1]
    starts = np.where(starts == stops, ends, starts)
    marked = np.zeros(len(starts), bool)
    for first, last in spans:
        marked |= (first <= starts) & (starts < last)
        for token in np.flatnonzero((starts < first) & (first < stops)):
            marked[token] |= text[starts[token] : first].isspace() and first < last
    return marked
