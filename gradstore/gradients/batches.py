"""Which rows share a batch: a function of their lengths alone, so that a rerun makes the same batches."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["padded_size", "token_batches"]


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group rows of similar length so that rows times longest row stays within `budget`.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    budget : int
        Largest number of tokens in a batch, padding included. A longer row gets a batch of its own.

    Returns
    -------
    list of list of int
        Row indices, longest rows first; every row exactly once.

    Examples
    --------
    >>> token_batches([3, 10, 4, 9], budget=20)
    [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
            longest = max(1, lengths[row])
    return batches


def padded_size(lengths: Sequence[int]) -> int:
    """Tokens of a batch of rows of these lengths, padding included."""
    return len(lengths) * max(lengths)
