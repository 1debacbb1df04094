"""Several targets at once: who may propose how many rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.nodes import Nodes
from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.protocol import Selector
from gradstore.select.target import Target

__all__ = ["BALANCES", "Balance", "Proposal", "Proposer", "check_balance"]

Balance = Literal["shared", "quota", "round-robin"]
BALANCES = ("shared", "quota", "round-robin")
"""``shared``: the targets are one, and share the budget; ``quota``: each has an equal part of it; ``round-robin``:
they choose in turns."""


@dataclass
class Proposal:
    """Rows that a selector would choose next, for any number of targets.

    Attributes
    ----------
    candidates, purse : list of int
        The rows in pick order, and which part of the budget pays for each.
    targets : list of str
        Whom each serves.
    whys : list of dict
        The selector's explanation of each.
    short : dict from int to int
        Rows that the selector did not propose though it was asked to, by purse.
    scores : list of ndarray, shape (candidates,)
    reports : dict from target to report
    """

    candidates: list[int] = field(default_factory=list)
    purse: list[int] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    whys: list[dict[str, Any]] = field(default_factory=list)
    short: dict[int, int] = field(default_factory=dict)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    reports: dict[str, Any] = field(default_factory=dict)


class Proposer:
    """Asks a selector for rows, for one target or several.

    Parameters
    ----------
    rule : Selector
    nodes : Nodes
        All candidates.
    targets : sequence of Target
        None of them, or those that the balance keeps apart.
    balance : {"shared", "quota", "round-robin"}
        ``shared`` has at most one target here.
    context_of : callable
        ``context_of(nodes, target)`` makes what the selector sees.
    """

    def __init__(
        self,
        rule: Selector,
        nodes: Nodes,
        targets: Sequence[Target],
        balance: Balance,
        context_of: Callable[[Nodes, Target | None], SelectionContext],
    ) -> None:
        self._rule, self._nodes, self._context_of = rule, nodes, context_of
        self._targets: tuple[Target | None, ...] = tuple(targets) or (None,)
        self._balance = balance

    def propose(self, free: npt.NDArray[np.int64], asked: Sequence[int]) -> Proposal:
        """Rows among the candidates `free`; `asked`: how many for each part of the budget."""
        if self._balance == "round-robin":
            return self._in_turns(free, asked[0])
        proposal = Proposal()
        for purse, (target, count) in enumerate(zip(self._targets, asked, strict=True)):
            left = np.setdiff1d(free, proposal.candidates, assume_unique=True)
            found = self._ask(target, left, count, proposal)
            proposal.short[purse] = min(count, len(left)) - len(found)
            for candidate, why in found:
                _add(proposal, candidate, purse, target, why)
        return proposal

    def _in_turns(self, free: npt.NDArray[np.int64], count: int) -> Proposal:
        proposal = Proposal()
        lists = [iter(self._ask(target, free, count, proposal)) for target in self._targets]
        taken: set[int] = set()
        waiting = dict(enumerate(lists))
        while waiting and len(taken) < count:
            for place, rows in list(waiting.items()):
                nearest = next(((c, why) for c, why in rows if c not in taken), None)
                if nearest is None:
                    del waiting[place]
                elif len(taken) < count:
                    taken.add(nearest[0])
                    _add(proposal, nearest[0], 0, self._targets[place], nearest[1])
        proposal.short[0] = min(count, len(free)) - len(taken)
        return proposal

    def _ask(
        self, target: Target | None, free: npt.NDArray[np.int64], count: int, proposal: Proposal
    ) -> list[tuple[int, dict[str, Any]]]:
        """Picks for one target, each with its explanation; scores and report go to `proposal`."""
        count = min(count, len(free))
        if not count:
            return []
        context = self._context_of(self._nodes.subset(free), target)
        selection = _checked(self._rule, self._rule.select(context, count), len(free), count)
        if selection.scores is not None:
            scores = np.full(len(self._nodes), np.nan, np.float32)
            scores[free] = selection.scores
            proposal.scores.append(scores)
        proposal.reports[target.name if target else ""] = dict(selection.report)
        columns = selection.columns
        return [
            (int(free[pick]), {name: values[i] for name, values in columns.items()})
            for i, pick in enumerate(selection.picks)
        ]


def check_balance(balance: str, targets: int) -> None:
    """Refuse a balance that does not exist, or that has nothing to balance."""
    if balance not in BALANCES:
        raise UsageError(f"the balance is {balance!r}; choose from: {', '.join(BALANCES)}")
    if balance != "shared" and targets < 2:
        raise UsageError(f"balance {balance!r} needs several targets; name each with --target")


def _add(proposal: Proposal, candidate: int, purse: int, target: Target | None, why: dict[str, Any]) -> None:
    proposal.candidates.append(candidate)
    proposal.purse.append(purse)
    proposal.targets.append(target.name if target else "")
    proposal.whys.append(why)


def _checked(rule: Selector, selection: Selection, candidates: int, budget: int) -> Selection:
    """`selection`, if a selector may return it."""
    picks = np.asarray(selection.picks)
    if len(picks) > budget:
        raise UsageError(f"selector {rule.name!r} picked {len(picks)} rows of a budget of {budget}")
    if len(picks) and (picks.min() < 0 or picks.max() >= candidates):
        raise UsageError(f"selector {rule.name!r} picked a row that is no candidate")
    if selection.scores is not None and np.shape(selection.scores) != (candidates,):
        raise UsageError(f"selector {rule.name!r} scored {len(selection.scores)} of {candidates} candidates")
    for name, values in selection.columns.items():
        if len(values) != len(picks):
            raise UsageError(
                f"selector {rule.name!r} explains {len(values)} of {len(picks)} picks by {name!r}"
            )
    return selection
