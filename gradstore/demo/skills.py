"""The demo's instruction set: one target skill, the skills it is made of, and many others.

Every row is generated. The target skill is not in the pool: a selector that finds the prerequisites has found
what the target is made of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from gradstore.demo import arithmetic, language
from gradstore.errors import UsageError

__all__ = ["OTHERS", "PREREQUISITES", "TARGET", "InstructionSet", "Skill", "instruction_set", "write_rows"]


@dataclass(frozen=True, slots=True)
class Skill:
    """A named generator of (question, answer)."""

    name: str
    make: Callable[[Random], tuple[str, str]]


TARGET = Skill("multiplication", arithmetic.multiplication)
PREREQUISITES = (
    Skill("times-table", arithmetic.times_table),
    Skill("addition", arithmetic.addition),
    Skill("partial-products", arithmetic.partial_products),
    Skill("place-value", arithmetic.place_value),
    Skill("powers-of-ten", arithmetic.powers_of_ten),
)
OTHERS = (
    Skill("atlas", language.atlas),
    Skill("backwards", language.backwards),
    Skill("colours", language.colours),
    Skill("door-codes", language.door_codes),
    Skill("greetings", language.greetings),
    Skill("opposites", language.opposites),
    Skill("plurals", language.plurals),
    Skill("sorting", language.sorting),
    Skill("units", language.units),
    Skill("weekdays", language.weekdays),
)


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Rows in the messages format; no question occurs twice.

    Attributes
    ----------
    pool : list of dict
        Candidates: prerequisites and others, shuffled.
    target : list of dict
        Rows of the target skill.
    lessons : list of dict
        What the demo's model is trained on before anything else: the pool's skills in other rows.
    """

    pool: list[dict[str, Any]]
    target: list[dict[str, Any]]
    lessons: list[dict[str, Any]]


def instruction_set(
    *, pool: int = 1300, target: int = 48, lessons: int = 1500, seed: int = 0
) -> InstructionSet:
    """Generate about `pool` candidates (22 % prerequisites), `target` target rows and `lessons` lessons.

    Raises
    ------
    UsageError
        If a skill cannot make that many different questions.
    """
    mixed: list[dict[str, Any]] = []
    taught: list[dict[str, Any]] = []
    for skills, share in ((PREREQUISITES, 0.22), (OTHERS, 0.78)):
        for skill in skills:
            chosen = max(1, round(pool * share / len(skills)))
            rows = _distinct(
                skill, chosen + max(1, round(lessons / (len(PREREQUISITES) + len(OTHERS)))), seed
            )
            mixed += rows[:chosen]
            taught += rows[chosen:]
    Random(f"{seed}/order").shuffle(mixed)
    Random(f"{seed}/lessons").shuffle(taught)
    return InstructionSet(mixed, _distinct(TARGET, target, seed), taught)


def _distinct(skill: Skill, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` rows of one skill with different questions."""
    rng = Random(f"{seed}/{skill.name}")
    answers: dict[str, str] = {}
    for _ in range(100 * count):
        if len(answers) == count:
            break
        question, answer = skill.make(rng)
        answers.setdefault(question, answer)
    else:
        raise UsageError(f"the skill {skill.name!r} has no {count} different questions; ask for fewer rows")
    return [
        {
            "id": f"{skill.name}-{i:04d}",
            "source": skill.name,
            "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}],
        }
        for i, (q, a) in enumerate(answers.items())
    ]


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
