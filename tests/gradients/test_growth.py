"""Extracting again computes only what is missing: rows that were added, another direction, another target."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, IncompatibleError
from gradstore.gradients import plan


@pytest.fixture
def job(tiny_run: Path, token_rows: Path, tmp_path: Path) -> dict[str, Any]:
    """Arguments for `extract`; the file has the first forty rows."""
    grown = tmp_path / "rows.jsonl"
    grown.write_text("".join(token_rows.read_text().splitlines(keepends=True)[:40]))
    return {
        "store": tmp_path / "s.zarr",
        "checkpoints": [tiny_run / "run" / "checkpoint-8"],
        "data": grown,
        "name": "pool",
        "dim": 256,
        "chunk_rows": 16,
        "token_budget": 200,
        "encoding": "exact",
    }


def digests(store: Path) -> dict[str, str]:
    """Of all files but the card, which tells what the store has now."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name not in ("README.md", "index.json")
    }


def grow(job: dict[str, Any], token_rows: Path, count: int) -> None:
    lines = token_rows.read_text().splitlines(keepends=True)[:count]
    job["data"].write_text("".join(reversed(lines)))  # wherever in the file the new rows stand


def test_added_rows_become_a_data_set_that_continues(job: dict[str, Any], token_rows: Path) -> None:
    gradstore.extract(**job)
    before = digests(job["store"])
    grow(job, token_rows, 50)
    (planned, more) = plan(**job)
    assert (planned.chunks_missing, more.name, more.rows, more.continues) == (0, "pool.2", 10, "pool")
    (same, added) = gradstore.extract(**job)
    assert (same.computed_chunks, same.rows) == (0, 40)
    assert (added.name, added.rows, added.computed_chunks, added.continues) == ("pool.2", 10, 1, "pool")
    grow(job, token_rows, 60)
    assert [report.computed_chunks for report in gradstore.extract(**job)] == [0, 0, 1]
    assert [report.computed_chunks for report in gradstore.extract(**job)] == [0, 0, 0]
    after = digests(job["store"])
    assert {name: after[name] for name in before} == before


def test_added_rows_without_a_learned_token_are_planned_in_no_time(
    job: dict[str, Any], token_rows: Path
) -> None:
    gradstore.extract(**job)
    with job["data"].open("a") as file:
        for number in range(3):
            row = {"id": f"mute-{number}", "input_ids": [1, 2, 3], "labels": [-100, -100, -100]}
            file.write(json.dumps(row) + "\n")
    (_, more) = plan(**job)
    assert (more.name, more.rows, more.invalid) == ("pool.2", 3, {"no learned token": 3})
    assert (more.seconds_estimate, more.chunk_seconds, more.tokens_per_second, more.batch_rows) == (
        0,
        0,
        0,
        0,
    )
    assert [report.valid for report in gradstore.extract(**job)][1:] == [0]


def test_rows_of_a_grown_file_are_those_of_the_whole_file(
    job: dict[str, Any], token_rows: Path, tmp_path: Path
) -> None:
    gradstore.extract(**job)
    grow(job, token_rows, 60)
    gradstore.extract(**job)
    gradstore.extract(**job | {"store": tmp_path / "whole.zarr", "data": token_rows})
    whole = gradstore.open(tmp_path / "whole.zarr").dataset("pool")
    expected = dict(zip(whole.ids, whole.read("adam", 0, 60), strict=True))
    store = gradstore.open(job["store"])
    found: dict[str, np.ndarray] = {}
    for name in store.datasets():
        part = store.dataset(name)
        found |= dict(zip(part.ids, part.read("adam", 0, len(part)), strict=True))
    assert found.keys() == expected.keys()
    for name, row in found.items():
        np.testing.assert_allclose(row, expected[name], atol=1e-5 * np.abs(expected[name]).max())


def test_train_and_target_names_stand_for_what_continues_them(job: dict[str, Any], token_rows: Path) -> None:
    goal = job | {"name": "goal", "target": True, "directions": ["adam"]}
    for arguments in (job, goal):
        gradstore.extract(**arguments)
    grow(job, token_rows, 60)
    for arguments in (job, goal):
        gradstore.extract(**arguments)
    picked = gradstore.select(
        job["store"], selector="less", target="goal", train=["pool"], budget=59, target_direction="adam"
    )
    assert len(picked.ids) == 59  # all but the one that has no gradient
    assert picked.config["train"] == ["pool", "pool.2"]


