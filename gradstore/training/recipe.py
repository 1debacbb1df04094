"""How to train a warm-up adapter."""

from __future__ import annotations

from dataclasses import dataclass

from gradstore.errors import UsageError

__all__ = ["Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train; see `warmup` for the meaning of each."""

    epochs: int
    lr: float
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]
    batch_size: int
    micro_batch: int | None
    seed: int

    def check(self) -> None:
        """Refuse what cannot be right before anything is loaded.

        Raises
        ------
        UsageError
        """
        for option in ("epochs", "lr", "lora_r", "lora_alpha", "batch_size"):
            value = getattr(self, option)
            if not value > 0:
                raise UsageError(f"`--{option.replace('_', '-')}` must be above 0, not {value}")
        if not 0 <= self.lora_dropout < 1:
            raise UsageError(f"`--lora-dropout` must lie in [0, 1), not {self.lora_dropout}")
        if self.micro_batch is not None and (self.micro_batch < 1 or self.batch_size % self.micro_batch):
            raise UsageError(
                f"micro_batch {self.micro_batch} does not divide the batch size {self.batch_size}"
            )
        if not self.target_modules:
            raise UsageError("no target modules given; name the linear modules that get LoRA matrices")
