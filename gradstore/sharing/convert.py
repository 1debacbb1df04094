"""Keeps the rows of a store in another encoding, in another store: what is sealed never changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradstore.errors import UsageError
from gradstore.progress import Bar, Log, Progress, silent, unheard
from gradstore.registry import unknown_name
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
from gradstore.storage import Location, open_folder, same_place
from gradstore.store.arrays import COMPRESSIONS, decode_chunk
from gradstore.store.begin import join
from gradstore.store.blocks import Piece, coded
from gradstore.store.create import create_store, join_checkpoint
from gradstore.store.encodings import encoding
from gradstore.store.fidelity import fidelity
from gradstore.store.folder import DatasetFolder
from gradstore.store.manifest import read_manifest
from gradstore.store.parts import Part
from gradstore.store.pieces import Pieces
from gradstore.store.settings import VectorSettings, check_chunks
from gradstore.store.store import Store, open_store
from gradstore.store.writer import DatasetWriter

__all__ = ["ConvertReport", "convert"]

_CURE = "convert to another store"


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What a conversion made of one direction.

    Attributes
    ----------
    checkpoint, name, direction : str
        Where it lies.
    rows, chunks : int
    converted : int
        Chunks that this conversion wrote; the others were there.
    missing : int
        Chunks that the source does not have yet.
    encoding_before, encoding : str
    compression : str
    bytes_before, bytes : int or None
        Stored bytes of the direction; None if it is not finished.
    fidelity : Mapping or None
        As in the manifest; see `Dataset.fidelity`.
    """

    checkpoint: str
    name: str
    direction: str
    rows: int
    chunks: int
    converted: int
    missing: int
    encoding_before: str
    encoding: str
    compression: str
    bytes_before: int | None
    bytes: int | None
    fidelity: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Job:
    checkpoint: str
    name: str
    source: Source
    vectors: dict[str, VectorSettings]


def convert(
    path: Location,
    out: Location,
    *,
    to: str,
    compression: str = "none",
    checkpoints: Sequence[str] = (),
    datasets: Sequence[str] = (),
    directions: Sequence[str] = (),
    progress: Progress = silent,
    log: Log = unheard,
) -> list[ConvertReport]:
    """Write the data sets of a store to another store, with their rows in another encoding.

    Columns, norms and adapters are copied, and rows of a chunk stay the same. What was float32 in the source becomes
    what a run with that encoding would have written, but for the provenance. Killed and repeated, it goes on and leaves
    the same bytes; run again with other directions, it adds them. The source is only read, and nothing must write to it
    meanwhile. Graphs and selections are not taken along, since they are of the very rows that they were made from.

    Parameters
    ----------
    path : path or URL
        The store to read.
    out : path or URL
        The store to write; created if there is none.
    to : {"int8", "half", "int4", "sign", "exact"}
        Encoding. The source's own keeps the codes as they are, and only the compression changes.
    compression : {"none", "zstd", "blosc"}
        Lossless, of the codes. Compressed rows are smaller at rest, and slower to read: they cannot be mapped.
    checkpoints, datasets, directions : sequence of str, optional
        What to convert; by default all.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what is left out.

    Returns
    -------
    list of ConvertReport
        One for each direction.

    Raises
    ------
    StoreNotFoundError
        If there is no store at `path`.
    UsageError
        If there is nothing of that name, or `out` is the source.
    IncompatibleError
        If `out` holds the same data with other settings or other rows; the message shows the difference.
    CorruptError
        If the source is damaged.
    StoreWriteError
        If the system refuses, or another process writes the same chunk; nothing is lost.
    """
    kind = encoding(to).name
    if compression not in COMPRESSIONS:
        raise UsageError(unknown_name("compression", compression, COMPRESSIONS))
    store = open_store(path)
    if same_place(store.folder, open_folder(out)):
        raise UsageError(f"{open_folder(out)} cannot be converted into itself: choose another path to write")
    found = [
        _Job(checkpoint, name, source, _chosen(source, directions, kind, compression))
        for checkpoint, name, source in sources_in(store)
        if checkpoint in (checkpoints or [checkpoint]) and name in (datasets or [name])
    ]
    jobs = [job for job in found if job.vectors]
    _check_names(store, jobs, checkpoints, datasets, directions)
    _check_settings(out, jobs)
    tell_of_artefacts(store, "converted", log)
    opened = create_store(out)
    total = sum(len(job.source.pieces.dataset.settings.chunks) for job in jobs)
    with progress(total, "chunks", "convert") as bar:
        reports = [report for job in jobs for report in _convert_dataset(opened, store, job, bar)]
    write_card(opened)
    return reports


def _chosen(
    source: Source, directions: Collection[str], kind: str, compression: str
) -> dict[str, VectorSettings]:
    """How the wanted directions of a data set are to be kept."""
    return {
        name: VectorSettings(vectors.dim, kind, compression)
        for name, vectors in source.pieces.dataset.vectors.items()
        if name in (directions or [name])
    }


