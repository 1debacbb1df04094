"""Which data sets, checkpoints and directions of a store become nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradstore.errors import IncompatibleError, StoreNotFoundError, UsageError
from gradstore.graph.nodes import Nodes, Part
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["checkpoint_weights", "common_checkpoints", "default_sets", "nodes_as_recorded", "open_nodes"]


def open_nodes(
    store: Store,
    *,
    train: Sequence[str],
    targets: Sequence[str],
    checkpoints: Sequence[str] | None = None,
    direction: str | None = None,
    target_direction: str | None = None,
) -> Nodes:
    """Nodes of the named data sets: first the train sets, then the target sets.

    Parameters
    ----------
    store : Store
    train, targets : sequence of str
        Names of data sets.
    checkpoints : sequence of str, optional
        Default: all that hold all of the data sets.
    direction, target_direction : str, optional
        Default: ``adam`` for train sets and ``sgd`` for targets where they have it, else their only direction.

    Returns
    -------
    Nodes

    Raises
    ------
    StoreNotFoundError
        If a data set or checkpoint does not exist.
    IncompatibleError
        If the data sets share no checkpoint, or their rows cannot be compared; says what differs.
    UsageError
        If a name is repeated, or a direction is missing or not clear.
    """
    names = [*train, *targets]
    if not names:
        raise UsageError(
            f"{store.location} has no data set to use; run `gradstore extract {store.location} …` first"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"a data set is named twice: {', '.join(names)}")
    keys = common_checkpoints(store, names, checkpoints)

    def part(name: str, *, target: bool) -> Part:
        chosen = target_direction if target else direction
        return Part.of([store.dataset(name, key) for key in keys], chosen, target=target)

    parts = [part(name, target=False) for name in train] + [part(name, target=True) for name in targets]
    return Nodes(parts, checkpoint_weights(store, keys))


def nodes_as_recorded(store: Store, record: Mapping[str, Any]) -> Nodes:
    """Nodes of the data sets that something was made of: each in the direction that was used of it.

    Parameters
    ----------
    store : Store
    record : Mapping
        Attributes of a graph or a selection: ``train``, ``directions`` and ``checkpoints``.

    Raises
    ------
    StoreNotFoundError, UsageError
        If one of them is not there any more.
    """
    train, directions = list(record["train"]), record["directions"]
    names = [*train, *(name for name in directions if name not in train)]
    keys = common_checkpoints(store, names, record["checkpoints"])
    parts = [
        Part.of([store.dataset(name, key) for key in keys], directions[name], target=name not in train)
        for name in names
    ]
    return Nodes(parts, checkpoint_weights(store, keys))


def common_checkpoints(
    store: Store, names: Sequence[str], checkpoints: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Checkpoints to use: the given ones, else all that hold every one of the data sets `names`."""
    checkpoints = [checkpoints] if isinstance(checkpoints, str) else checkpoints
    for key in checkpoints or ():
        if key not in store.checkpoints:
            raise StoreNotFoundError(unknown_name("checkpoint", key, store.checkpoints))
    candidates = tuple(checkpoints or store.checkpoints)
    holders = {name: [key for key in candidates if name in store.datasets(key)] for name in names}
    for name, keys in holders.items():
        if not keys:
            raise StoreNotFoundError(unknown_name("data set", name, store.datasets()))
    shared = tuple(key for key in candidates if all(key in keys for keys in holders.values()))
    if checkpoints is not None and shared != candidates:
        missing = [f"{name!r} in {key!r}" for key in candidates for name in names if key not in holders[name]]
        raise StoreNotFoundError(f"not extracted yet: {', '.join(missing)}")
    if not shared:
        raise IncompatibleError(_no_common_checkpoint(store, holders))
    return shared


def default_sets(
    store: Store, train: Sequence[str] | None, targets: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Names of the train and target sets; the data sets themselves know which of them are targets.

    A set that is named stands for those that continue it too: one file that has grown.
    """
    train = [train] if isinstance(train, str) else train
    targets = [targets] if isinstance(targets, str) else targets
    named = [*(train or ()), *(targets or ())]
    found: tuple[list[str], list[str]] = ([], [])
    continued: dict[str, list[str]] = {}
    all_named = train is not None and targets is not None
    for name in store.datasets():
        if name not in named and not (all_named and name.rpartition(".")[0] not in named):
            key = next(key for key in store.checkpoints if name in store.datasets(key))
            attributes = store.dataset(name, key).attributes
            found[bool(attributes.get("target", False))].append(name)
            continued.setdefault(str(attributes.get("continues", name)), []).append(name)

    def whole(names: Sequence[str]) -> list[str]:
        return [each for name in names for each in (name, *continued.get(name, ()))]

    return (
        whole(train) if train is not None else found[0],
        whole(targets) if targets is not None else found[1],
    )


def checkpoint_weights(store: Store, keys: Sequence[str]) -> tuple[float, ...]:
    """Learning-rate weights of the checkpoints, normalised to sum 1.

    A checkpoint of which no rate is known weighs as much as the others on average.
    """
    weights = np.array([store.identity(key).weight for key in keys], np.float64)
    known = weights > 0
    weights[~known] = weights[known].mean() if known.any() else 1.0
    return tuple(map(float, weights / weights.sum()))


def _no_common_checkpoint(store: Store, holders: dict[str, list[str]]) -> str:
    where = "; ".join(f"{name!r} in {', '.join(keys)}" for name, keys in holders.items())
    (first, *_), *others = holders.values()
    other = next((keys[0] for keys in others if first not in keys), first)
    differences = store.identity(first).differences(store.identity(other))
    return (
        f"the data sets share no checkpoint: {where}. {other} differs from {first} by "
        f"{'; '.join(differences) or 'nothing but its name'}. Extract them with the same checkpoint and projection"
    )
