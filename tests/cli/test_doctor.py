"""The doctor tells every state apart, and what it says to run brings the store on."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gradstore_cli.main import cli

import gradstore
from gradstore.gradients.settings import PLACES, Settings
from gradstore.inspection import diagnose, doctor_commands
from gradstore.store import new_store


def paste(command: str) -> Result:
    """Run a line that the doctor printed."""
    program, *words = shlex.split(command)
    assert program == "gradstore"
    return CliRunner().invoke(cli, words)


def told(store: object) -> dict[str, Any]:
    """What `gradstore doctor --json` says; its exit code is that of the process."""
    result = CliRunner().invoke(cli, ["doctor", str(store), "--json"])
    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"]
    return document


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def add(here: Path) -> Callable[..., None]:
    """Import vectors into a store; ``name`` is a target unless it begins with ``pool``."""
    rng = np.random.default_rng(0)

    def imported(name: str, store: str = "grads.zarr", rows: int = 30, **more: Any) -> None:
        vectors = rng.normal(size=(rows, 8)).astype(np.float32)
        records = [{"text": f"{name} {i}"} for i in range(rows)]
        target = not name.startswith("pool")
        gradstore.import_arrays(store, name=name, gradients=vectors, rows=records, target=target, **more)

    return imported


def test_who_does_what_it_says_comes_from_nothing_to_a_selection(
    here: Path, tiny_run: Path, token_rows: Path
) -> None:
    for folder in ("run", "base"):
        shutil.copytree(tiny_run / folder, folder)
    shutil.copy(token_rows, "pool.jsonl")
    Path("target.jsonl").write_text("".join(token_rows.read_text().splitlines(keepends=True)[:5]))
    seen = []
    while not Path("picked.jsonl").exists():
        found = told("my grads.zarr")
        assert not found["findings"][0]["missing"]
        seen.append(found["state"])
        assert len(seen) < 9, seen
        done = paste(found["command"])
        assert done.exit_code == 0, done.output
        if found["state"] == "no-graph":
            assert found["findings"][-1]["state"] == "ready"
    assert seen == ["nothing", "no-target", "no-graph", "ready"]
    assert len(Path("picked.jsonl").read_text().splitlines()) == 3


def test_an_unfinished_extraction_is_finished_by_the_line_it_prints(
    here: Path, tiny_run: Path, token_rows: Path
) -> None:
    shutil.copytree(tiny_run, "work")
    shutil.copy(token_rows, "rows.jsonl")
    part = "extract grads.zarr --checkpoint work/run/checkpoint-8 --data rows.jsonl --name pool --part 1/2"
    options = "--dim 64 --chunk-rows 10 --direction sgd,adam --encoding half --no-embed-rows"
    assert paste(f"gradstore {part} {options}").exit_code == 0
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("unfinished", 4)
    assert "3 of 6 chunks done" in found["findings"][0]["what"]
    done = paste(found["command"])
    assert done.exit_code == 0, done.output
    assert told("grads.zarr")["state"] == "no-target"
    assert gradstore.open("grads.zarr").dataset("pool").directions == ("adam", "sgd")


def test_a_store_does_not_decide_what_code_a_pasted_line_runs(
    here: Path, tiny_run: Path, token_rows: Path
) -> None:
    gradstore.extract(
        "grads.zarr", checkpoints=tiny_run / "run", data=token_rows, name="pool", part="1/2", chunk_rows=9
    )
    group = next(Path("grads.zarr/checkpoints").glob("*/pool/zarr.json"))
    document = json.loads(group.read_text())
    document["attributes"]["gradstore"]["attributes"]["provenance"]["options"] |= {
        "trust_remote_code": True,
        "base": "evil/model",
        "init_lora": "--trust-remote-code",
        "config": "evil.toml",
    }
    group.write_text(json.dumps(document))
    command = told("grads.zarr")["command"]
    assert "--chunk-rows 9" in command
    assert not {"trust", "evil", "lora"} & set(re.split(r"\W+", command))


def test_what_a_store_may_repeat_of_an_extraction_is_all_that_changes_its_rows() -> None:
    known = {field.name for field in fields(Settings)} - {*PLACES, "trust_remote_code"}
    assert {*doctor_commands._VALUES, *doctor_commands._SWITCHES, *doctor_commands._REFUSALS} == known


def test_a_folder_that_is_no_store_says_where_one_could_be(here: Path, add: Callable[..., None]) -> None:
    add("pool")
    assert told("nowhere.zarr")["findings"][0]["missing"] == ["run", "pool.jsonl"]
    assert "inside the store" in told("grads.zarr/checkpoints")["findings"][0]["what"]
    assert shlex.split(told("grads.zarr/checkpoints")["command"])[-1] == str(here / "grads.zarr")
    (here / "notes").mkdir()
    (here / "notes" / "a.txt").touch()
    assert (told("notes")["state"], told("notes")["exit_code"]) == ("nothing", 2)


def test_imported_vectors_get_a_target_of_imported_vectors(add: Callable[..., None]) -> None:
    add("pool")
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("no-target", 0)
    assert found["findings"][0]["missing"] == ["target.npy"]
    np.save("target.npy", np.ones((2, 8), np.float32))
    found = told("grads.zarr")
    assert not found["findings"][0]["missing"]
    assert paste(found["command"]).exit_code == 0
    assert {each["state"] for each in told("grads.zarr")["findings"]} == {"no-graph", "ready"}


def test_an_old_graph_is_built_again_by_the_line_it_prints(add: Callable[..., None]) -> None:
    add("pool")
    add("goal")
    gradstore.build_graph("grads.zarr", neighbours=3, name="near")
    assert told("grads.zarr")["state"] == "ready"
    add("pool-2")
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("stale-graph", 3)
    assert "before pool-2 came" in found["findings"][0]["what"]
    assert paste(found["command"]).exit_code == 0
    assert told("grads.zarr")["state"] == "ready"
    shutil.rmtree("grads.zarr/checkpoints/imported/pool-2")
    add("pool-2", rows=20)
    found = told("grads.zarr")
    assert (found["state"], "other rows" in found["findings"][0]["what"]) == ("stale-graph", True)
    assert paste(found["command"]).exit_code == 0
    found = told("grads.zarr")
    assert "--graph near" in found["command"]
    assert paste(found["command"]).exit_code == 0


def test_a_target_of_another_checkpoint_is_not_called_ready(add: Callable[..., None]) -> None:
    add("pool")
    add("goal", checkpoint="other")
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("incompatible", 3)
    assert "ready" not in {each["state"] for each in found["findings"]}
    np.save("target.npy", np.ones((2, 8), np.float32))
    assert paste(told("grads.zarr")["command"]).exit_code == 0
    assert "ready" in {each["state"] for each in told("grads.zarr")["findings"]}


@pytest.mark.parametrize(
    "name", ["zarr.json", "checkpoints/imported/pool/manifest.json", "checkpoints/imported/zarr.json"]
)
def test_a_damaged_document_is_told_in_a_line(name: str, here: Path, add: Callable[..., None]) -> None:
    add("pool")
    (here / "grads.zarr" / name).write_bytes(b"{")
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("damaged", 4)
    assert "\n" not in found["findings"][0]["what"]
    if found["command"]:
        assert paste(found["command"]).exit_code == 4  # which tells all that is damaged


def test_a_damaged_graph_is_built_again(here: Path, add: Callable[..., None]) -> None:
    add("pool")
    add("goal")
    gradstore.build_graph("grads.zarr", neighbours=3)
    (here / "grads.zarr/graphs/default/manifest.json").write_bytes(b"{")
    found = told("grads.zarr")
    assert (found["state"], found["exit_code"]) == ("damaged", 4)
    assert paste(found["command"]).exit_code == 0
    assert told("grads.zarr")["state"] == "ready"


def test_an_overlay_whose_base_has_changed_or_gone_says_so(here: Path, add: Callable[..., None]) -> None:
    add("pool")
    add("goal")
    new_store("mine.zarr", on="grads.zarr")
    assert told("mine.zarr")["state"] == "no-graph"
    shutil.rmtree("grads.zarr/checkpoints/imported/pool")
    add("pool", rows=31)
    found = told("mine.zarr")
    assert (found["state"], found["exit_code"]) == ("base-changed", 3)
    assert paste(found["command"]).exit_code == 0
    assert told("mine.zarr.new")["state"] == "no-graph"
    shutil.rmtree("grads.zarr")
    assert told("mine.zarr")["state"] == "base-changed"


def test_a_newer_store_is_incompatible(here: Path, add: Callable[..., None]) -> None:
    add("pool")
    root = here / "grads.zarr/zarr.json"
    root.write_text(root.read_text().replace('"format":1', '"format":2'))
    assert (told("grads.zarr")["state"], told("grads.zarr")["exit_code"]) == ("incompatible", 3)


def test_people_read_a_line_for_each_finding_and_its_command(here: Path, add: Callable[..., None]) -> None:
    add("pool")
    add("goal")
    result = CliRunner().invoke(cli, ["doctor", "grads.zarr"])
    found = diagnose("grads.zarr").findings
    lines = [line for each in found for line in (f"- {each.what}", f"    {each.command}")]
    assert result.stdout.splitlines() == ["grads.zarr: no graph", *lines]
