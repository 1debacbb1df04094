"""Tokenising, computing and writing at once: one chunk is computed while the next is tokenised and the last written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from gradstore.gradients.compute import ChunkComputer, Prepared
from gradstore.parts import Share
from gradstore.progress import Bar
from gradstore.records import GradientBlock
from gradstore.store import Claim, DatasetWriter

__all__ = ["Tally", "compute_chunks"]


@dataclass(slots=True)
class Tally:
    """What this process computed.

    Attributes
    ----------
    chunks, rows, valid, truncated, tokens : int
    invalid : dict from reason to int
    """

    chunks: int = 0
    rows: int = 0
    valid: int = 0
    truncated: int = 0
    tokens: int = 0
    invalid: dict[str, int] = field(default_factory=dict)

    def add(self, block: GradientBlock) -> None:
        """Count one chunk."""
        self.chunks += 1
        self.rows += len(block.ids)
        self.valid += int(block.valid.sum())
        self.truncated += int(block.truncated.sum())
        self.tokens += int(block.tokens[block.valid].sum())
        for reason in block.reasons:
            if reason:
                self.invalid[reason] = self.invalid.get(reason, 0) + 1


class Outlook:
    """Tells a bar how many tokens there will be: those of tokenised chunks, and a guess for the others by bytes."""

    def __init__(self, bar: Bar, sizes: dict[int, int], rows: int) -> None:
        self._bar, self._sizes, self._rows = bar, sizes, rows
        self._bytes = self._tokens = self._done = 0

    def prepared(self, chunk: int, tokens: int) -> None:
        """A chunk is tokenised."""
        self._bytes += self._sizes.pop(chunk, 0)
        self._tokens += tokens

    def computed(self, rows: int, tokens: int) -> None:
        """Some rows are computed."""
        self._done += rows
        left = sum(self._sizes.values()) * self._tokens // max(1, self._bytes)
        self._bar.estimate(self._tokens + left, f"{self._done:,}/{max(self._rows, self._done):,} rows")
        self._bar.update(tokens)


def compute_chunks(
    writer: DatasetWriter,
    share: Share,
    prepare: Callable[[range], Prepared],
    computer: ChunkComputer,
    outlook: Outlook,
) -> Tally:
    """Compute every chunk that this process may take, until there is none left that nobody has.

    When it is interrupted or fails, chunks that are computed are written first; no thread and no claim is left.
    """
    tally = Tally()
    held: list[Claim] = []
    todo = _claims(writer, share, held)

    def next_prepared() -> tuple[Claim, Prepared] | None:
        claim = next(todo, None)
        return None if claim is None else (claim, prepare(writer.chunks[claim.chunk]))

    def write(claim: Claim, block: GradientBlock) -> None:
        claim.write(block)
        claim.release()
        held.remove(claim)
        tally.add(block)

    try:
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as behind:
            coming = ahead.submit(next_prepared)
            written: Future[None] | None = None
            while (work := coming.result()) is not None:
                coming = ahead.submit(next_prepared)
                claim, chunk = work
                outlook.prepared(claim.chunk, chunk.tokens)
                block = computer.compute(chunk, claim.directions, outlook.computed)
                outlook.computed(sum(bool(example.reason) for example in chunk.examples), 0)
                if written is not None:
                    written.result()
                written = behind.submit(write, claim, block)
            if written is not None:
                written.result()
    finally:
        for claim in held:
            claim.release()
    return tally


def _claims(writer: DatasetWriter, share: Share, held: list[Claim]) -> Iterator[Claim]:
    """Chunks of this process's share that nobody else has, again and again until there is none."""
    found = True
    while found:
        found = False
        for chunk in share.order(writer.missing()):
            claim = writer.claim(chunk)
            if claim is not None:
                found = True
                held.append(claim)
                yield claim
