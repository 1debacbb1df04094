"""Copies a store, or part of one, to another place, object by object, so that a kill shows nothing half made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradstore.errors import GradstoreError, UsageError
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.sharing.arrival import arriving, coming, existing_store
from gradstore.sharing.card import write_card
from gradstore.sharing.hub import hub_warnings, largest_folders, push_to_hub
from gradstore.sharing.sending import Sender
from gradstore.sharing.shipment import Shipment, shipment
from gradstore.storage import Location, open_folder, same_place
from gradstore.storage.location import scheme_of
from gradstore.store.create import create_store
from gradstore.store.store import Store, open_store

__all__ = ["TransferReport", "pull", "push"]


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a push or a pull copied, or would copy.

    Attributes
    ----------
    source, destination : str
    files, bytes : int
        Of all that was asked for.
    files_missing, bytes_missing : int
        Of what the destination did not have whole.
    bytes_sent : int
        Less than that where a transfer was resumed; 0 in a dry run.
    datasets : list of dict
        ``checkpoint``, ``name``, ``directions``, and ``new``: whether anything of it was missing.
    artefacts : list of str
        Graphs and selections that were missing.
    left_out : list of str
        What was not copied, and why.
    folders : list of (str, int)
        The folders of the destination with the most entries.
    warnings : list of str
        What the destination may not take well.
    """

    source: str
    destination: str
    files: int
    bytes: int
    files_missing: int
    bytes_missing: int
    bytes_sent: int
    datasets: list[dict[str, Any]]
    artefacts: list[str]
    left_out: list[str]
    folders: list[tuple[str, int]]
    warnings: list[str]


def push(
    store: Store | Location,
    destination: Location,
    *,
    checkpoints: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    directions: Sequence[str] | None = None,
    artefacts: bool = True,
    dry_run: bool = False,
    progress: Progress = silent,
    log: Log = unheard,
) -> TransferReport:
    """Copy what is finished in a store to another place, where it becomes a store, or is added to one.

    Every object is checked against its manifest before it is sent. Manifests come last, so that what a killed push
    leaves is not readable; the same call goes on, and sends no object again that has arrived. An overlay is copied
    with what it shows of its base; what arrives is complete.

    Parameters
    ----------
    store : Store, path or URL
    destination : path or URL
        Where nothing is yet, or a store.
    checkpoints, datasets, directions : sequence of str, optional
        What to copy; by default all. A data set with only some of its directions is complete.
    artefacts : bool
        Whether graphs and selections go along, if all rows that they were made from do or are there.
    dry_run : bool
        Compare the two places and report what would be copied; nothing is written.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what is left out.

    Returns
    -------
    TransferReport

    Raises
    ------
    StoreNotFoundError, UsageError
        If there is no such store, a name is unknown, or nothing is left to copy.
    IncompatibleError
        If the destination has something else under one of the names; nothing is written then.
    IncompleteError
        If the destination has something unfinished under one of the names; nothing is written then.
    CorruptError
        If an object does not match its checksum; it is not sent.
    StoreWriteError
        If the destination refuses, or something else writes there; what has arrived is not sent again.
    """
    source = open_store(store) if not isinstance(store, Store) else store
    place = open_folder(destination)
    if same_place(source.folder, place):
        raise UsageError(f"{place} cannot be copied to itself: choose another place")
    left_out: list[str] = []

    def note(line: str) -> None:
        left_out.append(line)
        log(line)

    goods = shipment(
        source,
        checkpoints=checkpoints,
        datasets=datasets,
        directions=directions,
        artefacts=artefacts,
        log=note,
    )
    target = _target(destination, dry_run, log)
    goods = coming(goods, target, note)
    missing = arriving(goods, target, note)
    on_hub = scheme_of(str(destination)) == "hf"
    sent = 0
    if not dry_run and on_hub:
        sent = push_to_hub(missing, str(destination), progress)
    elif not dry_run:
        target = create_store(destination)
        sender = Sender(target, progress)
        sent = sender.send(missing, f"{source.location} to {place}")
        sender.tidy(goods)
        write_card(target)
    return _report(source, str(place), goods, missing, sent, left_out, on_hub)


def pull(
    source: Location,
    out: Location,
    *,
    checkpoints: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    directions: Sequence[str] | None = None,
    artefacts: bool = True,
    dry_run: bool = False,
    progress: Progress = silent,
    log: Log = unheard,
) -> TransferReport:
    """Copy a store from another place to a folder on this machine: `push` in the other direction, in all respects.

    Every object is checked against its manifest when it has arrived, before it is written. For parameters and errors
    see `push`.

    Parameters
    ----------
    source : path or URL
        The store to copy.
    out : path
        The folder, which may hold an earlier part of the same copy.
    checkpoints, datasets, directions, artefacts, dry_run, progress, log
        As for `push`.

    Returns
    -------
    TransferReport

    Raises
    ------
    UsageError
        If `out` is not on this machine.
    """
    if open_folder(out).path is None:
        raise UsageError(f"{out} is not on this machine: use `gradstore store push` to copy to it")
    return push(
        source,
        out,
        checkpoints=checkpoints,
        datasets=datasets,
        directions=directions,
        artefacts=artefacts,
        dry_run=dry_run,
        progress=progress,
        log=log,
    )


def _target(destination: Location, dry_run: bool, log: Log) -> Store | None:
    """The store at the destination; a dry run goes on where nobody answers."""
    try:
        return existing_store(destination)
    except GradstoreError as error:
        if not dry_run or error.exit_code != GradstoreError.exit_code:
            raise
        log(f"{error}; what follows is as if nothing were there")
        return None


def _report(
    source: Store,
    destination: str,
    goods: Shipment,
    missing: Shipment,
    sent: int,
    left_out: list[str],
    on_hub: bool,
) -> TransferReport:
    all_of, lacking = list(goods.sealed()), list(missing.sealed())
    folders = largest_folders(all_of)
    new = {part.columns.place for part in missing.datasets}
    return TransferReport(
        source=source.location,
        destination=destination,
        files=sum(len(each.files) for each in all_of),
        bytes=sum(each.size for each in all_of),
        files_missing=sum(len(each.files) for each in lacking),
        bytes_missing=sum(each.size for each in lacking),
        bytes_sent=sent,
        datasets=[
            {
                "checkpoint": part.checkpoint,
                "name": part.name,
                "directions": sorted(part.directions),
                "new": part.columns.place in new,
            }
            for part in goods.datasets
        ],
        artefacts=[part.sealed.place for part in missing.artefacts],
        left_out=left_out,
        folders=folders,
        warnings=hub_warnings(all_of, folders) if on_hub else [],
    )
