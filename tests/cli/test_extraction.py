"""What extract prints of a plan and of its results."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from gradstore_cli.extraction import plan_text, priced, report_text

from gradstore.gradients import ExtractReport, Plan


def made(kind: type[Any], **given: Any) -> Any:
    """A record whose other fields are empty."""
    empty: dict[str, Any] = {"str": "", "int": 0, "float": 0.0, "bool": True, "dict[str, int]": {}}
    return kind(**{f.name: empty.get(str(f.type), ()) for f in fields(kind)} | given)


@pytest.fixture
def plan() -> Plan:
    return made(
        Plan, checkpoint="checkpoint-8", name="pool", rows=24_560, tokens=5_000_000, truncated=1,
        invalid={"no learned token": 2, "no assistant": 7}, trained_parameters=1_000_000, batch_rows=12.34,
        chunks_total=24, chunks_missing=20, bytes=25 << 20, seconds_estimate=7200.0, chunk_seconds=360.0,
        tokens_per_second=694.0, memory_estimate=1 << 30, unattributed=("a", "b", "c", "d"),
    )  # fmt: skip


def facts(text: str) -> dict[str, str]:
    return {line[:11].strip(): line[12:] for line in text.splitlines()}


def test_a_plan_tells_what_a_run_will_need(plan: Plan) -> None:
    assert facts(plan_text([plan], 2.5)) == {
        "checkpoint": "checkpoint-8",
        "data set": "pool",
        "rows": "24,560",
        "tokens": "5,000,000",
        "truncated": "1 row",
        "invalid": "7 rows: no assistant; 2 rows: no learned token",
        "parameters": "1,000,000 attributed",
        "left out": "4 (a, b, c, …)",
        "batch": "12.3 rows on average",
        "memory": "1.0 GiB",
        "disk": "25.0 MiB",
        "chunks": "20 of 24 to compute, about 6 min 00 s each",
        "time": "about 2 h 00 min at 694 tokens/s",
        "cost": "about 5.00, an hour being 2.50",
    }


def test_no_price_no_cost(plan: Plan) -> None:
    assert "cost" not in plan_text([plan], None)
    assert "cost" not in priced(plan, None)
    assert priced(plan, 2.5)["cost"] == pytest.approx(5.0)


def test_several_plans_are_summed(plan: Plan) -> None:
    *_, total = plan_text([plan, plan], 2.5).split("\n\n")
    assert total.splitlines() == ["in all", "time  about 4 h 00 min", "cost  about 10.00, an hour being 2.50"]


def report(**given: Any) -> ExtractReport:
    return made(ExtractReport, checkpoint="checkpoint-8", name="pool", directions=("adam",), **given)


def test_a_finished_data_set_without_remarks_is_one_line() -> None:
    assert len(report_text([report(sealed=True, bytes=1024)]).splitlines()) == 2


def test_remarks_name_the_data_set_and_the_counts() -> None:
    text = report_text(
        [
            report(
                sealed=False, chunks=15, computed_chunks=7, invalid={"zero gradient": 1, "no label": 3},
                unattributed=("wte", "wpe"), continues="old",
            )
        ]
    )  # fmt: skip
    _, line, *notes = text.splitlines()
    assert "unfinished" in line
    assert any("3 rows: no label; 1 row: zero gradient" in note for note in notes)
    assert any("2 (wte, wpe)" in note for note in notes)
    assert any("computed 7 of 15 chunks" in note for note in notes)
    assert any("those of old" in note for note in notes)
    assert all("checkpoint-8/pool" in note for note in notes)
