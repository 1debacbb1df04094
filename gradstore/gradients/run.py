"""The extraction of one checkpoint: its model is loaded when there is something to compute."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gradstore.checkpoint import CheckpointFolder
from gradstore.data import DataFile
from gradstore.errors import DataError, IncompleteError, StoreNotFoundError
from gradstore.gradients.compute import ChunkComputer
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.kept import embed
from gradstore.gradients.pipeline import Outlook, Tally, compute_chunks
from gradstore.gradients.report import ExtractReport
from gradstore.gradients.session import Session, checkpoint_key, early_identity, open_session
from gradstore.gradients.settings import Settings
from gradstore.gradients.spool import TokenSpool
from gradstore.gradients.tokens import Tokens, tokens_of
from gradstore.parts import Share
from gradstore.progress import Log, Progress
from gradstore.records import CheckpointIdentity
from gradstore.storage import open_folder
from gradstore.store import Dataset, DatasetWriter, check_comparable, open_store
from gradstore.store.licence import licence_members

__all__ = ["CheckpointRun"]

# A first guess, before any row is tokenised.
BYTES_PER_TOKEN = 5


class CheckpointRun:
    """One checkpoint's part of an extraction.

    Attributes
    ----------
    key : str
        Name of the checkpoint in the store.
    """

    def __init__(
        self,
        store: str | Path,
        folder: CheckpointFolder,
        file: DataFile,
        job: Settings,
        share: Share,
        spool: TokenSpool | None,
        progress: Progress,
        log: Log,
    ) -> None:
        self.key = checkpoint_key(folder, job)
        self._store, self._folder, self._job, self._share = store, folder, job, share
        self._progress, self._log = progress, log
        self._tokens = tokens_of(file, folder, job, spool)
        self._tokens.check_some_learned()
        self._session: Session | None = None

    def extract(self, name: str, file: DataFile) -> ExtractReport:
        """Write one data set, or what is missing of it.

        Parameters
        ----------
        name : str
            Its name in the store.
        file : DataFile
            Its rows.
        """
        tokens = replace(self._tokens, file=file)
        started = time.monotonic()
        with self._writer(name, file) as writer:
            missing = writer.missing()
            if len(missing) < len(writer.chunks):
                done = len(writer.chunks) - len(missing)
                self._log(f"{self.key}/{name}: {done:,} of {len(writer.chunks):,} chunks done before")
            mine = self._share.expected(missing)
            tally = self._compute(writer, mine, tokens) if mine else Tally()
            missing = writer.missing()
            dataset = None if missing else writer.seal()
            report = ExtractReport.of(
                dataset,
                tally,
                file,
                checkpoint=self.key,
                name=name,
                continues=self._continues(name),
                directions=self._job.resolved_directions(),
                chunks=len(writer.chunks),
                missing=len(missing),
                unattributed=self._session.loaded.unattributed if self._session else (),
                seconds=time.monotonic() - started,
            )
        if (
            self._job.strict and report.invalid
        ):  # found while computing, or by an earlier run that was not strict
            reasons = "; ".join(f"{reason} ({count:,})" for reason, count in sorted(report.invalid.items()))
            raise DataError(f"{self.key}/{name} has rows without a gradient, kept as invalid: {reasons}")
        return report

    def _writer(self, name: str, file: DataFile) -> DatasetWriter:
        """The writer of a data set; without a model if the store has all of it."""
        job = self._job
        stored = self._stored(name)
        if stored is not None and set(job.resolved_directions()) <= set(stored.directions):
            dims = {direction: stored.dim(direction) for direction in job.resolved_directions()}
            identity: CheckpointIdentity = early_identity(stored.identity, self._folder, self._tokens, job)
        else:
            session = self._loaded()
            session.check()  # before the data set is begun
            dims, identity = session.dims, session.identity
        writer = DatasetWriter.open(
            self._store,
            checkpoint=self.key,
            identity=identity,
            name=name,
            rows=len(file.rows),
            directions=dims,
            encoding=job.encoding,
            chunk_rows=job.chunk_rows,
            content_digest=file.digest,
            attributes=attributes(job, file, self._continues(name)),
        )
        if job.embed_adapter:
            embed(open_store(self._store), self.key, self._folder, self._tokens, self._log)
        return writer

    def _stored(self, name: str) -> Dataset | None:
        try:
            return open_store(self._store).dataset(name, self.key)
        except (StoreNotFoundError, IncompleteError):
            return None

    def _loaded(self) -> Session:
        if self._session is None:
            self._refuse_early()
            self._log(f"{self.key}: loading")
            self._session = open_session(self._folder, self._tokens, self._job)
        return self._session

    def _refuse_early(self) -> None:
        """Compare what is known of the checkpoint with the store before the model is loaded."""
        try:
            stored = open_store(self._store).identity(self.key)
        except StoreNotFoundError:
            return
        check_comparable(
            str(open_folder(self._store)),
            self.key,
            stored,
            early_identity(stored, self._folder, self._tokens, self._job),
        )

    def _compute(self, writer: DatasetWriter, mine: list[int], tokens: Tokens) -> Tally:
        job, session = self._job, self._loaded()
        sizes = {chunk: tokens.bytes(writer.chunks[chunk]) for chunk in mine}
        rows = sum(len(writer.chunks[chunk]) for chunk in mine)
        maker = session.row_maker(writer.unfinished())
        vocabulary = session.loaded.vocabulary
        with (
            GradientEngine(
                session.loaded,
                job.resolved_device(),
                form=maker.source.form,
                checkpointing=job.gradient_checkpointing,
            ) as engine,
            self._progress(
                sum(sizes.values()) // BYTES_PER_TOKEN, "tokens", f"{self.key}/{writer.name}"
            ) as bar,
        ):
            return compute_chunks(
                writer,
                self._share,
                lambda span: tokens.prepared(span, vocabulary),
                ChunkComputer(
                    engine, maker, job.resolved_token_budget(), embed_rows=job.embed_rows, log=self._log
                ),
                Outlook(bar, sizes, rows),
            )

    def _continues(self, name: str) -> str:
        return "" if name == self._job.name else self._job.name


def attributes(job: Settings, file: DataFile, continues: str) -> dict[str, Any]:
    """What a data set says of how it was made; all but ``provenance`` must be the same when it is resumed."""
    more = {"continues": continues} if continues else {}
    return more | {
        "target": job.target,
        "format": file.fmt,
        "max_length": job.max_length,
        "dtype": job.resolved_dtype(),
        "quantize": job.quantize,
        "embed_rows": job.embed_rows,
        "provenance": {
            **licence_members(job.license),
            "file": job.data.name,
            "token_budget": job.resolved_token_budget(),
            "device": job.resolved_device().partition(":")[0],
            "options": job.replayable(),
            "versions": {name: version(name) for name in ("gradstore", "torch", "transformers", "peft")},
        },
    }
