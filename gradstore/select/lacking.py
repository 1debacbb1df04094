"""Directions that a selector reads and a store lacks, and the commands that add them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradstore.errors import UsageError

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["check_directions"]


def check_directions(
    selector: str, store: Store, wanted: Mapping[str, str | None], checkpoints: Sequence[str]
) -> None:
    """Refuse data sets that lack a direction in one of the checkpoints, and name all of them at once.

    Parameters
    ----------
    selector : str
        What reads the directions.
    store : Store
    wanted : Mapping from str to str or None
        Direction to be read of each data set; None for whichever there is.
    checkpoints : sequence of str
        All of them hold all of the data sets.

    Raises
    ------
    UsageError
    """
    told, ways = [], []
    commands: list[str] = []
    imported = not store.identity(checkpoints[0]).base_digest
    for name, direction in wanted.items():
        sets = {key: store.dataset(name, key) for key in checkpoints}
        keys = [key for key, each in sets.items() if direction and direction not in each.directions]
        if direction is None or not keys:
            continue
        held = sorted({each for key in keys for each in sets[key].directions})
        told.append(f"{name!r} has {', '.join(held)} and no {direction} in {', '.join(keys)}")
        commands.append(f"`{_command(store, sets[keys[0]], direction, keys)}`")
        ways.append("--target-direction" if _is_target(sets[keys[0]]) else "--direction")
    if told:
        cure = (
            "Import such vectors of all of them under a checkpoint of its own and name it with --checkpoint"
            if imported
            else f"Run {' and '.join(commands)}"
        )
        others = " and ".join(dict.fromkeys(ways))
        raise UsageError(
            f"selector {selector!r} lacks directions that it reads: {'; '.join(told)}. {cure}, or choose others with "
            f"{others}"
        )


def _command(store: Store, dataset: Dataset, direction: str, keys: Sequence[str]) -> str:
    """What adds a direction to a data set that was extracted."""
    from gradstore.store import carries_adapter, names_base

    words = ["gradstore", "extract", store.location]
    for key in keys:  # the folder of a checkpoint is called as it is in the store
        words += ["--checkpoint", f"store:{key}" if carries_adapter(store, key) else key]
    if carries_adapter(store, keys[0]) and not names_base(store, keys[0]):
        words += ["--base", store.identity(keys[0]).base]
    words += [
        "--data",
        _file(dataset),
        "--name",
        dataset.name,
        *(["--target"] if _is_target(dataset) else []),
    ]
    return shlex.join([*words, "--direction", direction])


def _file(dataset: Dataset) -> str:
    """The file that a data set came from, if it tells."""
    told = dataset.attributes.get("provenance")
    return str(told.get("file") or "FILE") if isinstance(told, dict) else "FILE"


def _is_target(dataset: Dataset) -> bool:
    return bool(dataset.attributes.get("target", False))
