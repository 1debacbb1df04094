"""What joining stores and converting one have in common: data sets as sources of chunks for another store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradstore.errors import IncompatibleError, StoreNotFoundError, StoreWriteError
from gradstore.progress import Log
from gradstore.sharing.compare import difference
from gradstore.storage import Location
from gradstore.store.attachment import carries_adapter, embed_adapter
from gradstore.store.blocks import Piece
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import ADAPTER, ARTEFACTS, CHECKPOINTS
from gradstore.store.manifest import Sealed, read_manifest
from gradstore.store.parts import Part
from gradstore.store.pieces import Pieces
from gradstore.store.store import Store, open_store
from gradstore.store.writer import DatasetWriter

__all__ = [
    "Source",
    "check_same",
    "chunk_name",
    "existing",
    "put_chunk",
    "sources_in",
    "take_adapter",
    "tell_of_artefacts",
]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that gives chunks.

    Attributes
    ----------
    location : str
        Of its store, for messages.
    pieces : Pieces
    """

    location: str
    pieces: Pieces


def sources_in(store: Store) -> Iterator[tuple[str, str, Source]]:
    """Every data set of a store that has a direction, finished or not, by checkpoint and name."""
    for checkpoint in store.checkpoints:
        for name in store.datasets(checkpoint):
            dataset = DatasetFolder.read(store.at(f"{CHECKPOINTS}/{checkpoint}/{name}"))
            if dataset is not None and dataset.vectors:
                yield checkpoint, name, Source(store.location, Pieces(dataset))


def existing(out: Location) -> list[Store]:
    """The store that is to be written, if it is there."""
    try:
        return [open_store(out)]
    except StoreNotFoundError:
        return []


def take_adapter(out: Store, store: Store, checkpoint: str) -> None:
    """Copy the files that a checkpoint carries, if it carries some; its group in `out` exists."""
    folder = store.at(f"{CHECKPOINTS}/{checkpoint}/{ADAPTER}")
    manifest = read_manifest(folder)
    if manifest is not None and not carries_adapter(out, checkpoint):
        sealed = Sealed(folder, manifest)
        embed_adapter(out, checkpoint, {name: sealed.get(name) for name in manifest.objects})


def tell_of_artefacts(store: Store, done: str, log: Log) -> None:
    """Log which graphs and selections are left behind: they are of the very rows that they were made from."""
    left = [f"{kind}/{name}" for kind in ARTEFACTS for name in getattr(store, kind)]
    if left:
        log(f"{store.location}: not {done}, build them anew: {', '.join(left)}")


def chunk_name(writer: DatasetWriter, chunk: int) -> str:
    """What a message calls a chunk."""
    return f"chunk {chunk} of data set {writer.name!r} of {writer.checkpoint!r}"


def check_same(
    kept: Source, source: Source, chunk: int, what: str, mine: Part | None, theirs: Part, cure: str
) -> None:
    """Refuse a chunk that is not the same in two stores, with both values of what differs."""
    first = kept.pieces.dataset.settings.span(chunk).start
    found = "" if mine is None else difference(mine, theirs, first)
    if found:
        raise IncompatibleError(
            f"{what} is not the same in {kept.location} (there) and {source.location} (here): {found}; {cure}"
        )


def put_chunk(
    writer: DatasetWriter, kept: Source, chunk: int, columns: Part, pieces: Iterable[Piece]
) -> None:
    """Claim a chunk and publish it; `StoreWriteError` if another process has it."""
    claim = writer.claim(chunk)
    if claim is None:
        what = chunk_name(writer, chunk)
        raise StoreWriteError(f"another process is writing {what} in {kept.location}: wait for it to end")
    with claim:
        claim.put(columns, pieces)
