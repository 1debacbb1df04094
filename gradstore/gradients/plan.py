"""`plan` and `show`: look before you compute."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from gradstore.checkpoint import CheckpointFolder, load_model, load_moments
from gradstore.data import load_rows
from gradstore.data import show as show_example
from gradstore.gradients.batches import token_batches
from gradstore.gradients.compute import ChunkComputer
from gradstore.gradients.directions import needs_moments, prepare_directions
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.extract import make_identity
from gradstore.gradients.prepare import Options, Settings, Tokenised, resolve_checkpoints, tokenise
from gradstore.gradients.projection import make_projector, total_size
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.store import forecast

__all__ = ["Plan", "plan", "show"]

PROBED_BATCHES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What an extraction would do.

    Attributes
    ----------
    checkpoint, fmt : str
    rows, tokens, truncated, duplicates : int
    invalid : dict from reason to int
    trained_parameters : int
        D, the length of a raw gradient.
    chunks_total, chunks_missing : int
    bytes : int
        Size of the finished gradients; columns and original rows add little.
    seconds_estimate : float
        From a short probe, for the missing chunks.
    tokens_per_second : float
        Of that probe.
    memory_estimate : int
        Bytes that this process held at its peak, the probe's largest batch included.
    """

    checkpoint: str
    fmt: str
    rows: int
    tokens: int
    truncated: int
    duplicates: int
    invalid: dict[str, int]
    trained_parameters: int
    chunks_total: int
    chunks_missing: int
    bytes: int
    seconds_estimate: float
    tokens_per_second: float
    memory_estimate: int


def plan(
    store: str | Path,
    *,
    checkpoints: Sequence[str | Path],
    data: str | Path,
    name: str,
    target: bool = False,
    directions: Sequence[str] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
    **settings: Unpack[Options],
) -> list[Plan]:
    """What `extract` with the same arguments would do; computes a few batches and writes nothing.

    Returns
    -------
    list of Plan
        One for each checkpoint.
    """
    job = Settings(data=Path(data), name=name, target=target, directions=tuple(directions or ()), **settings)
    job.check()
    plans = []
    for folder in resolve_checkpoints(checkpoints):
        log(f"{folder.name}: probing")
        plans.append(_plan_one(store, folder, tokenise(job, folder, progress=progress), job))
    return plans


def show(
    *,
    checkpoints: Sequence[str | Path],
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
    tokenised = tokenise(job, resolve_checkpoints(checkpoints)[0], file=file)
    return [show_example(example, tokenised.tokenizer) for example in tokenised.examples]


def _plan_one(store: str | Path, folder: CheckpointFolder, tokenised: Tokenised, job: Settings) -> Plan:
    device = job.resolved_device()
    loaded = load_model(folder, base=job.base, device=device, dtype=job.resolved_dtype())
    directions = job.resolved_directions()
    moments = load_moments(folder.path, loaded.parameters) if needs_moments(directions) else None
    identity = make_identity(folder, loaded, tokenised, job)
    size = forecast(
        store,
        checkpoint=folder.name,
        name=job.name,
        rows=len(tokenised.examples),
        dim=identity.projection.dim,
        directions=directions,
        encoding=job.encoding,
        chunk_rows=job.chunk_rows,
    )
    projector = make_projector(identity.projection, loaded.parameters, device)
    ready = prepare_directions(directions, loaded.parameters, moments, device)
    with GradientEngine(loaded, device) as engine:
        computer = ChunkComputer(engine, ready, projector, job.resolved_token_budget())
        speed = _probe(computer, tokenised)
    missing = size.missing / size.chunks if size.chunks else 0.0
    return Plan(
        checkpoint=folder.name,
        fmt=tokenised.file.fmt,
        rows=len(tokenised.examples),
        tokens=tokenised.tokens,
        truncated=tokenised.truncated,
        duplicates=tokenised.file.duplicates,
        invalid=tokenised.invalid,
        trained_parameters=total_size(loaded.parameters),
        chunks_total=size.chunks,
        chunks_missing=size.missing,
        bytes=size.bytes,
        seconds_estimate=tokenised.tokens * missing / speed,
        tokens_per_second=speed,
        memory_estimate=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _probe(computer: ChunkComputer, tokenised: Tokenised) -> float:
    """Tokens per second of a few batches: the longest, which needs most memory, and some in between."""
    rows, examples = tokenised.file.rows, tokenised.examples
    learnable = [i for i, example in enumerate(examples) if not example.reason]
    batches = token_batches([len(examples[i].input_ids) for i in learnable], computer.token_budget)
    step = max(1, len(batches) // PROBED_BATCHES)
    chosen = [[learnable[i] for i in batch] for batch in batches[::step][:PROBED_BATCHES]]
    tokens = 0
    started = time.monotonic()
    for position, members in enumerate([chosen[0], *chosen]):  # the first one warms up
        if position == 1:
            started = time.monotonic()
            tokens = 0
        computer.compute([rows[i] for i in members], [examples[i] for i in members], lambda _tokens: None)
        tokens += sum(len(examples[i].input_ids) for i in members)
    return tokens / max(time.monotonic() - started, 1e-9)
