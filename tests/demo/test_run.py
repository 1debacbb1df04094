from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

import gradstore
from gradstore.demo import DemoResult, Scale, run_demo
from gradstore.demo.skills import PREREQUISITES
from gradstore.errors import UsageError

SMALL = Scale(pool=120, target=6, lessons=120, steps=8, hidden=32, layers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "folder"


@pytest.fixture(scope="module")
def result(folder: Path) -> DemoResult:
    return run_demo(folder, scale=SMALL)


def test_each_selector_chooses_its_budget_and_the_rows_are_kept(result: DemoResult, folder: Path) -> None:
    pool = [json.loads(line) for line in (folder / "pool.jsonl").read_text().splitlines()]
    budget = int(0.05 * len(pool))
    for selector in ("random", "less", "g2is"):
        chosen = [json.loads(line) for line in (folder / f"picked-{selector}.jsonl").read_text().splitlines()]
        assert len(chosen) == budget == sum(line.chosen[selector] for line in result.skills)
        assert all(row in pool for row in chosen)


def test_the_shares_reported_are_those_of_the_rows_kept(result: DemoResult, folder: Path) -> None:
    names = {skill.name for skill in PREREQUISITES}
    for selector in ("random", "less", "g2is"):
        chosen = [json.loads(line) for line in (folder / f"picked-{selector}.jsonl").read_text().splitlines()]
        share = sum(row["source"] in names for row in chosen) / len(chosen)
        assert result.prerequisite_share[selector] == pytest.approx(share)


def test_the_store_holds_what_the_demo_says(result: DemoResult) -> None:
    store = gradstore.open(result.files["gradients and graph"])
    assert len(store.checkpoints) == 2
    assert set(store.datasets()) == {"pool", "multiplication"}
    assert "default" in store.graphs


def test_the_text_marks_prerequisites_and_names_every_file(result: DemoResult) -> None:
    text = str(result)
    for skill in PREREQUISITES:
        assert f"* {skill.name}" in text
    assert all(path in text for path in result.files.values())
    assert all(command in text for command in result.commands)


def test_the_commands_printed_work_and_choose_the_same_rows(result: DemoResult, folder: Path) -> None:
    import torch
    from click.testing import CliRunner
    from gradstore_cli.main import cli

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for command in result.commands:
            program, *words = shlex.split(command)
            assert shutil.which(program)
            outcome = CliRunner().invoke(cli, words)
            assert outcome.exit_code == 0, f"{command}\n{outcome.output}"
    finally:
        torch.set_num_threads(threads)
    for selector in ("random", "less", "g2is"):
        name = f"picked-{selector}.jsonl"
        assert (folder / "again" / name).read_text() == (folder / name).read_text()


def test_a_second_demo_replaces_the_first_with_the_same_choices(
    result: DemoResult, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert run_demo(tmp_path / "copy", scale=SMALL).skills == result.skills


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other things"):
        run_demo(tmp_path, scale=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
