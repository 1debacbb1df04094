"""A budget divided over groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["proportional_shares"]


def proportional_shares(sizes: npt.NDArray[np.int64], budget: int) -> npt.NDArray[np.int64]:
    """`budget` in proportion to `sizes`, by largest remainder; of equal remainders the first comes first."""
    exact = budget * sizes / sizes.sum()
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")
    shares[largest[: budget - int(shares.sum())]] += 1
    return shares
