"""Base models whose linear layers hold 4-bit or 8-bit weights of bitsandbytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from gradstore.errors import CheckpointError, UsageError, first_line
from gradstore.registry import unknown_name

__all__ = ["QUANTIZATIONS", "bitsandbytes_config", "check_quantized_base", "multiply_dequantized"]

QUANTIZATIONS = ("4bit", "8bit")
INSTEAD = "use the model it was made from (for an adapter: with `--base`)"


def bitsandbytes_config(quantize: str, dtype: torch.dtype, device: str) -> Any:
    """Settings for transformers: ``4bit`` as QLoRA trains (NF4, double quantisation), ``8bit`` by rows.

    Raises
    ------
    UsageError
        If there is no such quantisation.
    CheckpointError
        If bitsandbytes is missing, or does not work on `device`.
    """
    if quantize not in QUANTIZATIONS:
        raise UsageError(unknown_name("quantisation", quantize, QUANTIZATIONS))
    _check_bitsandbytes(f"quantize {quantize!r}", "leave `--quantize` out", device)
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=quantize == "4bit",
        load_in_8bit=quantize == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def check_quantized_base(stored: Any, quantize: str | None, base: str, device: str) -> None:
    """Refuse a base model stored in a quantised form that cannot be used, or quantised twice.

    Parameters
    ----------
    stored : mapping or object
        The ``quantization_config`` of the base model.
    """
    settings: Mapping[str, Any] = stored if isinstance(stored, Mapping) else stored.to_dict()
    method = getattr(settings.get("quant_method"), "value", settings.get("quant_method"))
    if method != "bitsandbytes":
        raise CheckpointError(
            f"base model {base}: its weights are quantised with {method or 'an unnamed method'}, which is not"
            f" supported; {INSTEAD}"
        )
    if quantize is not None:
        raise UsageError(
            f"base model {base}: its weights are quantised already; leave `--quantize` out, or {INSTEAD}"
        )
    _check_bitsandbytes(f"base model {base}", INSTEAD, device)


def multiply_dequantized(model: nn.Module) -> None:
    """Let every quantised layer of `model` multiply by its dequantised weights.

    bitsandbytes has faster products, but they are not the same for every batch: its 8-bit product rounds the inputs
    and takes outliers out by looking at all rows together, and on a CPU its 4-bit layers repack their weights when
    called without a gradient. Here a row's result depends on that row alone, and the gradient is exact.
    """
    bitsandbytes = import_module("bitsandbytes")
    for layer in list(model.modules()):
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            layer.forward = _forward(layer, _weight_4bit(layer))
        elif isinstance(layer, bitsandbytes.nn.Linear8bitLt):
            layer.forward = _forward(layer, _weight_8bit(layer))


def _check_bitsandbytes(what: str, way_out: str, device: str) -> None:
    try:
        bitsandbytes = import_module("bitsandbytes")
    except ImportError:
        raise CheckpointError(
            f"{what}: bitsandbytes is not installed; `pip install bitsandbytes`, or {way_out}"
        ) from None
    except (RuntimeError, OSError) as error:
        raise CheckpointError(
            f"{what}: bitsandbytes does not work here ({first_line(error)}); {way_out}"
        ) from error
    kind = torch.device(device).type
    # Versions before 0.45 do not say what they support: it was CUDA.
    devices = getattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    if kind not in devices:
        raise CheckpointError(
            f"{what}: bitsandbytes {bitsandbytes.__version__} does not work on {kind}; use a GPU, or {way_out}"
        )


def _weight_4bit(layer: Any) -> Callable[[], torch.Tensor]:
    dequantize_4bit = import_module("bitsandbytes.functional").dequantize_4bit

    def weight() -> torch.Tensor:
        return dequantize_4bit(layer.weight.data, layer.weight.quant_state)  # type: ignore[no-any-return]

    return weight


def _weight_8bit(layer: Any) -> Callable[[], torch.Tensor]:
    # bitsandbytes keeps the largest magnitude of every row, which 127 stands for.
    scale = (layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB).unsqueeze(1) / 127

    def weight() -> torch.Tensor:
        return layer.weight.data * scale  # type: ignore[no-any-return]

    return weight


def _forward(layer: Any, weight: Callable[[], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = _Product.apply(inputs, weight)  # type: ignore[no-untyped-call]
        return outputs if layer.bias is None else outputs + layer.bias.to(outputs.dtype)

    return forward


class _Product(torch.autograd.Function):
    """inputs @ weight.T, with the weight made again for the backward pass instead of kept."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: Callable[[], torch.Tensor]) -> torch.Tensor:
        ctx.weight = weight
        return functional.linear(inputs, weight().to(inputs.dtype))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad @ ctx.weight().to(grad.dtype), None
