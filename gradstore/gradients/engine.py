"""Per-example gradients of a padded batch, in one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn

from gradstore.checkpoint import LoadedModel
from gradstore.gradients.observe import Consume, Form, Observed, weight_gradients
from gradstore.gradients.output import OutputLayer
from gradstore.records import Example

__all__ = ["BatchResult", "GradientEngine"]

IGNORED = -100
# Half precision loses gradients below 6e-8: losses are multiplied by this, and gradients divided by it in float32.
HALF_SCALE = 2.0**14


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch gives beside its gradients.

    Attributes
    ----------
    losses : tensor of float32, shape (batch,)
        Mean cross-entropy over each example's own learned tokens.
    embeddings : tensor of float32, shape (batch, hidden)
        Mean of the last hidden states, position t weighted by t (RDS+, arXiv 2503.01807).
    """

    losses: torch.Tensor
    embeddings: torch.Tensor


class GradientEngine:
    """Gives the gradient of each example of a batch to a consumer, one layer after the other.

    Use as a context manager: on leaving, the model is as it was.

    Parameters
    ----------
    loaded : LoadedModel
        The model and its attributed layers.
    device : str
        Where the model lies.
    form : Form
        What is made of each layer's inputs and output gradients: by default its weight gradient.
    checkpointing : bool
        Keep only the inputs of each block and compute the rest again on the way back: a third more work, much less
        memory.

    Attributes
    ----------
    scale : float
        Factor of the losses during the backward pass, a power of two; above 1 in half precision only.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        device: str = "cpu",
        *,
        form: Form = weight_gradients,
        checkpointing: bool = False,
    ) -> None:
        self._device = device
        self._causal = loaded.causal
        self._output = OutputLayer(loaded.causal, device)
        self._observed = Observed(loaded.model, loaded.linears, form)
        self._checkpointing = checkpointing
        self._exit = ExitStack()
        self.scale = HALF_SCALE if loaded.causal.dtype == torch.float16 else 1.0

    def __enter__(self) -> GradientEngine:
        self._exit.enter_context(self._observed)
        if self._checkpointing:
            self._exit.enter_context(checkpointed(self._causal))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def run(
        self, examples: Sequence[Example], consume: Consume | None, scale: float | None = None
    ) -> BatchResult:
        """Run one batch.

        Parameters
        ----------
        examples : sequence of Example
            Each with at least one learned token after the first.
        consume : callable(layer, values), or None
            Called once for each layer with what the form made, such as gradients of shape (batch, d) in float32; in
            the order in which the backward pass finishes them. Without it there is no backward pass.
        scale : float, optional
            What losses are multiplied by, and gradients divided by in float32. Default: the attribute of that name.

        Raises
        ------
        CheckpointError
            If the model does not use one of its layers.
        MixedRowsError
            If a layer mixes the tokens of several rows (experts that gather theirs); a batch of one works.
        """
        scale = self.scale if scale is None else scale
        inputs, targets = self._pad(examples)
        learned = targets != IGNORED
        with torch.set_grad_enabled(consume is not None):
            rows, length = inputs.shape
            watched = self._observed.begin(rows, length, scale, consume) if consume else None
            hidden = self._output.body(inputs)
            positions = hidden[learned]
            counts = learned.sum(1)
            # Each example's loss is the mean over its own tokens, whoever else is in the batch.
            shares = (scale / counts).repeat_interleave(counts)
            token_losses, slopes = self._output.losses(positions, targets[learned], shares)
            if watched is not None and slopes is not None:
                watched.forward = False
                positions.backward(slopes)  # type: ignore[no-untyped-call]
                watched.check_complete()
        losses = torch.zeros(learned.shape, dtype=torch.float32, device=self._device)
        losses[learned] = token_losses
        lengths = [len(example.input_ids) for example in examples]
        return BatchResult(losses.sum(1) / counts, weighted_mean(hidden.detach(), lengths))

    def _pad(self, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
        length = max(len(example.input_ids) for example in examples)
        inputs = np.zeros((len(examples), length), dtype=np.int64)
        targets = np.full((len(examples), length), IGNORED, dtype=np.int64)
        for row, example in enumerate(examples):
            size = len(example.input_ids)
            inputs[row, :size] = example.input_ids
            targets[row, : size - 1] = example.labels[1:]  # the token after each position is what it predicts
        return torch.from_numpy(inputs).to(self._device), torch.from_numpy(targets).to(self._device)


def weighted_mean(hidden: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Mean of the first ``lengths[i]`` states of row i, position t (from 1) weighted by t; in float32."""
    weights = torch.zeros(hidden.shape[:2], dtype=torch.float32)
    for row, length in enumerate(lengths):
        weights[row, :length] = torch.arange(1, length + 1) * (2 / (length * (length + 1)))
    return torch.bmm(weights.to(hidden.device).unsqueeze(1), hidden.float()).squeeze(1)


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Gradient checkpointing for a model in evaluation mode.

    transformers checkpoints a block only while it trains. Only the blocks are told so, not the layers inside them, and
    what a block drops itself (OPT) is set to nothing.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks: list[Any] = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    dropped = [
        (block, name, value)
        for block in blocks
        for name, value in vars(block).items()
        if "drop" in name and isinstance(value, float)
    ]
    causal: Any = model
    new = hasattr(causal, "activation_checkpointing_enable")  # transformers has changed the name
    enable = causal.activation_checkpointing_enable if new else causal.gradient_checkpointing_enable
    disable = causal.activation_checkpointing_disable if new else causal.gradient_checkpointing_disable
    enable({"use_reentrant": False})
    for block in blocks:
        block.training = True
    for block, name, _ in dropped:
        setattr(block, name, 0.0)
    try:
        yield
    finally:
        for block in blocks:
            block.training = False
        for block, name, value in dropped:
            setattr(block, name, value)
        disable()
