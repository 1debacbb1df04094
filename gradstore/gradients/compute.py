"""From a range of rows to the finished rows of one chunk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gradstore.gradients.batches import token_batches
from gradstore.gradients.directions import Direction
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.projection import Projector
from gradstore.records import Example, GradientBlock, Row

__all__ = ["ChunkComputer"]


@dataclass(frozen=True, slots=True)
class ChunkComputer:
    """Computes chunks; every number in one depends on its rows alone.

    Attributes
    ----------
    engine : GradientEngine
        Entered by the caller.
    directions : sequence of Direction
    projector : Projector
    token_budget : int
    embed_rows : bool
        Whether blocks carry the original rows.
    """

    engine: GradientEngine
    directions: Sequence[Direction]
    projector: Projector
    token_budget: int
    embed_rows: bool = True

    def compute(
        self, rows: Sequence[Row], examples: Sequence[Example], on_tokens: Callable[[int], object]
    ) -> GradientBlock:
        """Gradients of these rows, in their order; `on_tokens` hears of each batch's tokens."""
        size = len(rows)
        losses = np.full(size, np.nan, dtype=np.float32)
        reasons = [example.reason for example in examples]
        stored = {d.name: np.zeros((size, self.projector.dim), dtype=np.float32) for d in self.directions}
        learnable = [i for i, reason in enumerate(reasons) if not reason]
        for batch in token_batches([len(examples[i].input_ids) for i in learnable], self.token_budget):
            members = [learnable[i] for i in batch]
            loss, energy, projected = self._run([examples[i] for i in members])
            losses[members] = loss
            for name, values in projected.items():
                stored[name][members] = values
            for position, row in enumerate(members):
                reasons[row] = _defect(energy[position], [values[position] for values in projected.values()])
            on_tokens(sum(len(examples[i].input_ids) for i in members))
        valid = np.array([not reason for reason in reasons], dtype=np.bool_)
        losses[~valid] = np.nan
        for values in stored.values():
            values[~valid] = 0
        return GradientBlock(
            ids=[row.id for row in rows],
            sources=[row.source for row in rows],
            subtasks=[row.subtask for row in rows],
            reasons=reasons,
            records=[canonical_record(row) if self.embed_rows else b"" for row in rows],
            loss=losses,
            tokens=np.array([len(example.input_ids) for example in examples], dtype=np.int32),
            valid=valid,
            gradients=stored,
        )

    def _run(
        self, batch: Sequence[Example]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]]]:
        """Losses, squared norms of the raw gradients, and projected rows of one batch."""
        buffers = {direction.name: self.projector.begin(len(batch)) for direction in self.directions}
        energy = []

        def consume(parameter: int, gradients: torch.Tensor) -> None:
            energy.append(gradients.square().sum(1))
            for direction in self.directions:
                self.projector.add(
                    buffers[direction.name], parameter, direction.transform(parameter, gradients)
                )

        losses = self.engine.run(batch, consume)
        rows = {name: self.projector.finish(buffer).cpu().numpy() for name, buffer in buffers.items()}
        return losses.cpu().numpy(), torch.stack(energy).sum(0).cpu().numpy(), rows


def canonical_record(row: Row) -> bytes:
    """The original row as JSON bytes, keys in their original order."""
    return json.dumps(dict(row.record), ensure_ascii=False, separators=(",", ":")).encode()


def _defect(energy: float, values: Sequence[npt.NDArray[np.float32]]) -> str:
    if not np.isfinite(energy) or not all(np.isfinite(v).all() for v in values):
        return "non-finite gradient"
    return "zero gradient" if energy == 0 else ""
