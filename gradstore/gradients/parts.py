"""Shares of an extraction; they live in `gradstore.parts`, which the command line reads without loading torch."""

from gradstore.parts import Share, local_device, share_of

__all__ = ["Share", "local_device", "share_of"]