def _check_names(
    store: Store,
    jobs: Sequence[_Job],
    checkpoints: Sequence[str],
    datasets: Sequence[str],
    directions: Sequence[str],
) -> None:
    """Refuse a name that is not there, or not in what the other names leave."""
    known = [
        ("checkpoint", checkpoints, {job.checkpoint for job in jobs}, store.checkpoints),
        ("data set", datasets, {job.name for job in jobs}, store.datasets()),
        (
            "direction",
            directions,
            {each for job in jobs for each in job.vectors},
            {each for _, _, source in sources_in(store) for each in source.pieces.dataset.vectors},
        ),
    ]
    for what, wanted, left, there in known:
        for name in wanted:
            if name not in there:
                raise UsageError(f"{store.location}: {unknown_name(what, name, sorted(there))}")
            if name not in left:
                raise UsageError(f"{store.location}: {what} {name!r} has none of the others that are named")
    if not jobs:
        raise UsageError(f"{store.location} holds nothing to convert")


def _check_settings(out: Location, jobs: Sequence[_Job]) -> None:
    """Refuse what cannot be written before anything is."""
    held = {(c, n): s.pieces.dataset for store in existing(out) for c, n, s in sources_in(store)}
    for job in jobs:
        settings = job.source.pieces.dataset.settings
        join(
            held.get((job.checkpoint, job.name)),
            settings,
            job.vectors,
            any_chunk_rows=False,
            what=f"data set {job.name!r} of {job.checkpoint!r} in {open_folder(out)}",
            here=f"in {job.source.location}",
            cure=_CURE,
        )
        check_chunks(settings, job.vectors)


def _convert_dataset(out: Store, store: Store, job: _Job, bar: Bar) -> list[ConvertReport]:
    settings = job.source.pieces.dataset.settings
    identity = join_checkpoint(out, job.checkpoint, store.identity(job.checkpoint))
    take_adapter(out, store, job.checkpoint)
    converted = dict.fromkeys(job.vectors, 0)
    with DatasetWriter(out, job.name, job.checkpoint, identity, settings, job.vectors) as writer:
        kept = Source(out.location, Pieces(writer.dataset))
        for chunk in range(len(writer.chunks)):
            for direction in _convert_chunk(writer, chunk, job.source, kept):
                converted[direction] += 1
            bar.update(1)
        writer.seal_finished()
        return [_report(job, direction, converted[direction], writer.dataset) for direction in job.vectors]


def _convert_chunk(writer: DatasetWriter, chunk: int, source: Source, kept: Source) -> list[str]:
    """Convert what the source has of a chunk and we have not; which directions that were."""
    what = chunk_name(writer, chunk)
    theirs = [each for each in source.pieces.directions(chunk) if each in writer.directions]
    columns = source.pieces.columns(chunk) if theirs else None
    if columns is None:
        return []
    check_same(kept, source, chunk, what, kept.pieces.columns(chunk), columns, _CURE)
    ours = kept.pieces.directions(chunk)
    parts = {each: source.pieces.vectors(each, chunk) for each in theirs}
    for each in theirs:
        if each in ours:
            mine, here = (
                Part({"norm": p.arrays["norm"]}) for p in (kept.pieces.vectors(each, chunk), parts[each])
            )
            check_same(kept, source, chunk, f"{what}, {each}", mine, here, _CURE)
    wanted = [each for each in theirs if each not in ours]
    if wanted:
        pieces = (
            _recoded(source.pieces, writer.dataset, each, chunk, columns, parts[each]) for each in wanted
        )
        put_chunk(writer, kept, chunk, columns, pieces)
    return wanted


def _recoded(
    pieces: Pieces, target: DatasetFolder, direction: str, chunk: int, columns: Part, part: Part
) -> Piece:
    """A chunk of one direction in the encoding of `target`."""
    settings, before, after = target.settings, pieces.dataset.vectors[direction], target.vectors[direction]
    ((name, data),) = pieces.objects(direction, part, chunk).items()
    codes = decode_chunk(before.gradient(settings), chunk, data, pieces.dataset.of(direction).where(name))
    scale, measured = part.arrays.get("scale"), part.fidelity
    if before.encoding != after.encoding:
        old, new = encoding(before.encoding), encoding(after.encoding)
        rows = old.decode(codes, scale, before.dim)
        codes, scale = new.encode(rows)
        lost = [*(part.fidelity or {}).get("source", ()), *([old.name] if old.scaled else [])]
        measured = None
        if chunk == 0 and (new.scaled or lost):
            measured = fidelity(rows, new.decode(codes, scale, after.dim), columns.arrays["valid"])
        if measured and lost:
            measured["source"] = lost
    return coded(direction, after.gradient(settings), chunk, codes, part.arrays["norm"], scale, measured)


def _report(job: _Job, direction: str, converted: int, target: DatasetFolder) -> ConvertReport:
    before, after = (read_manifest(dataset.of(direction)) for dataset in (job.source.pieces.dataset, target))
    settings, vectors = target.settings, target.vectors[direction]
    return ConvertReport(
        job.checkpoint,
        job.name,
        direction,
        settings.rows,
        len(settings.chunks),
        converted,
        len(target.missing([direction])),
        job.source.pieces.dataset.vectors[direction].encoding,
        vectors.encoding,
        vectors.compression,
        before.size if before else None,
        after.size if after else None,
        after.facts.get("fidelity") if after else None,
    )
