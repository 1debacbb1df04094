"""`extract`: examples x checkpoints -> projected per-example gradients, in a store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Unpack

from gradstore.data import load_rows
from gradstore.errors import DataError
from gradstore.gradients.kept import jobs_of
from gradstore.gradients.report import ExtractReport
from gradstore.gradients.run import CheckpointRun
from gradstore.gradients.segments import segments
from gradstore.gradients.settings import Options, Settings
from gradstore.gradients.spool import TokenSpool
from gradstore.parts import share_of
from gradstore.progress import Log, Progress, counted, silent, unheard
from gradstore.records import NON_FINITE, ZERO
from gradstore.sharing import write_card
from gradstore.store import open_store

__all__ = ["extract"]


def extract(
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
) -> list[ExtractReport]:
    """Write the projected gradient of every row to the store.

    Interrupt it at any moment and call it again with the same arguments: it goes on after the last finished chunk, and
    the store ends up byte-identical to that of an uninterrupted run. What the store has already is not computed again:
    another direction is added to the data set, rows that were added to the file become a data set that continues it.
    Any number of processes may do the same at once (`part`, or the environment of torchrun or SLURM).

    Parameters
    ----------
    store : path
        The store; made if there is none.
    checkpoints : path or sequence of paths
        Checkpoint folders, run folders whose checkpoints are all used, or ``"store:NAME"`` for a checkpoint whose
        adapter the store carries.
    data : path
        Rows as jsonl, jsonl.gz, json, parquet or a ``datasets`` folder.
    name : str
        What the data set is called in the store.
    target : bool
        Whether it is a target to select for, rather than a pool to select from.
    directions : str or sequence of str, optional
        Any of ``sgd``, ``sign``, ``adam``, ``precond``, ``adam-true``, ``rds``; by default ``adam`` for
        the train rows of a trained adapter, else ``sgd``. With full parameters ``sgd``, ``precond`` and ``rds``.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what happens.
    **settings
        Attributes of `Settings` by name: ``parameters``, ``projection``, ``dim``, ``seed``, ``encoding``,
        ``chunk_rows``, ``token_budget``, ``max_length``, ``base``, ``init_lora``, ``lora_r``, ``lora_alpha``,
        ``target_modules``, ``quantize``, ``trust_remote_code``, ``gradient_checkpointing``, ``chat_template``,
        ``fmt``, ``device``, ``dtype``, ``embed_rows``, ``embed_adapter``, ``part``, ``strict``, ``license``.

    Returns
    -------
    list of ExtractReport
        One for each checkpoint and data set.

    Raises
    ------
    DataError, CheckpointError, UsageError
        If the input is not what it should be, or no row has a gradient; the message says where and what to do.
    IncompatibleError
        If the store holds rows of another model, template or projection under the same checkpoint name.
    """
    wanted = (directions,) if isinstance(directions, str) else tuple(directions or ())
    job = Settings(data=Path(data), name=name, target=target, directions=wanted, **settings)
    job.check()
    share = share_of(job.part, os.environ)
    with jobs_of(checkpoints, store, job) as jobs:
        file = load_rows(job.data, fmt=job.fmt)
        how = "detected" if file.detected else "given"
        rows, copies = counted(len(file.rows), "row"), counted(file.duplicates, "duplicate")
        log(f"{job.data}: {rows}, format {file.fmt} ({how}), {copies}")
        reports: list[ExtractReport] = []
        with TokenSpool(job.data) if len(jobs) > 1 else nullcontext() as spool:
            for folder, its in jobs:
                run = CheckpointRun(store, folder, file, its, share, spool, progress, log)
                reports.extend(run.extract(*segment) for segment in segments(store, run.key, job.name, file))
    write_card(open_store(store))
    for report in reports:
        _check_worth(report, store)
    return reports


def _check_worth(report: ExtractReport, store: str | Path) -> None:
    """Refuse a finished data set of which no row can be used, though some have something to learn."""
    if report.sealed and not report.valid and report.invalid.keys() & {ZERO, NON_FINITE}:
        place = f"{report.checkpoint}/{report.name}"
        reasons = "; ".join(f"{counted(count, 'row')}: {reason}" for reason, count in report.invalid.items())
        raise DataError(
            f"{store}: no row of {place} has a gradient ({reasons}); has the training diverged? Remove it with"
            f" `gradstore store rm {store} {place}`"
        )
