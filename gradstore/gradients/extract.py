"""`extract`: examples x checkpoints -> projected per-example gradients, in a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

from gradstore.checkpoint import CheckpointFolder, LoadedModel, load_model, load_moments
from gradstore.errors import DataError
from gradstore.gradients.compute import ChunkComputer
from gradstore.gradients.directions import needs_moments, prepare_directions
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.prepare import Options, Settings, Tokenised, resolve_checkpoints, tokenise
from gradstore.gradients.projection import make_projector, total_size
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.records import CheckpointIdentity
from gradstore.store import Dataset, DatasetWriter

__all__ = ["ExtractReport", "extract"]


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What one checkpoint's extraction did.

    Attributes
    ----------
    checkpoint, name : str
        Where the data set lies in the store.
    rows, valid, truncated, duplicates, tokens : int
        `duplicates` are rows whose content repeats an earlier row's; they are kept.
    invalid : dict from reason to int
        Rows without a gradient; they are in the store, marked as such.
    directions : tuple of str
    fmt : str
        The rows' format.
    chunks, computed_chunks : int
        All chunks, and those that this run computed.
    bytes : int
        Size of the data set in the store.
    seconds : float
        Time spent computing and writing.
    """

    checkpoint: str
    name: str
    rows: int
    valid: int
    truncated: int
    duplicates: int
    tokens: int
    invalid: dict[str, int]
    directions: tuple[str, ...]
    fmt: str
    chunks: int
    computed_chunks: int
    bytes: int
    seconds: float


def extract(
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
) -> list[ExtractReport]:
    """Write the projected gradient of every row to the store.

    Interrupt it at any moment and call it again with the same arguments: it goes on after the last finished chunk, and
    the store ends up byte-identical to that of an uninterrupted run.

    Parameters
    ----------
    store : path
        The store; made if there is none.
    checkpoints : sequence of paths
        Checkpoint folders, or run folders whose checkpoints are all used.
    data : path
        Rows as jsonl, jsonl.gz, json, parquet or a ``datasets`` folder.
    name : str
        What the data set is called in the store.
    target : bool
        Whether it is a target to select for, rather than a pool to select from.
    directions : sequence of str, optional
        Any of ``sgd``, ``sign``, ``adam``, ``precond``, ``adam-true``; by default ``adam``, for a target ``sgd``.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a context manager with ``update(n)``; ``log(line)`` hears what happens.
    **settings
        Attributes of `Settings` by name: ``projection``, ``dim``, ``seed``, ``encoding``, ``chunk_rows``,
        ``token_budget``, ``max_length``, ``base``, ``chat_template``, ``fmt``, ``device``, ``dtype``, ``embed_rows``.

    Returns
    -------
    list of ExtractReport
        One for each checkpoint.

    Raises
    ------
    DataError, CheckpointError, UsageError
        If the input is not what it should be; the message says where and what to do.
    IncompatibleError
        If the store holds rows of another model, template or projection under the same checkpoint name.
    """
    job = Settings(data=Path(data), name=name, target=target, directions=tuple(directions or ()), **settings)
    job.check()
    reports: list[ExtractReport] = []
    tokenised: Tokenised | None = None
    run: Path | None = None
    for folder in resolve_checkpoints(checkpoints):
        if tokenised is None or folder.path.parent != run:  # the checkpoints of one run share a tokenizer
            file = tokenised.file if tokenised else None
            tokenised, run = tokenise(job, folder, file=file, progress=progress), folder.path.parent
            _describe(tokenised, job, log)
        reports.append(_extract_one(store, folder, tokenised, job, progress, log))
    return reports


def _describe(tokenised: Tokenised, job: Settings, log: Log) -> None:
    file = tokenised.file
    how = "detected" if file.detected else "given"
    log(f"{job.data}: {len(file.rows)} rows, format {file.fmt} ({how}), {file.duplicates} duplicates")
    invalid = tokenised.invalid
    for reason, count in sorted(invalid.items()):
        log(f"{count} rows have no gradient: {reason}")
    if sum(invalid.values()) == len(file.rows):
        raise DataError(f"{job.data}: no row has a learned token ({'; '.join(invalid)}); see `--show 3`")