def test_stored_rows_that_the_file_lost_are_refused_with_their_number(
    job: dict[str, Any], token_rows: Path
) -> None:
    gradstore.extract(**job)
    job["data"].write_text("".join(token_rows.read_text().splitlines(keepends=True)[3:60]))
    with pytest.raises(IncompatibleError, match="3 rows that the file does not have"):
        gradstore.extract(**job)


def test_rows_whose_content_changed_under_their_id_are_refused(job: dict[str, Any], token_rows: Path) -> None:
    gradstore.extract(**job)
    rows = [json.loads(line) for line in job["data"].read_text().splitlines()]
    rows[5]["input_ids"] = rows[5]["input_ids"][::-1]
    job["data"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(IncompatibleError, match="with other contents"):
        gradstore.extract(**job)


def test_a_direction_is_added_without_touching_what_is_stored(
    job: dict[str, Any], tmp_path: Path, token_rows: Path
) -> None:
    job["data"] = token_rows  # one row has no gradient
    gradstore.extract(**job)
    before = digests(job["store"])
    (report,) = gradstore.extract(**job, directions=["adam", "precond", "rds"])
    assert report.computed_chunks == 4
    after = digests(job["store"])
    assert {name: after[name] for name in before} == before
    gradstore.extract(**job | {"store": tmp_path / "at-once.zarr"}, directions=["adam", "precond", "rds"])
    one, other = (gradstore.open(path).dataset("pool") for path in (job["store"], tmp_path / "at-once.zarr"))
    for direction in ("adam", "precond", "rds"):
        np.testing.assert_array_equal(one.read(direction, 0, 60), other.read(direction, 0, 60))
    assert one.dim("rds") == 32
    assert np.isfinite(one.norms("rds")).all()


def test_gradients_that_are_no_rows_are_zero_in_a_direction_added_to_embeddings(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings say nothing of gradients: a row is found without one only when those are added."""
    gradstore.extract(**job, directions=["rds"])

    from gradstore.gradients.rows import Making

    own = Making.largest
    monkeypatch.setattr(Making, "largest", lambda self: own(self) * 0)
    gradstore.extract(**job)
    stored = gradstore.open(job["store"]).dataset("pool")
    assert not stored.norms("adam").any()
    with pytest.raises(DataError, match="no valid row"):
        gradstore.select(job["store"], selector="random", budget=3, direction="adam")


def test_nothing_is_loaded_when_nothing_is_missing(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gradstore.extract(**job)

    def unexpected(*_: object, **__: object) -> None:
        raise AssertionError("loaded a model")

    monkeypatch.setattr("gradstore.gradients.session.load_model", unexpected)
    (report,) = gradstore.extract(**job)
    assert (report.computed_chunks, report.sealed, report.valid) == (0, True, 39)


def test_other_adapter_is_refused_before_the_model_is_loaded(
    job: dict[str, Any], tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradstore.extract(**job)
    shutil.copytree(tiny_run / "run" / "checkpoint-4", tmp_path / "checkpoint-8")
    monkeypatch.setattr("gradstore.gradients.session.load_model", None)
    with pytest.raises(IncompatibleError, match="adapter"):
        gradstore.extract(**job | {"checkpoints": [tmp_path / "checkpoint-8"], "name": "other"})


def test_strict_refuses_the_first_row_without_a_gradient_and_keeps_finished_chunks(
    job: dict[str, Any], token_rows: Path
) -> None:
    job |= {"data": token_rows}
    with pytest.raises(
        DataError, match=r"rows\.jsonl:18: row 'row-17' has no gradient: no learned token.*--strict"
    ):
        gradstore.extract(**job, strict=True)
    (report,) = gradstore.extract(**job)
    assert report.invalid == {"no learned token": 1}
    assert report.computed_chunks in (3, 4)
    with pytest.raises(DataError, match=r"kept as invalid: no learned token \(1\)"):
        gradstore.extract(**job, strict=True)
