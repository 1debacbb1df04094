"""`gradstore.select`: from a store to the chosen rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstore.errors import UsageError
from gradstore.graph.exact import MEMORY
from gradstore.graph.graph import EXACT, load_graph
from gradstore.graph.nodes import Nodes
from gradstore.graph.sets import default_sets
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.select.balance import Balance, Proposer, check_balance
from gradstore.select.budget import purses, wanted_rows
from gradstore.select.candidates import open_for, restricted_graph
from gradstore.select.choose import choose
from gradstore.select.context import Project, SelectionContext
from gradstore.select.gate import Gate
from gradstore.select.keep import keep_in
from gradstore.select.leakage import leak_note, leaked
from gradstore.select.limits import Limits
from gradstore.select.params import settings
from gradstore.select.picked import Picked
from gradstore.select.protocol import Selector
from gradstore.select.resolve import resolve
from gradstore.select.target import Target, served, targets_of
from gradstore.select.threads import undivided
from gradstore.store.layout import check_name

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["select"]


def select(
    store: Store | str | Path,
    *,
    selector: str | Selector = "g2is",
    target: str | Sequence[str] | None = None,
    balance: Balance = "shared",
    budget: int | float | None = None,
    tokens: int | None = None,
    limits: Limits | None = None,
    train: Sequence[str] | None = None,
    checkpoints: Sequence[str] | None = None,
    direction: str | None = None,
    target_direction: str | None = None,
    graph: str = "default",
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    project: Project | None = None,
    name: str | None = None,
    keep: bool = True,
    progress: Progress = silent,
    log: Log = unheard,
) -> Picked:
    """Choose rows of the train sets, and keep the choice in the store if it is on this machine and can be written.

    Parameters
    ----------
    store : Store or path
    selector : str or Selector, default "g2is"
        An installed selector, a class in a file (``"mine.py:Mine"``), or a selector itself.
    target : str or sequence of str, optional
        Data set or sets to select for.
    balance : {"shared", "quota", "round-robin"}
        Of several targets: ``shared`` takes them as one; with ``quota`` each has an equal part of the budget;
        with ``round-robin`` they choose in turns.
    budget : int or float, optional
        Rows to choose, or with a float the share of all rows of the train sets.
    tokens : int, optional
        Tokens to choose, in place of `budget`.
    limits : Limits, optional
        What keeps a row out whatever the selector says.
    train : sequence of str, optional
        Data sets to choose from; default: all that are not targets.
    checkpoints : sequence of str, optional
        Default: all that hold all of the data sets.
    direction, target_direction : str, optional
        Default: ``adam`` and ``sgd`` where a data set has them, else its only direction.
    graph : str, default "default"
        Name of the graph, for selectors that use one. ``"exact"``: none; neighbours are computed where they are
        needed.
    params : Mapping, optional
        Parameters of the selector, as values or texts.
    seed : int, default 0
    memory : int, default 4 GiB
        Bytes that may be held of vectors; what does not fit is read when it is needed. Picks are the same.
    project : callable, optional
        ``project(nodes, directions, progress)`` computes the similarities elsewhere, see `gradstore.cluster`.
    name : str, optional
        Name of the selection in the store; default: selector and target.
    keep : bool, default True
        Keep it there.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what will be downloaded, and whether
        a selection was replaced or the choice could not be kept.

    Returns
    -------
    Picked

    Raises
    ------
    UsageError
        If the budget, the selector or one of its parameters cannot be right, or a needed target is not given.
    DataError
        If a data set has no valid row.
    StoreNotFoundError
        If a data set, checkpoint or needed graph does not exist.
    IncompatibleError
        If the data sets share no checkpoint, or the graph is older than its rows.

    Examples
    --------
    >>> from gradstore.testing import tiny_store
    >>> picked = select(tiny_store("tiny.zarr"), selector="less", target="target", budget=6)
    >>> len(picked.ids)
    6
    """
    from gradstore.store import open_store
    from gradstore.store.lost import lost_groups

    opened = open_store(store) if isinstance(store, str | Path) else store
    here = opened.folder.path is not None  # elsewhere every look is a request
    for lost in lost_groups(opened.folder) if here else ():
        log(f"{lost.place} {lost.what}: it is left out; `gradstore doctor {opened.location}` says more")
    rule = resolve(selector, params)
    wishes = [target] if isinstance(target, str) else list(target or ())
    check_balance(balance, len(wishes))
    name = name or "-".join(filter(None, (rule.name, *wishes)))
    if keep:
        check_name("selection", name)
    train, targets = default_sets(opened, train, wishes)
    if not train:
        raise UsageError(_nothing_to_choose_from(opened, wishes))
    both = open_for(
        rule,
        opened,
        train=train,
        targets=targets,
        checkpoints=checkpoints,
        direction=direction,
        target_direction=target_direction,
    )
    nodes = Nodes([part for part in both.parts if not part.target], both.weights)
    aims = targets_of(both, wishes, shared=balance == "shared")
    rows = sum(len(part.datasets[0]) for part in nodes.parts)
    wanted = wanted_rows(budget, tokens, rows=rows, candidates=len(nodes))
    if len(both.weights) > 1:
        log(_weights_note(both))
    leaks = leaked(nodes, [part for part in both.parts if part.target])
    if len(leaks):
        log(leak_note(nodes, leaks))

    def context_of(some: Nodes, aim: Target | None) -> SelectionContext:
        return SelectionContext(
            some,
            target=aim,
            graph=lambda: restricted_graph(load_graph(opened, graph), some, opened, graph),
            exact=graph == EXACT,
            seed=seed,
            memory=memory,
            elsewhere=project,
            progress=progress,
            before_vectors=lambda: _announce(both, log),
        )

    limits = limits or Limits()
    gate = Gate(nodes, limits, budget=wanted, longest=tokens, memory=memory)
    parts = len(aims) if balance == "quota" else 1
    proposer = Proposer(rule, nodes, aims, balance, context_of)
    with undivided():
        choice = choose(nodes, proposer, gate, purses(wanted, tokens, parts))
        if balance == "shared" and aims:
            choice = replace(choice, serves=served(nodes, choice.selection.picks, aims[0]))
    config = {
        "selector": rule.name,
        "parameters": settings(rule),
        "target": "+".join(wishes) or None,
        "targets": wishes,
        "balance": balance,
        "budget": wanted if tokens is None else None,
        "tokens": tokens,
        "limits": limits.to_json(),
        "rows": rows,
        "candidates": len(nodes),
        "leaked": len(leaks),
        "train": train,
        "checkpoints": [dataset.checkpoint for dataset in nodes.parts[0].datasets],
        "weights": list(nodes.weights),
        "directions": {part.datasets[0].name: part.direction for part in both.parts},
        "digests": {
            f"{d.checkpoint}/{d.name}": d.digest_of(part.direction)
            for part in both.parts
            for d in part.datasets
        },
        "graph": graph,
        "seed": seed,
    }
    picked = Picked(nodes, choice, config)
    if keep:
        _keep(opened, name, picked, log)
    return picked


def _keep(store: Store, name: str, picked: Picked, log: Log) -> None:
    """Write the choice to the store if it is here and can be written; say so if not, or if one was replaced."""
    from gradstore.store import told_before

    if store.folder.path is None:
        log(
            f"the choice is not kept in {store.location}, which is not on this machine: an overlay would keep it "
            f"(gradstore store new mine.zarr --on {store.location})"
        )
    elif not store.writable:
        log(
            f"the choice is not kept, since {store.location} cannot be written: `why` and `compare` do not know it; an "
            f"overlay would keep it (gradstore store new mine.zarr --on {store.location})"
        )
    else:
        before = told_before(store, "selections", name)
        keep_in(store, name, picked)
        if before is not None:
            rows = before.get("picked")
            log(f"replaced selection {name}" + (f" ({rows} rows)" if isinstance(rows, int) else ""))


def _nothing_to_choose_from(store: Store, wishes: Sequence[str]) -> str:
    others, targets = default_sets(store, None, None)
    if others and set(others) <= set(wishes):
        named = ", ".join(map(repr, others))
        only = (
            "is named as target and is the only set"
            if len(others) == 1
            else "are named as targets and are all sets"
        )
        return f"{named} {only} to choose from; targets are: {', '.join(targets) or 'none yet'}"
    return f"{store.location} has no data set to choose from; run `gradstore extract {store.location} …`"


def _weights_note(nodes: Nodes) -> str:
    """How much each checkpoint counts: seen at once if a learning rate was logged badly."""
    keys = (dataset.checkpoint for dataset in nodes.parts[0].datasets)
    shares = (f"{key} {weight:.1%}" for key, weight in zip(keys, nodes.weights, strict=True))
    return f"weights of the checkpoints: {', '.join(shares)}"


def _announce(nodes: Nodes, log: Log) -> None:
    """Say how much reading the vectors will download."""
    from gradstore.store import download_note

    note = download_note(nodes.vectors)
    if note:
        log(note)
