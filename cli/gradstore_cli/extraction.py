"""What ``gradstore extract`` prints: a plan before, a report after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradstore_cli import console

if TYPE_CHECKING:
    from gradstore.gradients import ExtractReport, Plan

__all__ = ["plan_text", "priced", "report_text"]

NAMES_SHOWN = 3


def priced(plan: Plan, price: float | None) -> dict[str, Any]:
    """A plan as JSON values, with what it costs if an hour has a price."""
    values: dict[str, Any] = console.plain(plan)
    return values if price is None else values | {"cost": plan.seconds_estimate / 3600 * price}


def plan_text(plans: Sequence[Plan], price: float | None) -> str:
    """Facts of each plan, and the sum if there are several."""
    texts = [_plan_facts(plan, price) for plan in plans]
    if len(plans) > 1:
        seconds = sum(plan.seconds_estimate for plan in plans)
        texts.append("in all\n" + console.facts({"time": _about(seconds), "cost": _cost(seconds, price)}))
    return "\n\n".join(texts)


def _plan_facts(plan: Plan, price: float | None) -> str:
    each = f", about {console.duration(plan.chunk_seconds)} each" if plan.chunks_missing else ""
    return console.facts(
        {
            "checkpoint": plan.checkpoint,
            "data set": f"{plan.name}, which continues {plan.continues}" if plan.continues else plan.name,
            "rows": console.count(plan.rows)
            + (f" ({console.count(plan.duplicates)} repeat an earlier one)" if plan.duplicates else ""),
            "tokens": console.count(plan.tokens),
            "truncated": _rows(plan.truncated),
            "invalid": _reasons(plan.invalid) or _rows(0),
            "parameters": f"{console.count(plan.trained_parameters)} attributed",
            "left out": _names(plan.unattributed),
            "batch": f"{plan.batch_rows:,.1f} rows on average",
            "memory": console.size(plan.memory_estimate) if plan.memory_estimate else "",
            "disk": console.size(plan.bytes),
            "chunks": f"{console.count(plan.chunks_missing)} of {console.count(plan.chunks_total)}"
            f" to compute{each}",
            "time": f"{_about(plan.seconds_estimate)} at {plan.tokens_per_second:,.0f} tokens/s",
            "cost": _cost(plan.seconds_estimate, price),
        }
    )


def report_text(reports: Sequence[ExtractReport]) -> str:
    """A table with a line for each data set, and below it what a reader must know about them."""
    header = ("checkpoint", "data set", "rows", "valid", "truncated", "tokens", "directions", "size", "time")
    lines = [
        (
            report.checkpoint,
            report.name,
            console.count(report.rows),
            console.count(report.valid),
            console.count(report.truncated),
            console.count(report.tokens),
            ",".join(report.directions),
            console.size(report.bytes) if report.sealed else "unfinished",
            console.duration(report.seconds),
        )
        for report in reports
    ]
    table = console.table(header, lines, right=("rows", "valid", "truncated", "tokens", "size", "time"))
    return "\n".join([table, *(note for report in reports for note in _notes(report))])


def _notes(report: ExtractReport) -> list[str]:
    place = f"{report.checkpoint}/{report.name}"
    notes = []
    if report.continues:
        notes.append(f"{place} has the rows that were added to those of {report.continues}")
    if report.invalid:
        notes.append(f"{place}: without a gradient {_reasons(report.invalid)}")
    if report.unattributed:
        notes.append(f"{place}: trained, but not attributed: {_names(report.unattributed)}")
    if not report.sealed:
        notes.append(
            f"{place}: this process computed {console.count(report.computed_chunks)} of"
            f" {console.count(report.chunks)} chunks, the counts are of these; {console.count(report.missing_chunks)}"
            " are left to other processes or parts. The last one that ends finishes the data set; for parts, that is"
            " `gradstore store merge`"
        )
    return notes


def _reasons(counts: Mapping[str, int]) -> str:
    """Rows by reason, most first, such as ``"3 rows: no learned token; 1 row: zero gradient"``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{_rows(number)}: {reason}" for reason, number in ordered)


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return f"{console.count(len(names))} ({', '.join(names[:NAMES_SHOWN])}{more})"


def _rows(number: int) -> str:
    return f"{console.count(number)} row{'' if number == 1 else 's'}"


def _about(seconds: float) -> str:
    return f"about {console.duration(seconds)}"


def _cost(seconds: float, price: float | None) -> str:
    return "" if price is None else f"about {seconds / 3600 * price:,.2f}, an hour being {price:,.2f}"
