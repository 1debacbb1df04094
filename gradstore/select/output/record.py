"""The record of a choice, from which it can be made again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstore.errors import DataError, IncompatibleError, UsageError
from gradstore.records import digest
from gradstore.storage.complete import new_file

if TYPE_CHECKING:
    from gradstore.select.picked import Picked
    from gradstore.store import Store

__all__ = ["read_record", "record_of", "replay", "select_arguments", "write_record"]

FORMAT = 1
_LARGEST = 1 << 30


def record_of(picked: Picked) -> dict[str, Any]:
    """Everything that decided the choice, what came of it, and a digest of the ids in pick order."""
    return {"selection": FORMAT, **picked.report(), "ids_digest": _ids_digest(picked)}


def write_record(picked: Picked, path: Path) -> None:
    """Write `record_of` as JSON; a parameter that JSON does not know as text."""
    with new_file(path) as file:
        file.write(json.dumps(record_of(picked), indent=1, ensure_ascii=False, default=str).encode() + b"\n")


def read_record(path: str | Path) -> dict[str, Any]:
    """The record in a file that ``select`` wrote.

    Raises
    ------
    UsageError
        If there is no such file.
    DataError
        If it is no record, or one of a later version.
    """
    place = Path(path)
    try:
        if place.stat().st_size > _LARGEST:
            raise DataError(f"{place} is larger than any record of a choice")
        found = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no record of a choice: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("selection"), int):
        raise DataError(f"{place} is no record of a choice: `gradstore select` writes one beside the rows")
    if found["selection"] > FORMAT:
        raise DataError(
            f"{place} was written by a later gradstore (record {found['selection']}); upgrade gradstore"
        )
    return found


def select_arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with which `gradstore.select` repeats a recorded choice.

    Raises
    ------
    DataError
        If the record lacks one of them or has one of a wrong type.
    """
    from gradstore.select.limits import Limits

    with _damage_told():
        names = set(record["train"])
        train = {way for name, way in record["directions"].items() if name in names}
        aims = {way for name, way in record["directions"].items() if name not in names}
        return {
            "selector": str(record["selector"]),
            "params": dict(record["parameters"]),
            "target": [str(name) for name in record["targets"]],
            "balance": str(record["balance"]),
            "budget": record["budget"],
            "tokens": record["tokens"],
            "limits": Limits(**record["limits"]),
            "train": [str(name) for name in record["train"]],
            "checkpoints": [str(name) for name in record["checkpoints"]],
            "direction": train.pop() if len(train) == 1 else None,
            "target_direction": aims.pop() if len(aims) == 1 else None,
            "graph": str(record["graph"]),
            "seed": int(record["seed"]),
        }


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the record of the choice is damaged: {type(error).__name__}: {error}") from error


def replay(store: Store | str | Path, record: str | Path | Mapping[str, Any], **options: Any) -> Picked:
    """Make a recorded choice again, on the same rows in whichever store.

    Parameters
    ----------
    store : Store or path
    record : path or Mapping
        The file that ``select`` wrote beside the rows, or what it holds.
    **options
        For `gradstore.select`: `memory`, `progress`, `log`, `name`, `project`; and `selector`, which must be given
        for a selector that is not installed: no code is run because a record names it.

    Raises
    ------
    IncompatibleError
        If the store's rows are not those of the record, or other rows were chosen.
    UsageError, DataError
        If the record cannot be read, or as `gradstore.select`.
    """
    from gradstore.select.resolve import selectors
    from gradstore.select.run import select
    from gradstore.store import open_store

    opened = open_store(store) if isinstance(store, str | Path) else store
    known = record if isinstance(record, Mapping) else read_record(record)
    arguments = select_arguments(known)
    if "selector" not in options and arguments["selector"] not in {info.name for info in selectors()}:
        raise UsageError(
            f"the record names the selector {arguments['selector']!r}, which is not installed; name where it is with "
            "--selector"
        )
    _check_rows(opened, known)
    picked = select(opened, **{**arguments, **options})
    _check_replayed(picked, known)
    return picked


def _check_replayed(picked: Picked, record: Mapping[str, Any]) -> None:
    """Refuse a choice that is not the recorded one."""
    if _ids_digest(picked) != record.get("ids_digest"):
        raise IncompatibleError(
            f"the choice was made again but has other rows than recorded: was graph {record['graph']!r} built "
            "anew, or is it another version of the selector?"
        )


def _check_rows(store: Store, record: Mapping[str, Any]) -> None:
    with _damage_told():
        digests = {tuple(place.rsplit("/", 1)): str(wanted) for place, wanted in record["digests"].items()}
        directions = {name: str(record["directions"][name]) for _, name in digests}
    for (checkpoint, name), wanted in digests.items():
        found = store.dataset(name, checkpoint).digest_of(directions[name])
        if found != wanted:
            raise IncompatibleError(
                f"data set {name!r} of checkpoint {checkpoint!r} has other rows than the recorded choice was made "
                f"from: digest {found[:12]}, recorded {wanted[:12]}"
            )


def _ids_digest(picked: Picked) -> str:
    return digest(
        *(f"{dataset}\0{name}".encode() for dataset, name in zip(picked.datasets, picked.ids, strict=True))
    )
