"""What the demo found, as data and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["DemoResult", "SkillCount"]


@dataclass(frozen=True, slots=True)
class SkillCount:
    """How often rows of one skill are in the pool and were chosen.

    Attributes
    ----------
    skill : str
    prerequisite : bool
        Whether the target skill is made of it.
    pool : int
    chosen : Mapping from selector to int
    """

    skill: str
    prerequisite: bool
    pool: int
    chosen: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Outcome of `run_demo`; ``str()`` of it is what a person should read.

    Attributes
    ----------
    target : str
        The target skill, of which the pool has no row.
    skills : sequence of SkillCount
        Prerequisites first.
    prerequisite_share : Mapping from selector to float
        Share of prerequisite rows among the rows chosen; under ``"pool"`` that of the pool.
    files : Mapping from description to path
    commands : sequence of str
        The same steps for a shell; they write to a folder of their own.
    seconds : Mapping from stage to float
    """

    target: str
    skills: Sequence[SkillCount]
    prerequisite_share: Mapping[str, float]
    files: Mapping[str, str]
    commands: Sequence[str]
    seconds: Mapping[str, float]

    def __str__(self) -> str:
        """Table, places and commands."""
        places = _columns([[f"  {what}", path] for what, path in self.files.items()])
        took = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in self.seconds.items())
        return "\n".join(
            [
                f"Rows chosen for {self.target!r}, a skill of which the pool has no row; * marks the skills that it",
                "is made of. Beside each count: how many times the pool's share that is.",
                "",
                *self._table(),
                "",
                f"Seconds: {took}.",
                "Everything is kept:",
                *places,
                "",
                "The same steps on the command line (they write to a folder of their own):",
                *(f"  {command}" for command in self.commands),
            ]
        )

    def _table(self) -> list[str]:
        selectors = [name for name in self.prerequisite_share if name != "pool"]
        pool = sum(line.pool for line in self.skills)
        rows = [["skill", "pool", *selectors]]
        for line in self.skills:
            cells = []
            for selector in selectors:
                chosen = sum(other.chosen[selector] for other in self.skills)
                ratio = line.chosen[selector] / chosen / (line.pool / pool)
                cells.append(f"{line.chosen[selector]:4d}  {ratio:4.1f}x")
            rows.append([f"{'*' if line.prerequisite else ' '} {line.skill}", f"{line.pool:4d}", *cells])
        shares = [f"{self.prerequisite_share[name]:4.0%}" for name in selectors]
        rows.append(["* all of them", f"{self.prerequisite_share['pool']:4.0%}", *shares])
        return _columns(rows)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
