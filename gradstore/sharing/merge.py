"""Joins stores whose processes could not write to one: each brings the chunks that it has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from gradstore.errors import IncompatibleError, UsageError
from gradstore.progress import Bar, Log, Progress, silent, unheard
from gradstore.records import CheckpointIdentity
from gradstore.sharing.card import write_card
from gradstore.sharing.sources import (
    Source,
    check_same,
    chunk_name,
    existing,
    put_chunk,
    sources_in,
    take_adapter,
    tell_of_artefacts,
)
from gradstore.storage import open_folder, same_place
from gradstore.store.begin import join
from gradstore.store.blocks import Piece
from gradstore.store.create import create_store, join_checkpoint
from gradstore.store.pieces import Pieces
from gradstore.store.store import Store, open_store
from gradstore.store.writer import DatasetWriter

__all__ = ["MergeReport", "merge"]


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge made of one data set.

    Attributes
    ----------
    checkpoint, name : str
        Where it lies.
    rows, chunks : int
    copied : int
        Chunks of which this merge copied something.
    directions : tuple of str
        Directions that are finished.
    missing : dict from str to int
        Chunks that no store has, by direction; empty if the data set is finished.
    """

    checkpoint: str
    name: str
    rows: int
    chunks: int
    copied: int
    directions: tuple[str, ...]
    missing: dict[str, int]


Plan = dict[tuple[str, str], list[Source]]
"""The stores that bring something to each checkpoint and data set."""


def merge(
    out: str | os.PathLike[str],
    sources: Sequence[str | os.PathLike[str]],
    *,
    progress: Progress = silent,
    log: Log = unheard,
) -> list[MergeReport]:
    """Join stores in one, chunk by chunk.

    A data set may be spread over any number of stores, each with some of its chunks or directions, finished or not.
    What becomes complete is sealed, and is then what one process would have written. What `out` holds already stays and
    counts like a source. Everything copied is checked against its checksum. Killed and repeated it goes on; the sources
    are only read, and nothing must write to them meanwhile.

    Parameters
    ----------
    out : path
        The store to write; created if there is none.
    sources : sequence of paths
        Stores to read.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what is left out.

    Returns
    -------
    list of MergeReport
        One for each checkpoint and data set of the sources.

    Raises
    ------
    StoreNotFoundError
        If a source is no store.
    UsageError
        If nothing is to be merged, or `out` is among the sources.
    IncompatibleError
        If two stores made a checkpoint's rows with different models or settings (then nothing is written), or hold
        different values for a chunk; the message shows the difference.
    CorruptError
        If a source is damaged.
    StoreWriteError
        If the system refuses, or another process writes the same chunk; nothing is lost.
    """
    stores = [open_store(source) for source in sources]
    if not stores:
        raise UsageError("there is nothing to merge: name at least one store")
    if any(same_place(store.folder, open_folder(out)) for store in stores):
        raise UsageError(
            f"{open_folder(out)} cannot be merged into itself: choose another path to write, or leave it out"
        )
    identities = _identities(out, stores, log)
    plan = _plan(out, stores)
    opened = create_store(out)
    for name, identity in identities.items():
        join_checkpoint(opened, name, identity)
    with progress(_total(plan), "chunks", "merge") as bar:
        reports = [
            _merge_dataset(opened, checkpoint, name, identities[checkpoint], found, bar)
            for (checkpoint, name), found in sorted(plan.items())
        ]
    for store in stores:
        for name in store.checkpoints:
            take_adapter(opened, store, name)
    write_card(opened)
    return reports


def _identities(
    out: str | os.PathLike[str], stores: Sequence[Store], log: Log
) -> dict[str, CheckpointIdentity]:
    """The identity of every checkpoint, the same in all stores that have it."""
    first: dict[str, tuple[str, CheckpointIdentity]] = {}
    for store in (*existing(out), *stores):
        for name in store.checkpoints:
            identity = store.identity(name)
            path, known = first.setdefault(name, (store.location, identity))
            differences = known.differences(identity)
            if differences:
                raise IncompatibleError(
                    f"checkpoint {name!r} of {store.location} is not that of {path} ({'; '.join(differences)}): rows "
                    "that cannot be compared are kept in two stores"
                )
            if known != identity:
                log(f"{name}: {store.location} tells of it otherwise than {path}, which is kept")
    for store in stores:
        tell_of_artefacts(store, "merged", log)
    return {name: identity for name, (_, identity) in first.items()}


def _plan(out: str | os.PathLike[str], stores: Sequence[Store]) -> Plan:
    """What each store brings, refused if data sets of one name differ in their settings."""
    plan: Plan = {}
    held = {(c, n): s for store in existing(out) for c, n, s in sources_in(store)}
    for store in stores:
        for checkpoint, name, source in sources_in(store):
            found = plan.setdefault((checkpoint, name), [])
            for other in (*filter(None, [held.get((checkpoint, name))]), *found):
                dataset = source.pieces.dataset
                join(
                    other.pieces.dataset,
                    dataset.settings,
                    dataset.vectors,
                    any_chunk_rows=False,
                    what=f"data set {name!r} of {checkpoint!r} in {other.location}",
                    here=f"in {store.location}",
                    cure="only data sets made with the same settings can be joined",
                )
            found.append(source)
    return plan


def _total(plan: Plan) -> int:
    return sum(len(source.pieces.dataset.settings.chunks) for found in plan.values() for source in found)


def _merge_dataset(
    out: Store, checkpoint: str, name: str, identity: CheckpointIdentity, sources: list[Source], bar: Bar
) -> MergeReport:
    settings = sources[0].pieces.dataset.settings
    vectors = {each: kept for source in sources for each, kept in source.pieces.dataset.vectors.items()}
    copied: set[int] = set()
    with DatasetWriter(out, name, checkpoint, identity, settings, dict(sorted(vectors.items()))) as writer:
        kept = Source(out.location, Pieces(writer.dataset))
        for source in sources:
            for chunk in range(len(writer.chunks)):
                if _merge_chunk(writer, chunk, source, kept):
                    copied.add(chunk)
                bar.update(1)
        writer.seal_finished()
        return MergeReport(
            checkpoint,
            name,
            writer.settings.rows,
            len(writer.chunks),
            len(copied),
            tuple(each for each in writer.directions if writer.dataset.sealed([each])),
            {each: len(missing) for each in writer.directions if (missing := writer.dataset.missing([each]))},
        )


def _merge_chunk(writer: DatasetWriter, chunk: int, source: Source, kept: Source) -> bool:
    """Copy what a source has of a chunk and we have not, and compare what both have; whether anything was copied."""
    what, cure = chunk_name(writer, chunk), "merge only one of them"
    theirs = source.pieces.directions(chunk)
    columns = source.pieces.columns(chunk) if theirs else None
    if columns is None:
        return False
    check_same(kept, source, chunk, what, kept.pieces.columns(chunk), columns, cure)
    ours = kept.pieces.directions(chunk)
    parts = {each: source.pieces.vectors(each, chunk) for each in theirs}
    for each in theirs:
        if each in ours:
            mine = kept.pieces.vectors(each, chunk)
            check_same(kept, source, chunk, f"{what}, {each}", mine, parts[each], cure)
    wanted = [each for each in theirs if each not in ours]
    if not wanted:
        return False
    pieces = (Piece(each, source.pieces.objects(each, parts[each], chunk), parts[each]) for each in wanted)
    put_chunk(writer, kept, chunk, columns, pieces)
    return True
