"""The 8-bit optimizer states of bitsandbytes (Dettmers et al., ICLR 2022, arXiv 2110.02861), read without it."""

from __future__ import annotations

import torch

from gradstore.errors import CheckpointError

__all__ = ["dequantize"]

BLOCK_SIZES = (
    256,
    2048,
    4096,
    1024,
    512,
    128,
    64,
)  # today's, that of earlier versions, and what else there is


def dequantize(codes: torch.Tensor, values: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """The float32 values behind 8-bit codes: a table of 256 values, scaled by each block's largest magnitude.

    Parameters
    ----------
    codes : tensor of uint8
    values : tensor of float32, shape (256,)
        What each code stands for, between -1 and 1.
    largest : tensor of float32, shape (blocks,)
        Blocks are taken in row-major order; the last may be short.
    """
    count = codes.numel()
    size = next((b for b in BLOCK_SIZES if -(-count // b) == largest.numel()), None)
    if size is None:
        raise CheckpointError(
            f"8-bit optimizer state of {count} values in {largest.numel()} blocks: no known size of a block fits"
        )
    flat = values.float()[codes.flatten().int()]
    return (flat * largest.float().repeat_interleave(size)[:count]).reshape(codes.shape)
