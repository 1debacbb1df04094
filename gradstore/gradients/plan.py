"""`plan` and `show`: look before you compute."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from gradstore.data import load_rows
from gradstore.data import show as show_example
from gradstore.gradients.batches import token_batches
from gradstore.gradients.compute import ChunkComputer, Prepared
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.kept import jobs_of
from gradstore.gradients.projection import total_size
from gradstore.gradients.segments import segments
from gradstore.gradients.session import Session, checkpoint_key, open_session
from gradstore.gradients.settings import Options, Settings
from gradstore.gradients.tokens import Tokens, tokens_of
from gradstore.parts import share_of
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.store import forecast

__all__ = ["Plan", "plan", "show"]

PROBED_BATCHES = 3
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What an extraction would do.

    Attributes
    ----------
    checkpoint, name, fmt : str
    continues : str
        The data set whose file has grown by these rows; or nothing.
    rows, tokens, truncated, duplicates : int
    invalid : dict from reason to int
    trained_parameters : int
        D, the length of a raw gradient.
    unattributed : tuple of str
        Trained parameters whose gradients are not part of the rows.
    batch_rows : float
        Rows of a batch, on average; the largest that the probe found to fit in memory.
    chunks_total, chunks_missing : int
        All chunks, and those that this process would compute.
    bytes : int
        Size of the finished gradients; columns and original rows add little.
    seconds_estimate, chunk_seconds : float
        From a short probe: for the missing chunks, and for one; 0 where no row has a learned token.
    tokens_per_second : float
        Of that probe.
    memory_estimate : int
        Bytes that this process held at its peak, on a GPU those of the GPU; the probe's largest batch included.
    """

    checkpoint: str
    name: str
    fmt: str
    continues: str
    rows: int
    tokens: int
    truncated: int
    duplicates: int
    invalid: dict[str, int]
    trained_parameters: int
    unattributed: tuple[str, ...]
    batch_rows: float
    chunks_total: int
    chunks_missing: int
    bytes: int
    seconds_estimate: float
    chunk_seconds: float
    tokens_per_second: float
    memory_estimate: int


def plan(
    store: str | Path,
    *,
    checkpoints: str | Path | Sequence[str | Path],
    data: str | Path,
    name: str,
    target: bool = False,
    directions: str | Sequence[str] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
    **settings: Unpack[Options],
) -> list[Plan]:
    """What `extract` with the same arguments would do; computes a few batches and writes nothing.

    Returns
    -------
    list of Plan
        One for each checkpoint and data set.
    """
    wanted = (directions,) if isinstance(directions, str) else tuple(directions or ())
    job = Settings(data=Path(data), name=name, target=target, directions=wanted, **settings)
    job.check()
    file = load_rows(job.data, fmt=job.fmt)
    plans = []
    with jobs_of(checkpoints, store, job) as jobs:
        for folder, its in jobs:
            tokens = tokens_of(file, folder, its)
            tokens.check_some_learned()
            log(f"{folder.name}: probing")
            session = open_session(folder, tokens, its)
            for segment, part in segments(store, checkpoint_key(folder, its), name, file):
                plans.append(_plan_one(store, segment, replace(tokens, file=part), session, progress, log))
    return plans


def show(
    store: str | Path,
    *,
    checkpoints: str | Path | Sequence[str | Path],
    data: str | Path,
    count: int = 3,
    max_length: int = 2048,
    base: str | None = None,
    chat_template: str | None = None,
    fmt: str | None = None,
) -> list[str]:
    """The first `count` rows as the model will see them, the learned tokens marked."""
    job = Settings(
        data=Path(data), name="", max_length=max_length, base=base, chat_template=chat_template, fmt=fmt
    )
    file = load_rows(data, fmt=fmt, limit=count)
    with jobs_of(checkpoints, store, job) as jobs:
        tokens = tokens_of(file, *jobs[0])
        return [show_example(example, tokens.tokenizer) for example in tokens.examples(0, len(file.rows))]


@dataclass(frozen=True, slots=True)
class _Census:
    """Every row of a file as a few numbers."""

    lengths: list[int]
    invalid: Counter[str]
    truncated: int

    @classmethod
    def of(cls, tokens: Tokens, progress: Progress) -> _Census:
        lengths, invalid, truncated = [], Counter[str](), 0
        total = len(tokens.file.rows)
        with progress(total, "rows", "tokenising") as bar:
            for start in range(0, total, BLOCK):
                examples = tokens.examples(start, min(total, start + BLOCK))
                lengths += [0 if example.reason else len(example.input_ids) for example in examples]
                invalid.update(example.reason for example in examples if example.reason)
                truncated += sum(example.truncated for example in examples)
                bar.update(len(examples))
        return cls(lengths, invalid, truncated)


def _plan_one(
    store: str | Path, name: str, tokens: Tokens, session: Session, progress: Progress, log: Log
) -> Plan:
    job, file, key = session.job, tokens.file, checkpoint_key(session.folder, session.job)
    census = _Census.of(tokens, progress)
    size = forecast(
        store,
        checkpoint=key,
        name=name,
        rows=len(file.rows),
        directions=session.dims,
        encoding=job.encoding,
        chunk_rows=job.chunk_rows,
    )
    mine = len(share_of(job.part, os.environ).expected(size.missing))
    maker = session.row_maker(session.dims)
    with GradientEngine(
        session.loaded,
        job.resolved_device(),
        form=maker.source.form,
        checkpointing=job.gradient_checkpointing,
    ) as engine:
        computer = ChunkComputer(engine, maker, job.resolved_token_budget(), log=log)
        speed = _probe(computer, tokens, census, tuple(session.dims))
    learnable = [length for length in census.lengths if length]
    batches = token_batches(learnable, computer.token_budget)
    total = sum(learnable)
    chunk_seconds = total / size.chunks / speed if learnable else 0.0
    return Plan(
        checkpoint=key,
        name=name,
        fmt=file.fmt,
        continues="" if name == job.name else job.name,
        rows=len(file.rows),
        tokens=total,
        truncated=census.truncated,
        duplicates=file.duplicates,
        invalid=dict(census.invalid),
        trained_parameters=total_size(session.identity.parameters),
        unattributed=session.loaded.unattributed,
        batch_rows=len(learnable) / max(1, len(batches)),
        chunks_total=size.chunks,
        chunks_missing=mine,
        bytes=size.bytes,
        seconds_estimate=chunk_seconds * mine,
        chunk_seconds=chunk_seconds,
        tokens_per_second=speed,
        memory_estimate=_peak(job.resolved_device()),
    )


def _probe(computer: ChunkComputer, tokens: Tokens, census: _Census, directions: Sequence[str]) -> float:
    """Tokens per second of a few batches: the longest, which needs most memory, and some in between."""
    learnable = [row for row, length in enumerate(census.lengths) if length]
    batches = token_batches([census.lengths[row] for row in learnable], computer.token_budget)
    step = max(1, len(batches) // PROBED_BATCHES)
    chosen = [[learnable[i] for i in batch] for batch in batches[::step][:PROBED_BATCHES]]
    seen, started = 0, time.monotonic()
    for position, members in enumerate([*chosen[:1], *chosen]):  # the first one warms up
        if position == 1:
            seen, started = 0, time.monotonic()
        rows = [tokens.file.rows[row] for row in members]
        examples = tokens.chat.encode_all(rows, tokens.file.fmt)
        computer.compute(Prepared(rows, examples, tokens.file.contents[members]), directions)
        seen += sum(len(example.input_ids) for example in examples)
    return seen / max(time.monotonic() - started, 1e-9)


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
