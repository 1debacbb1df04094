"""A choice within limits: the selector proposes, the gate admits, until the budget is used up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.nodes import Nodes
from gradstore.records import Selection
from gradstore.select.balance import Proposal, Proposer
from gradstore.select.budget import Purse
from gradstore.select.gate import Gate

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what came of the other candidates.

    Attributes
    ----------
    selection : Selection
        Picks, scores, figures and explanations over all candidates.
    serves : list of str, one for each pick
        The target that it was chosen for; ``""`` without one.
    verdicts : ndarray of uint8, shape (N,)
        See `gradstore.select.gate.VERDICTS`.
    twins : Mapping from int to (int, float)
        For each near-duplicate the chosen row that it resembles most, and their cosine.
    """

    selection: Selection
    serves: list[str]
    verdicts: npt.NDArray[np.uint8]
    twins: Mapping[int, tuple[int, float]]


def choose(nodes: Nodes, proposer: Proposer, gate: Gate, purses: Sequence[Purse]) -> Choice:
    """Choose candidates until the budget is used up or no more are proposed.

    What a limit keeps out of one proposal is asked for again, among the candidates that are left: so a selector
    needs to know nothing of limits. What a selector does not propose though it could is its own shortfall, and is
    not asked for again.

    Raises
    ------
    UsageError
        If no row at all is chosen; says what keeps them out.
    """
    tokens = nodes.column("tokens")
    picks: list[int] = []
    serves: list[str] = []
    whys: list[dict[str, Any]] = []
    first: Proposal | None = None
    rounds = short = 0
    while len(free := gate.open):
        asked = [purse.wants(float(tokens[free].mean())) for purse in purses]
        if not any(asked):
            break
        proposal = proposer.propose(free, asked)
        first = first or proposal
        rounds += 1

        payers = [purses[number] for number in proposal.purse]
        admitted = gate.admit(proposal.candidates, payers.__getitem__)
        for place in admitted:
            picks.append(proposal.candidates[place])
            serves.append(proposal.targets[place])
            whys.append(proposal.whys[place])
        for purse, missing in proposal.short.items():
            if missing:
                own = [place for place, payer in enumerate(proposal.purse) if payer == purse]
                purses[purse].rows = len(set(own) - set(admitted))
                short += missing
    if not picks:
        raise UsageError(_none(tokens, gate))
    report = _report(first, gate, rounds, int(tokens[picks].sum()), _missing(purses, short))
    selection = Selection(np.array(picks, np.int64), _best(first), report, _columns(whys))
    return Choice(selection, serves, gate.verdicts, gate.twins)


def _none(tokens: npt.NDArray[Any], gate: Gate) -> str:
    """Why nothing was chosen."""
    kept_out = gate.counts()
    told = ", ".join(f"{count} {reason}" for reason, count in kept_out.items())
    costly = [reason for reason in kept_out if "token" in reason]
    if costly:
        told += f" (the shortest candidate has {int(tokens.min())} tokens)"
    ways = [
        *(["allow more tokens"] if costly else []),
        *(["loosen the limits"] if kept_out.keys() - costly else []),
    ]
    told += f"; {' or '.join(ways)}" if ways else "the selector proposed none"
    return f"no row of {len(tokens)} candidates was chosen: {told}"


def _best(proposal: Proposal | None) -> npt.NDArray[np.float32] | None:
    """For each candidate its highest score for any target, from the first proposal."""
    if proposal is None or not proposal.scores:
        return None
    best = proposal.scores[0]
    for scores in proposal.scores[1:]:
        best = np.fmax(best, scores)
    return best


def _columns(whys: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Explanations by column; a text is empty, and a number is NaN, where a row has none."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for why in whys for name in why):
        given = [why.get(name) for why in whys]
        absent: Any = "" if any(isinstance(value, str) for value in given) else float("nan")
        found[name] = [absent if value is None else value for value in given]
    return found


def _missing(purses: Sequence[Purse], short: int) -> dict[str, Any]:
    """How many rows or tokens of the budget are not used, and why; empty if the budget is used up."""
    if short:
        return {"missing": f"{short} rows", "because": "the selector proposed no more"}
    rows = sum(purse.rows for purse in purses if purse.tokens is None)
    tokens = sum(purse.tokens for purse in purses if purse.tokens)
    left = [f"{count} {unit}" for count, unit in ((rows, "rows"), (tokens, "tokens")) if count]
    return {"missing": left[0], "because": "the limits admit no other candidate"} if left else {}


def _report(
    first: Proposal | None, gate: Gate, rounds: int, tokens: int, missing: dict[str, Any]
) -> dict[str, Any]:
    """The selector's own figures of the first proposal, what the limits kept out, and what is missing."""
    reports = first.reports if first else {}
    report: dict[str, Any] = next(iter(reports.values())) if len(reports) == 1 else dict(reports)
    kept_out = gate.counts()
    own = {
        "tokens": tokens,
        "kept_out": kept_out,
        "rounds": rounds if rounds > 1 else 0,
        "shortfall": missing,
    }
    return {**report, **{name: value for name, value in own.items() if value}}