def _extract_one(
    store: str | Path,
    folder: CheckpointFolder,
    tokenised: Tokenised,
    job: Settings,
    progress: Progress,
    log: Log,
) -> ExtractReport:
    directions = job.resolved_directions()
    device = job.resolved_device()
    log(f"{folder.name}: loading")
    loaded = load_model(folder, base=job.base, device=device, dtype=job.resolved_dtype())
    _check_vocabulary(loaded, tokenised)
    moments = load_moments(folder.path, loaded.parameters) if needs_moments(directions) else None
    identity = make_identity(folder, loaded, tokenised, job)
    rows, examples = tokenised.file.rows, tokenised.examples
    with DatasetWriter.open(
        store,
        checkpoint=folder.name,
        identity=identity,
        name=job.name,
        rows=len(rows),
        directions=directions,
        encoding=job.encoding,
        chunk_rows=job.chunk_rows,
        content_digest=tokenised.file.digest,
        attributes=_attributes(tokenised, job),
    ) as writer:
        missing = writer.missing()
        if len(missing) < len(writer.chunks):
            done = len(writer.chunks) - len(missing)
            log(f"{folder.name}/{job.name}: {done} of {len(writer.chunks)} chunks done before")
        projector = make_projector(identity.projection, loaded.parameters, device)
        ready = prepare_directions(directions, loaded.parameters, moments, device)
        todo = sum(
            len(examples[i].input_ids) for c in missing for i in writer.chunks[c] if not examples[i].reason
        )
        started = time.monotonic()
        with GradientEngine(loaded, device) as engine, progress(todo, "tokens", folder.name) as bar:
            computer = ChunkComputer(engine, ready, projector, job.resolved_token_budget(), job.embed_rows)
            for chunk in missing:
                part = writer.chunks[chunk]
                span = slice(part.start, part.stop)
                writer.write(chunk, computer.compute(rows[span], examples[span], bar.update))
        dataset = writer.seal()
        seconds = time.monotonic() - started
        report = _report(dataset, tokenised, folder, len(writer.chunks), len(missing), seconds)
    for reason, count in sorted(report.invalid.items()):
        if reason not in tokenised.invalid:  # the others were told before anything was computed
            log(f"{folder.name}/{job.name}: {count} rows have no gradient: {reason}")
    return report


def _check_vocabulary(loaded: LoadedModel, tokenised: Tokenised) -> None:
    """Refuse token ids that the model does not have, which the model itself would meet with a crash."""
    for row, example in zip(tokenised.file.rows, tokenised.examples, strict=True):
        if (
            len(example.input_ids)
            and not 0 <= example.input_ids.min() <= example.input_ids.max() < loaded.vocabulary
        ):
            raise DataError(
                f"{row.where}: token id {example.input_ids.max()} is outside the model's vocabulary of"
                f" {loaded.vocabulary}; are the rows tokenised for this model?"
            )


def make_identity(
    folder: CheckpointFolder, loaded: LoadedModel, tokenised: Tokenised, job: Settings
) -> CheckpointIdentity:
    """What rows of this checkpoint must share to be comparable."""
    return CheckpointIdentity(
        base=loaded.base,
        base_digest=loaded.base_digest,
        adapter_digest=folder.adapter_digest,
        tokenizer_digest=tokenised.tokenizer_digest,
        template_digest=tokenised.template_digest,
        step=folder.step,
        weight=folder.weight,
        lora={key: value for key, value in folder.lora.items() if key != "base_model_name_or_path"},
        parameters=loaded.parameters,
        projection=job.projection_spec(total_size(loaded.parameters)),
    )


def _attributes(tokenised: Tokenised, job: Settings) -> dict[str, Any]:
    return {
        "target": job.target,
        "format": tokenised.file.fmt,
        "max_length": job.max_length,
        "truncated": tokenised.truncated,
        "duplicates": tokenised.file.duplicates,
        "dtype": job.resolved_dtype(),
        "embed_rows": job.embed_rows,
        "provenance": {
            "file": job.data.name,
            "token_budget": job.resolved_token_budget(),
            "device": job.resolved_device(),
            "versions": {name: version(name) for name in ("gradstore", "torch", "transformers", "peft")},
        },
    }


def _report(
    dataset: Dataset,
    tokenised: Tokenised,
    folder: CheckpointFolder,
    chunks: int,
    computed: int,
    seconds: float,
) -> ExtractReport:
    invalid: dict[str, int] = {}
    for reason in dataset.reasons:
        if reason:
            invalid[reason] = invalid.get(reason, 0) + 1
    return ExtractReport(
        checkpoint=folder.name,
        name=dataset.name,
        rows=len(dataset),
        valid=int(dataset.valid.sum()),
        truncated=tokenised.truncated,
        duplicates=tokenised.file.duplicates,
        tokens=tokenised.tokens,
        invalid=invalid,
        directions=dataset.directions,
        fmt=tokenised.file.fmt,
        chunks=chunks,
        computed_chunks=computed,
        bytes=dataset.manifest.size,
        seconds=seconds,
    )
