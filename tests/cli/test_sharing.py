"""``gradstore store push``, ``pull``, ``rm`` and ``card``: what they print, ask and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.files import contents


def test_push_and_pull_copy_a_store(run, built: Path, tmp_path: Path) -> None:
    plan = run("store", "push", built, tmp_path / "there", "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "to copy" in plan.stdout
    assert "largest folders" in plan.stdout
    assert not (tmp_path / "there").exists()
    done = run("store", "push", built, tmp_path / "there")
    assert done.exit_code == 0, done.output
    assert "graphs and selections  graphs/default" in done.stdout
    assert run("store", "pull", tmp_path / "there", tmp_path / "back").exit_code == 0
    assert contents(tmp_path / "back") == contents(built)
    again = run("store", "pull", tmp_path / "there", tmp_path / "back")
    assert "there already" in again.stdout


def test_push_takes_parts_and_tells_what_it_left_out(run, built: Path, tmp_path: Path) -> None:
    result = run("store", "push", built, tmp_path / "there", "--dataset", "pool", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [each["name"] for each in report["datasets"]] == ["pool"]
    assert report["left_out"] == [
        "left out: graphs/default was made from rows that do not come with it (imported/gsm8k)"
    ]
    assert "left out: graphs/default" in result.stderr
    assert run("store", "push", built, tmp_path / "there", "--dataset", "poool").exit_code == 2


def test_rm_asks_and_without_anybody_there_needs_yes(run, store: Path) -> None:
    before = contents(store)
    result = run("store", "rm", store, "graphs/default")
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    plan = run("store", "rm", store, "graphs/default", "--dry-run")
    assert plan.stdout.startswith("would remove graphs/default: ")
    assert contents(store) == before
    done = run("store", "rm", store, "graphs/default", "--yes")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("removed graphs/default: ")
    assert not (store / "graphs/default").exists()


def test_rm_refuses_what_is_used_unless_forced(run, store: Path) -> None:
    result = run("store", "rm", store, "imported/pool", "--yes")
    assert result.exit_code == 3
    assert "is used by graphs/default" in result.stderr
    plan = run("store", "rm", store, "imported/pool", "--dry-run", "--json")
    assert json.loads(plan.stdout)["dependents"] == ["graphs/default"]
    assert run("store", "rm", store, "imported/pool", "--yes", "--force").exit_code == 0


def test_card_says_where_it_is(run, store: Path) -> None:
    (store / "README.md").unlink()
    result = run("store", "card", store)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(store / "README.md"), str(store / "index.json")]
    assert (store / "README.md").exists()
    assert json.loads(run("store", "card", store, "--json").stdout)["changed"] is False


def test_licences_are_kept_and_shown(run, arrays: Path, tmp_path: Path) -> None:
    path = tmp_path / "grads.zarr"
    arguments = ("store", "import", path, arrays / "pool.npy", "--name", "pool")
    licences = ("--license", "MIT", "--license", "math=CC-BY-4.0")
    assert run(*arguments, *licences).exit_code == 0
    assert "MIT; math CC-BY-4.0" in run("store", "info", path).stdout
    assert "Licence: `MIT`; of sources: `math` `CC-BY-4.0`" in (path / "README.md").read_text()
    assert run(*arguments).exit_code == 0
    other = run(*arguments, "--license", "GPL-3.0")
    assert other.exit_code == 3
    assert "license is MIT there, GPL-3.0 now" in other.stderr
    assert run(*arguments, "--license", "math=").exit_code == 2


@pytest.mark.parametrize("command", ["push", "pull"])
def test_something_else_there_is_exit_3(run, command: str, arrays: Path, built: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    assert run("store", "import", there, arrays / "gsm8k.npy", "--name", "pool").exit_code == 0
    result = run("store", command, built, there)
    assert result.exit_code == 3
    assert "is another one" in result.stderr
