"""Watches the linear layers of a model and hands on what their weight gradients are made of.

Each attributed layer's forward is replaced by a function whose backward gives its inputs and the gradient of its
outputs to a `Form`, which makes numbers for each example of them. The batch-summed weight gradient, which nobody
needs, is never formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from gradstore.errors import CheckpointError
from gradstore.gradients.lora import PlainLora, plain_lora_layers

__all__ = ["Consume", "Form", "MixedRowsError", "Observed", "weight_gradients"]

Consume = Callable[[int, torch.Tensor], None]


class Form(Protocol):
    """Makes numbers for each example of what a linear layer has seen; additive over the uses of a layer."""

    def __call__(self, layer: int, inputs: torch.Tensor, grads: torch.Tensor) -> torch.Tensor:
        """From (batch, tokens, d_in) and (batch, tokens, d_out) to (…, batch, numbers) in float32."""


def weight_gradients(layer: int, inputs: torch.Tensor, grads: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    """The gradient of a weight of shape (d_out, d_in) for each example, row-major: a `Form`."""
    return torch.bmm(grads.transpose(1, 2), inputs).flatten(1).float()


class MixedRowsError(Exception):
    """A layer saw tokens of several rows without telling whose they are; with one row a batch it is clear."""


class Observed(AbstractContextManager["Observed"]):
    """The attributed layers of a model, watched while the context is open.

    Parameters
    ----------
    model : nn.Module
    layers : mapping from name to linear layer
        Layers of it: ``nn.Linear``, or GPT-2's ``Conv1D``, which keeps its weight as (in, out).
    form : Form
    """

    def __init__(self, model: nn.Module, layers: dict[str, nn.Module], form: Form) -> None:
        self._model, self._layers, self._form = model, layers, form
        self._pass: Pass | None = None
        self._patched: list[nn.Module] = []

    def __enter__(self) -> Observed:
        whole = list(plain_lora_layers(self._model, self._layers))
        for lora in whole:
            self._patch(lora.module, self._watched_lora(lora))
        done = {number for lora in whole for number in (lora.a_index, lora.b_index)}
        for index, (name, layer) in enumerate(self._layers.items()):
            if index not in done:
                self._patch(layer, self._watched(index, name, layer))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in self._patched:
            del module.forward
        self._patched.clear()

    def _patch(self, module: nn.Module, forward: Callable[..., torch.Tensor]) -> None:
        module.forward = forward
        self._patched.append(module)

    def begin(self, batch: int, tokens: int, scale: float, consume: Consume) -> Pass:
        """Begin a forward pass of `batch` padded rows of `tokens` each, whose losses are multiplied by `scale`."""
        self._pass = Pass(list(self._layers), (batch, tokens), scale, self._form, consume)
        return self._pass

    def _watched_lora(self, lora: PlainLora) -> Callable[[torch.Tensor], torch.Tensor]:
        names = list(self._layers)
        own = lora.module.forward

        def forward(inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            if self._pass is None or not torch.is_grad_enabled():
                outputs: torch.Tensor = own(inputs, *args, **kwargs)
                return outputs
            for index in (lora.a_index, lora.b_index):
                self._pass.expect(index, names[index], inputs)
            return lora(inputs, self._pass)

        return forward

    def _watched(self, index: int, name: str, layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        transposed = type(layer).__name__ == "Conv1D"

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            weight: torch.Tensor = layer.weight.T if transposed else layer.weight  # type: ignore[assignment]
            bias: torch.Tensor | None = layer.bias  # type: ignore[assignment]
            if self._pass is None or not torch.is_grad_enabled():
                return functional.linear(inputs, weight, bias)
            self._pass.expect(index, name, inputs)
            outputs: torch.Tensor = _Watched.apply(inputs, weight, self._pass, index)  # type: ignore[no-untyped-call]
            return outputs if bias is None else outputs + bias

        return forward


class Pass:
    """One forward and backward pass; a layer used several times is complete when its last use came back."""

    def __init__(
        self, names: Sequence[str], shape: tuple[int, int], scale: float, form: Form, consume: Consume
    ) -> None:
        self._names, self._shape, self._scale = names, shape, scale
        self._form, self._consume = form, consume
        self._open = [0] * len(names)
        self._partial: dict[int, torch.Tensor] = {}
        self._done = 0
        self.forward = True

    def expect(self, index: int, name: str, inputs: torch.Tensor) -> None:
        """Count a use of a layer; gradient checkpointing repeats it during the backward pass."""
        if self.forward:
            self._open[index] += 1
            self._rows(inputs, name)

    def receive(self, index: int, inputs: torch.Tensor, grads: torch.Tensor) -> None:
        """Take what one use of a layer sends back."""
        name = self._names[index]
        values = self._form(index, self._rows(inputs, name), self._rows(grads, name))
        if self._scale != 1:
            values = values / self._scale
        if index in self._partial:
            values = self._partial.pop(index) + values
        self._open[index] -= 1
        if self._open[index]:
            self._partial[index] = values
        else:
            self._done += 1
            self._consume(index, values)

    def check_complete(self) -> None:
        """Refuse a model that left a layer out: its rows would lack numbers.

        Raises
        ------
        CheckpointError
        """
        if self._done != len(self._open):
            unused = next(name for name, uses in zip(self._names, self._open, strict=True) if not uses)
            raise CheckpointError(
                f"{len(self._open) - self._done} of {len(self._open)} layers got no gradient, such as {unused}:"
                " the model does not use them in its forward pass"
            )

    def _rows(self, values: torch.Tensor, name: str) -> torch.Tensor:
        """Values as (batch, tokens, numbers), or `MixedRowsError` if it is unclear whose tokens they are."""
        batch, tokens = self._shape
        if values.dim() == 3 and values.shape[0] == batch:
            return values
        if batch == 1:
            return values.reshape(1, -1, values.shape[-1])
        if values.dim() == 2 and len(values) == batch * tokens and ".experts." not in name:
            return values.reshape(batch, tokens, -1)
        raise MixedRowsError(name)


class _Watched(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, collector: Pass, index: int
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.collector, ctx.index = collector, index
        return functional.linear(inputs, weight)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.collector.receive(ctx.index, inputs, grad)
        return (grad @ weight if ctx.needs_input_grad[0] else None), None, None, None
