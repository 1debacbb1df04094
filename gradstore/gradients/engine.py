"""Per-example LoRA gradients of a padded batch, in one forward and one backward pass.

Each LoRA matrix's forward is replaced, for the duration of a `GradientEngine`, by a function whose backward forms the
gradient of every example by one batched product (sum over tokens of output gradient times input) and hands it on at
once. The batch-summed weight gradient, which nobody needs, is never formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gradstore.checkpoint import LoadedModel
from gradstore.errors import CheckpointError
from gradstore.records import Example

__all__ = ["GradientEngine"]

IGNORED = -100
Consume = Callable[[int, torch.Tensor], None]


class GradientEngine:
    """Gives the gradient of each example of a batch to a consumer, one parameter after the other.

    Use as a context manager: on leaving, the model is as it was.

    Parameters
    ----------
    loaded : LoadedModel
        The model and its LoRA matrices.
    device : str
        Where the model lies.
    """

    def __init__(self, loaded: LoadedModel, device: str = "cpu") -> None:
        self._model = loaded.model
        self._linears = list(loaded.linears.values())
        self._device = device
        self._pass: _Pass | None = None
        self._learned: torch.Tensor | None = None
        self._handle: Any = None

    def __enter__(self) -> GradientEngine:
        head = self._model.get_output_embeddings()  # type: ignore[operator]
        if head is None:
            raise CheckpointError(
                "the model has no output embeddings; only causal language models are supported"
            )
        self._handle = head.register_forward_pre_hook(self._keep_learned)
        for index, linear in enumerate(self._linears):
            linear.forward = self._observed(index, linear)  # type: ignore[method-assign, assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()
        for linear in self._linears:
            del linear.forward

    def run(self, examples: Sequence[Example], consume: Consume) -> torch.Tensor:
        """Run one batch.

        Parameters
        ----------
        examples : sequence of Example
            Each with at least one learned token after the first.
        consume : callable(parameter, gradients)
            Called once for each parameter with its gradients, float32 of shape (batch, d), row-major; in the order in
            which the backward pass finishes them.

        Returns
        -------
        tensor of float32, shape (batch,)
            Mean cross-entropy over each example's own learned tokens.
        """
        inputs, targets = self._pad(examples)
        # Padding is on the right and attention is causal: no real token sees it, so no mask is needed.
        learned = targets != IGNORED
        self._learned = learned.flatten()
        self._pass = _Pass(len(self._linears), consume)
        logits = self._model(input_ids=inputs, use_cache=False).logits[0]
        token_loss = torch.zeros(learned.shape, dtype=torch.float32, device=self._device)
        token_loss[learned] = functional.cross_entropy(logits.float(), targets[learned], reduction="none")
        losses = token_loss.sum(1) / learned.sum(1)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._pass.check_complete()
        return losses.detach()

    def _pad(self, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        length = max(len(example.input_ids) for example in examples)
        inputs = np.zeros((len(examples), length), dtype=np.int64)
        targets = np.full((len(examples), length), IGNORED, dtype=np.int64)
        for row, example in enumerate(examples):
            size = len(example.input_ids)
            inputs[row, :size] = example.input_ids
            targets[row, : size - 1] = example.labels[1:]  # the token after each position is what it predicts
        return torch.from_numpy(inputs).to(self._device), torch.from_numpy(targets).to(self._device)

    def _keep_learned(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Give the output layer only the positions that predict a learned token."""
        hidden = args[0]
        return (hidden.flatten(0, 1)[self._learned].unsqueeze(0), *args[1:])

    def _observed(self, index: int, linear: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(inputs: torch.Tensor) -> torch.Tensor:
            if self._pass is None:
                return functional.linear(inputs, linear.weight, linear.bias)
            self._pass.expect(index)
            return _PerExampleLinear.apply(inputs, linear.weight, self._pass, index)  # type: ignore[no-any-return,no-untyped-call]

        return forward


class _Pass:
    """Collects one batch's gradients; a matrix used several times is complete when its last use came back."""

    def __init__(self, parameters: int, consume: Consume) -> None:
        self._open = [0] * parameters
        self._partial: dict[int, torch.Tensor] = {}
        self._consume = consume
        self._done = 0

    def expect(self, index: int) -> None:
        self._open[index] += 1

    def receive(self, index: int, gradients: torch.Tensor) -> None:
        if index in self._partial:
            gradients = self._partial.pop(index) + gradients
        self._open[index] -= 1
        if self._open[index]:
            self._partial[index] = gradients
        else:
            self._done += 1
            self._consume(index, gradients)

    def check_complete(self) -> None:
        if self._done != len(self._open):
            raise CheckpointError(
                f"{len(self._open) - self._done} of {len(self._open)} LoRA matrices got no gradient:"
                " the model does not use them in its forward pass"
            )


class _PerExampleLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, collector: _Pass, index: int
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.collector, ctx.index = collector, index
        return functional.linear(inputs, weight)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        per_example = torch.bmm(grad.transpose(1, 2), inputs)
        ctx.collector.receive(ctx.index, per_example.flatten(1).float())
        return (grad @ weight if ctx.needs_input_grad[0] else None), None, None, None
