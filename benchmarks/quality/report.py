"""Tables of the results: means over seeds, and differences from other choices at the same seed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.quality.choices import MAIN as COMPARED
from benchmarks.quality.pictures import picture_of_choices, picture_of_variations
from benchmarks.quality.results import MAIN, Group, Losses, Training, difference, interval, read, varied
from benchmarks.quality.variations import Variations, variations

RIVALS = {"random": "random", "round-robin": "round-robin", "less:aggregate=mean": "LESS's mean"}


def report(results: Path, page: Path) -> None:
    """Write what is between the marks of a page anew, and the pictures beside it."""
    groups = read(results)
    several = varied(groups)
    plain = {group: losses for group, losses in groups.items() if group.training not in several}
    tables = [_table(group, losses) for group, losses in plain.items()]
    studies = [variations(groups, training) for training in sorted(several)]
    tables += [_variations(training, study) for training, study in zip(sorted(several), studies, strict=True)]
    text = page.read_text(encoding="utf-8")
    text = _filled(text, "glance", _glance(plain))
    text = _filled(text, "quality", "\n\n".join(tables))
    page.write_text(text, encoding="utf-8")
    picture_of_choices(plain, page.with_name("quality.svg"))
    for study in studies:
        picture_of_variations(study, page.with_name("quality-varied.svg"))


def _filled(text: str, name: str, block: str) -> str:
    """A page with another text between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise SystemExit(f"the page lacks {begin} and {end}")
    return f"{before}{begin}\n{block}\n{end}{after}"


def _glance(groups: dict[Group, Losses]) -> str:
    """One line for each experiment: what each choice adds to the loss of a random one."""
    compared = {choice for losses in groups.values() for choice, seeds in losses.items() if len(seeds) > 1}
    choices = [choice for choice in COMPARED if choice in compared and choice != "random"]
    lines = [
        f"| model, budget | for | loss on | {' | '.join(map(_named, choices))} |",
        "|---|---|---|" + "---:|" * len(choices),
    ]
    for group, losses in sorted(groups.items(), key=lambda item: (item[0].training, "+" in item[0].target)):
        found = [difference(losses.get(choice, {}), losses.get("random", {})) for choice in choices]
        what = f"{group.training.model}, {group.training.fraction:.0%}", group.target.replace("+", " and ")
        lines.append(f"| {' | '.join((*what, group.test, *map(_sign, found)))} |")
    return "\n".join(lines)


def _sign(found: tuple[float, float, int] | None) -> str:
    """A difference, marked where its interval leaves out zero."""
    if found is None:
        return ""
    mean, half, _ = found
    if not abs(mean) > half:
        return f"{mean:+.3f}"
    return f"**{mean:+.3f}**" if mean < 0 else f"({mean:+.3f})"


def _named(choice: str) -> str:
    return f"*{choice}*" if choice in ("base", "all") else f"`{choice}`"


def told(found: tuple[float, float, int] | None) -> str:
    """A difference, its interval, and whether that leaves out zero."""
    if found is None:
        return ""
    mean, half, _ = found
    if math.isnan(half):
        return f"{mean:+.4f}"
    verdict = "" if abs(mean) <= half else " **better**" if mean < 0 else " worse"
    return f"{mean:+.4f} ± {half:.4f}{verdict}"


def _table(group: Group, losses: Losses) -> str:
    what = group.target.replace("+", " and ")
    lines = [
        f"### {group.training.model}, for {what}: {group.training.fraction:.0%} of the pool, loss on {group.test}",
        "",
        _terms(group.training),
        "",
        f"| chosen by | seeds | loss | {' | '.join(f'against {name}' for name in RIVALS.values())} |",
        "|---|---:|---:|" + "---:|" * len(RIVALS),
    ]
    if group.label != MAIN:
        lines[0] += f", store `{group.label}`"
    for choice in sorted(losses, key=lambda name: np.mean(list(losses[name].values()))):
        mean, half = interval(list(losses[choice].values()))
        value = f"{mean:.4f}" + ("" if math.isnan(half) else f" ± {half:.4f}")
        against = [
            "" if rival == choice else told(difference(losses[choice], losses.get(rival, {})))
            for rival in RIVALS
        ]
        lines.append(f"| {_named(choice)} | {len(losses[choice])} | {value} | {' | '.join(against)} |")
    return "\n".join(lines)


def _terms(training: Training) -> str:
    return f"{training.steps} steps of 16 rows at {training.lr:g}, {training.test_rows} test rows."


def _variations(training: Training, study: Variations) -> str:
    """What each variation adds to the loss that the same selector reaches from the usual rows."""
    columns = list(study.usual)
    lines = [
        f"### {training.model}, other gradients: {training.fraction:.0%} of the pool",
        "",
        f"{_terms(training)} The first line is the loss, the others are differences from it at the same seed.",
        "",
        "| gradients | " + " | ".join(f"`{choice}`, {target}" for choice, target in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    usual = []
    for column in columns:
        mean, half = interval(list(study.usual[column].values()))
        usual.append(f"{mean:.4f}" + ("" if math.isnan(half) else f" ± {half:.4f}"))
    lines.append(f"| *as above* | {' | '.join(usual)} |")
    for name, row in study.rows.items():
        lines.append(f"| {name} | {' | '.join(told(row.get(column)) for column in columns)} |")
    return "\n".join(lines)
