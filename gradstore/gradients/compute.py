"""From a range of rows to the finished rows of one chunk."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from gradstore.errors import GradstoreError
from gradstore.gradients.batches import padded_size, token_batches
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.observe import MixedRowsError
from gradstore.gradients.rows import RowMaker
from gradstore.progress import Log, unheard
from gradstore.records import NON_FINITE, ZERO, Example, GradientBlock, Row

__all__ = ["ChunkComputer", "Prepared"]

EMBEDDING = "rds"
# Each retry after an overflow in half precision divides the losses' factor by this.
SCALE_STEP = 16.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of one chunk, ready to be computed.

    Attributes
    ----------
    rows : sequence of Row
    examples : sequence of Example
    contents : ndarray of uint8, shape (n, 12)
        Hashes of the rows' contents.
    """

    rows: Sequence[Row]
    examples: Sequence[Example]
    contents: npt.NDArray[np.uint8]

    @property
    def tokens(self) -> int:
        """Tokens of the rows that have a gradient."""
        return sum(len(example.input_ids) for example in self.examples if not example.reason)


@dataclass(frozen=True, slots=True)
class _Batch:
    losses: npt.NDArray[np.float32]
    defects: list[str]
    rows: dict[str, npt.NDArray[np.float32]]

    def replace(self, members: npt.NDArray[np.int64], other: _Batch) -> None:
        """Take these rows from a batch of them alone."""
        self.losses[members] = other.losses
        for name, values in other.rows.items():
            self.rows[name][members] = values
        for member, defect in zip(members, other.defects, strict=True):
            self.defects[member] = defect


class ChunkComputer:
    """Computes chunks; every number in one depends on its rows alone.

    Parameters
    ----------
    engine : GradientEngine
        Entered by the caller.
    maker : RowMaker
        From what the engine gives to stored rows, for each direction.
    token_budget : int
        Largest number of tokens in a batch, padding included.
    embed_rows : bool
        Whether blocks carry the original rows.
    log : callable
        Hears when a batch had to be made smaller.

    Attributes
    ----------
    token_budget : int
        Halved when memory runs out, and kept so.
    """

    def __init__(
        self,
        engine: GradientEngine,
        maker: RowMaker,
        token_budget: int,
        *,
        embed_rows: bool = True,
        log: Log = unheard,
    ) -> None:
        self._engine, self._maker, self._embed_rows, self._log = engine, maker, embed_rows, log
        self.token_budget = token_budget

    def compute(
        self,
        chunk: Prepared,
        directions: Collection[str],
        on_rows: Callable[[int, int], object] = lambda _rows, _tokens: None,
    ) -> GradientBlock:
        """Rows of these directions, in the order given; `on_rows` hears of each batch's rows and tokens."""
        size = len(chunk.rows)
        losses = np.full(size, np.nan, dtype=np.float32)
        reasons = [example.reason for example in chunk.examples]
        stored = {name: np.zeros((size, self._maker.dims[name]), dtype=np.float32) for name in directions}
        batches = self._batches([i for i, reason in enumerate(reasons) if not reason], chunk.examples)
        while batches:
            members = batches.popleft()
            batch = self._try([chunk.examples[i] for i in members], directions)
            if batch is None:  # the budget is smaller now
                batches = self._batches([*members, *chain.from_iterable(batches)], chunk.examples)
                continue
            losses[members] = batch.losses
            for name, values in batch.rows.items():
                stored[name][members] = values
            for row, defect in zip(members, batch.defects, strict=True):
                reasons[row] = defect
            on_rows(len(members), sum(len(chunk.examples[i].input_ids) for i in members))
        valid = np.array([not reason for reason in reasons], dtype=np.bool_)
        losses[~valid] = np.nan
        for values in stored.values():
            values[~valid] = 0
        return GradientBlock(
            ids=[row.id for row in chunk.rows],
            sources=[row.source for row in chunk.rows],
            subtasks=[row.subtask for row in chunk.rows],
            reasons=reasons,
            records=[canonical_record(row) if self._embed_rows else b"" for row in chunk.rows],
            loss=losses,
            tokens=np.array([len(example.input_ids) for example in chunk.examples], dtype=np.int32),
            valid=valid,
            truncated=np.array([example.truncated for example in chunk.examples], dtype=np.bool_),
            contents=chunk.contents,
            gradients=stored,
        )

    def _batches(self, rows: Sequence[int], examples: Sequence[Example]) -> deque[list[int]]:
        batches = token_batches([len(examples[i].input_ids) for i in rows], self.token_budget)
        return deque([rows[i] for i in batch] for batch in batches)

    def _try(self, examples: Sequence[Example], directions: Collection[str]) -> _Batch | None:
        """One batch; None, and a smaller budget from now on, if it does not fit."""
        try:
            return self._run(examples, directions)
        except MixedRowsError as error:
            self.token_budget = 1
            self._log(f"{error} mixes the tokens of several rows: going on one row at a time")
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            size = padded_size([len(example.input_ids) for example in examples])
            if len(examples) == 1:
                raise GradstoreError(
                    f"not enough memory for one row of {size} tokens:"
                    " use `--gradient-checkpointing`, or a smaller `--max-length`"
                ) from error
            self.token_budget = size // 2
            self._log(f"not enough memory for {size} tokens at once: going on with {size // 2}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _run(
        self, examples: Sequence[Example], directions: Collection[str], scale: float | None = None
    ) -> _Batch:
        scale = self._engine.scale if scale is None else scale
        gradients = [name for name in directions if name != EMBEDDING]
        making = self._maker.begin(len(examples), gradients)
        result = self._engine.run(examples, making.take if gradients else None, scale)
        rows = making.finish()
        if EMBEDDING in directions:
            rows[EMBEDDING] = result.embeddings.cpu().numpy()
        largest = making.largest() if gradients else np.ones(len(examples), dtype=np.float32)
        finite = np.isfinite(largest)
        for values in rows.values():
            finite &= np.isfinite(values).all(axis=1)
        losses = result.losses.cpu().numpy()
        defects = np.where(finite, np.where(largest == 0, ZERO, ""), NON_FINITE).tolist()
        batch = _Batch(losses, defects, rows)
        overflowed = np.flatnonzero(~finite & np.isfinite(losses))
        if len(overflowed) and scale > 1:  # these rows alone: a row must not depend on others
            again = [examples[int(i)] for i in overflowed]
            batch.replace(overflowed, self._run(again, directions, scale / SCALE_STEP))
        return batch


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def canonical_record(row: Row) -> bytes:
    """The original row as JSON bytes, keys in their original order."""
    return json.dumps(dict(row.record), ensure_ascii=False, separators=(",", ":")).encode()
