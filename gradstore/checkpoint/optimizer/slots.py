"""One parameter's entry in an optimizer's state, whichever optimizer wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gradstore.checkpoint.optimizer.blockwise import dequantize
from gradstore.errors import CheckpointError

__all__ = ["Slot", "read_slot"]

# bitsandbytes since 0.49 hides its tensors from FSDP under this name.
NESTED = "__bnb_optimizer_quant_state__"
# What tells an optimizer that keeps Adam's names for something else.
NOT_ADAM = {
    "projector": "GaLore or APOLLO",
    "z": "schedule-free AdamW",
    "grok_exp_avg": "GrokAdamW",
    "exp_avg_slow": "AdEMAMix",
    "m1_m2": "AdEMAMix",
    "hessian": "Sophia",
    "exp_inf": "Adamax",
    "momentum_buffer": "SGD with momentum, or Muon",
    "square_avg": "RMSprop",
    "sum": "Adagrad",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """The moments of one parameter, made when they are asked for.

    Attributes
    ----------
    shape : tuple of int
        Of the parameter.
    first : callable, or None
        Makes the first moment, float32; None where the optimizer keeps none.
    second : callable
        Makes the second moment, float32.
    factors : callable
        Makes the means of the second moment over the last and over the first axis, float32.
    step : int
    """

    shape: tuple[int, ...]
    first: Callable[[], torch.Tensor] | None
    second: Callable[[], torch.Tensor]
    factors: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    step: int


def read_slot(entry: Mapping[str, Any]) -> Slot | str:
    """The entry as moments, or a phrase that says what it is instead."""
    if NESTED in entry:
        entry = {**entry, **entry[NESTED]}
    found = ", ".join(str(key) for key in entry if key != NESTED) or "nothing"
    for key, optimizer in NOT_ADAM.items():
        if key in entry:
            return f"{optimizer}: found {found}"
    if "exp_avg_sq" in entry:
        return _dense(entry)
    if "exp_avg_sq_row" in entry and "exp_avg_sq_col" in entry:
        return _factored(entry, _tensor(entry, "exp_avg_sq_row"), _tensor(entry, "exp_avg_sq_col"))
    if (
        "row_var" in entry and "col_var" in entry
    ):  # torch's Adafactor keeps the axes that it has averaged over
        return _factored(entry, _tensor(entry, "row_var").squeeze(-1), _tensor(entry, "col_var").squeeze(-2))
    if "state1" in entry and "state2" in entry:
        if _tensor(entry, "state1").dim() != _tensor(entry, "state2").dim():
            return f"AdEMAMix: found {found}"
        return _bitsandbytes(entry)
    if "exp_avg" in entry or "state1" in entry:
        return f"an optimizer with one moment, such as Lion: found {found}"
    return f"found {found}"


def _dense(entry: Mapping[str, Any]) -> Slot:
    def second() -> torch.Tensor:
        return _tensor(entry, "exp_avg_sq").float()

    shape = tuple(_tensor(entry, "exp_avg_sq").shape)
    return Slot(shape, _first(entry), second, _means(second), _step(entry))


def _bitsandbytes(entry: Mapping[str, Any]) -> Slot:
    def state(number: int) -> Callable[[], torch.Tensor]:
        def make() -> torch.Tensor:
            values = _tensor(entry, f"state{number}")
            if values.dtype != torch.uint8:  # small parameters, and the 32-bit optimizers
                return values.float()
            return dequantize(values, _tensor(entry, f"qmap{number}"), _tensor(entry, f"absmax{number}"))

        return make

    return Slot(tuple(_tensor(entry, "state1").shape), state(1), state(2), _means(state(2)), _step(entry))


def _factored(entry: Mapping[str, Any], row: torch.Tensor, column: torch.Tensor) -> Slot:
    """Adafactor (Shazeer and Stern, 2018): the second moment is the outer product of row and column over the mean."""

    def second() -> torch.Tensor:
        rows, columns = factors()
        tiny = torch.finfo(torch.float32).tiny
        return torch.outer(rows / rows.mean().clamp_min(tiny), columns)

    def factors() -> tuple[torch.Tensor, torch.Tensor]:
        return row.float(), column.float()

    return Slot((*row.shape, column.shape[-1]), _first(entry), second, factors, _step(entry))


def _first(entry: Mapping[str, Any]) -> Callable[[], torch.Tensor] | None:
    return (lambda: _tensor(entry, "exp_avg").float()) if "exp_avg" in entry else None


def _tensor(entry: Mapping[str, Any], key: str) -> torch.Tensor:
    value = entry.get(key)
    if not isinstance(value, torch.Tensor):
        raise CheckpointError(
            f"optimizer state: {key} is {type(value).__name__}, not a tensor; the file is damaged"
        )
    return value


def _means(second: Callable[[], torch.Tensor]) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    def factors() -> tuple[torch.Tensor, torch.Tensor]:
        values = second()
        return values.mean(-1), values.mean(0)

    return factors


def _step(entry: Mapping[str, Any]) -> int:
    return int(entry.get("step") or 0)
