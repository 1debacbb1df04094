"""A choice as files: every format holds the same rows, twice the same bytes, and its record repeats it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import DataError, IncompatibleError, StoreWriteError, UsageError
from gradstore.interchange import import_arrays
from gradstore.select import Limits, Picked
from gradstore.select.output import read_record, record_of, replay, score_table, write_record, write_scores
from gradstore.store import Store, open_store
from gradstore.testing import tiny_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = tiny_store(tmp_path / "s.zarr")
    gradstore.build_graph(made)
    return open_store(tmp_path / "s.zarr")


@pytest.fixture
def picked(store: Store) -> Picked:
    return gradstore.select(
        store, selector="less", target="target", budget=9, limits=Limits(per_source=5, near_duplicate=0.7)
    )


def rows_of(picked: Picked) -> list[dict[str, Any]]:
    return picked.nodes.records([int(i) for i in picked.selection.picks])


def test_every_format_holds_the_rows_in_pick_order(picked: Picked, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    load_from_disk = pytest.importorskip("datasets").load_from_disk

    for name in ("a.jsonl", "a.parquet", "folder", "a.txt"):
        picked.write(tmp_path / name)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows_of(picked)
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows_of(picked)
    assert load_from_disk(tmp_path / "folder").to_list() == rows_of(picked)
    assert (tmp_path / "a.txt").read_text().split() == picked.ids


@pytest.mark.parametrize("name", ["a.jsonl", "folder"])
def test_what_is_written_is_for_whom_other_files_are(picked: Picked, tmp_path: Path, name: str) -> None:
    if name == "folder":
        pytest.importorskip("datasets")
    before = os.umask(0o027)
    try:
        picked.write(tmp_path / name)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == (0o750 if name == "folder" else 0o640)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "folder", "a.txt"])
def test_two_choices_write_the_same_bytes(store: Store, tmp_path: Path, name: str) -> None:
    if name == "folder":
        pytest.importorskip("datasets")

    def files(run: str) -> dict[str, bytes]:
        place = tmp_path / run
        place.mkdir()
        chosen = gradstore.select(store, selector="less", target="target", budget=9)
        chosen.write(place / name)
        write_scores(chosen, place / "scores.parquet")
        write_record(chosen, place / "record.json")
        return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}

    assert files("first") == files("second")


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, {"messages": "messages"}),
        ({"conversations": [{"from": "human", "value": "x"}]}, {"messages": "conversations"}),
        (
            {"instruction": "a", "input": "b", "output": "c"},
            {"prompt": "instruction", "response": "output", "query": "input"},
        ),
        ({"prompt": "a", "completion": "c"}, {"prompt": "prompt", "response": "completion"}),
    ],
)
def test_llama_factory_is_told_which_columns_to_read(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, str]
) -> None:
    import_arrays(
        tmp_path / "s.zarr", name="pool", gradients=np.eye(4), rows=[{**row, "n": i} for i in range(4)]
    )
    chosen = gradstore.select(tmp_path / "s.zarr", selector="random", budget=3)
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "x.json"}}')
    chosen.write(tmp_path / "mine.json")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["other"] == {"file_name": "x.json"}
    assert info["mine"]["file_name"] == "mine.json"
    assert info["mine"]["columns"] == columns
    assert json.loads((tmp_path / "mine.json").read_text()) == rows_of(chosen)


def test_rows_that_no_trainer_format_fits_are_refused_with_the_way_out(
    picked: Picked, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="--format jsonl"):
        picked.write(tmp_path / "mine.json")
    with pytest.raises(UsageError, match="tells no format"):
        picked.write(tmp_path / "mine.csv")
    with pytest.raises(StoreWriteError, match="no folder"):
        picked.write(tmp_path / "none" / "mine.jsonl")
    assert not [p for p in tmp_path.iterdir() if p.name != "s.zarr"]


def test_rows_whose_types_change_are_refused_as_a_table(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": "one"}, {"a": [1]}, {"a": None}]
    import_arrays(tmp_path / "s.zarr", name="pool", gradients=np.eye(4), rows=rows)
    chosen = gradstore.select(tmp_path / "s.zarr", selector="random", budget=4)
    with pytest.raises(DataError, match="do not fit one table"):
        chosen.write(tmp_path / "mine.parquet")


def test_the_score_table_says_what_came_of_every_candidate(picked: Picked) -> None:
    table = score_table(picked)
    assert {len(column) for column in table.values()} == {len(picked.nodes)}
    chosen = np.flatnonzero(table["chosen"])
    assert [table["id"][i] for i in chosen[np.argsort(table["rank"][chosen])]] == picked.ids
    for i, why in enumerate(table["why"]):
        assert why.startswith("subtask ") == bool(table["chosen"][i])
        assert table["target"][i] == ("target" if table["chosen"][i] else "")
    near = [why for why in table["why"] if why.startswith("near-duplicate of ")]
    assert len(near) == len(picked.choice.twins)
    assert all(why.split()[2].rstrip(":") in picked.ids for why in near)


def test_a_record_repeats_the_choice_elsewhere(picked: Picked, store: Store, tmp_path: Path) -> None:
    write_record(picked, tmp_path / "r.json")
    shutil.copytree(tmp_path / "s.zarr", tmp_path / "elsewhere.zarr")
    again = replay(tmp_path / "elsewhere.zarr", tmp_path / "r.json")
    assert again.ids == picked.ids
    assert record_of(again) == record_of(picked)


@pytest.mark.parametrize("selector", ["g2is", "random"])
def test_a_record_keeps_parameters_and_seed(store: Store, tmp_path: Path, selector: str) -> None:
    params = {"delta": 0.7} if selector == "g2is" else {"stratified": True}
    chosen = gradstore.select(store, selector=selector, target="target", budget=0.2, params=params, seed=3)
    write_record(chosen, tmp_path / "r.json")
    assert replay(store, tmp_path / "r.json").ids == chosen.ids


def test_a_record_of_other_rows_is_refused(picked: Picked, tmp_path: Path) -> None:
    record = record_of(picked)
    tiny_store(tmp_path / "other.zarr", rows=40)
    with pytest.raises(IncompatibleError, match="has other rows than the recorded choice"):
        replay(tmp_path / "other.zarr", record)
    with pytest.raises(IncompatibleError, match="has other rows than recorded"):
        replay(tmp_path / "s.zarr", {**record, "ids_digest": "0" * 32})


def test_a_record_names_no_code_that_is_run(picked: Picked, tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil:\n    name = 'evil'\n")
    with pytest.raises(UsageError, match="not installed"):
        replay(tmp_path / "s.zarr", {**record_of(picked), "selector": f"{evil}:Evil"})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no record"),
        ("[]", "no record"),
        ('{"selection": 99}', "later gradstore"),
        ("[" * 10**5, "no record"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_record(tmp_path / "r.json")


def test_a_damaged_record_is_refused(picked: Picked, store: Store) -> None:
    record = record_of(picked)
    for name in ("train", "directions", "limits", "seed"):
        with pytest.raises(DataError, match="damaged"):
            replay(store, {key: value for key, value in record.items() if key != name})
        with pytest.raises(DataError, match="damaged"):
            replay(store, {**record, name: 3.5 if name != "seed" else "x"})
    for changes in (
        {"digests": None},
        {"digests": {"nothing": "0"}},
        {"digests": {7: "0"}},
        {"directions": {}},
    ):
        with pytest.raises(DataError, match="damaged"):
            replay(store, {**record, **changes})
    with pytest.raises(DataError, match="damaged"):
        replay(store, {key: value for key, value in record.items() if key != "digests"})
