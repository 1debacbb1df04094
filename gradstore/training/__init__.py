"""A short LoRA run that leaves checkpoints with the optimizer state which gradients need."""

from gradstore.training.warmup import warmup

__all__ = ["warmup"]
