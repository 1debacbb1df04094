"""The output layer, run only where a label is learned and on as many positions at once as fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from gradstore.errors import CheckpointError

__all__ = ["OutputLayer"]

# Logits are held for so many bytes of positions at a time, but for no fewer positions than these: a CPU's caches are
# small, and a GPU wants large products.
LOGIT_BYTES = {"cpu": 4 << 20, "gpu": 1 << 30}
FEWEST_POSITIONS = 256


class OutputLayer:
    """A causal language model in two parts: its body, and all that it does to the body's last hidden states.

    The second part is the model's own forward with the body replaced by what it has computed already, so whatever the
    model does to logits (soft-capping, scaling) stays its own.

    Parameters
    ----------
    causal : torch.nn.Module
        A transformers model "for causal language modelling".
    device : str

    Raises
    ------
    CheckpointError
        If the model is not made of a body and an output layer.
    """

    def __init__(self, causal: nn.Module, device: str) -> None:
        self._causal = causal
        self._body: nn.Module = causal.get_decoder()  # type: ignore[operator]
        head: Any = causal.get_output_embeddings()  # type: ignore[operator]
        if head is None or self._body is causal:
            raise CheckpointError(
                "the model has no body and output embeddings; only causal language models are supported"
            )
        vocabulary = int(head.weight.shape[0])
        self._piece = max(
            FEWEST_POSITIONS,
            LOGIT_BYTES["cpu" if torch.device(device).type == "cpu" else "gpu"] // (4 * vocabulary),
        )

    def body(self, tokens: torch.Tensor) -> torch.Tensor:
        """Last hidden states, shape (batch, tokens, hidden), of right-padded token ids.

        Padding is on the right and attention is causal: no real token sees it, so no mask is needed.
        """
        self._output = self._body(input_ids=tokens, use_cache=False)
        self._some_tokens = tokens[:1, :1]
        hidden: torch.Tensor = self._output[0]
        return hidden

    def losses(
        self, hidden: torch.Tensor, targets: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Cross-entropy at each position, and the gradient with respect to the hidden states.

        Parameters
        ----------
        hidden : tensor of shape (positions, hidden)
        targets : tensor of int64, shape (positions,)
        shares : tensor of float32, shape (positions,)
            What each position's loss is multiplied by before its gradient is taken.

        Returns
        -------
        tensor of float32, shape (positions,)
        tensor of shape (positions, hidden), or None without gradients
            Of each position's own loss, times its share.
        """
        losses: list[torch.Tensor] = []
        slopes: list[torch.Tensor] = []
        for start in range(0, len(hidden), self._piece):
            piece = hidden[start : start + self._piece].detach().requires_grad_(torch.is_grad_enabled())
            with self._given(piece):
                logits = self._causal(input_ids=self._some_tokens, use_cache=False).logits[0]
            loss: torch.Tensor = _CrossEntropy.apply(logits.float(), targets[start : start + self._piece])  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            if piece.requires_grad:
                slopes.extend(torch.autograd.grad(loss, piece, shares[start : start + self._piece]))
        return torch.cat(losses), torch.cat(slopes) if slopes else None

    @contextmanager
    def _given(self, hidden: torch.Tensor) -> Iterator[None]:
        """Let the body return these hidden states as one sequence."""
        output = type(self._output)(last_hidden_state=hidden.unsqueeze(0))
        asked = False

        def computed(*_: Any, **__: Any) -> Any:
            nonlocal asked
            asked = True
            return output

        self._body.forward = computed
        try:
            yield
        finally:
            del self._body.forward
        if not asked:
            raise CheckpointError(
                f"{type(self._causal).__name__} does not call its decoder as other causal language models do;"
                " it is not supported"
            )


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy of each position, whose backward pass takes one array of the logits' size less than torch's."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        at = targets.unsqueeze(1)
        logs = torch.log_softmax(logits, dim=1)
        losses = logs.gather(1, at).squeeze(1).neg_()
        slopes = logs.exp_()
        slopes.scatter_add_(1, at, slopes.new_full((1, 1), -1).expand_as(at))
        ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return slopes.mul_(grad.unsqueeze(1)), None
