"""The command that an error prints is one that works: pasted, it repairs what failed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from gradstore_cli.main import cli

import gradstore
from gradstore.errors import IncompatibleError, UsageError


def test_the_rebuild_command_builds_the_graph_that_the_selection_needs(
    tiny_run: Path, token_rows: Path, tmp_path: Path
) -> None:
    store = tmp_path / "a store.zarr"
    job = {"checkpoints": [tiny_run / "run" / "checkpoint-8"], "data": token_rows, "dim": 256}
    gradstore.extract(store, **job, name="pool", directions=["adam", "precond"])
    gradstore.extract(store, **job, name="goal", target=True)
    gradstore.build_graph(store, neighbours=5)
    wish = {"selector": "g2is", "target": "goal", "budget": 4, "direction": "precond"}
    with pytest.raises(IncompatibleError, match="build one for it: ") as caught:
        gradstore.select(store, **wish)
    program, *arguments = shlex.split(str(caught.value).partition("build one for it: ")[2])
    assert program == "gradstore"
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert len(gradstore.select(store, **wish)) == 4
    graph = gradstore.load_graph(store)
    assert graph.neighbours.shape[1] == 5
    assert graph.attributes["directions"] == {"pool": "precond", "goal": "sgd"}


def test_the_commands_for_missing_directions_add_all_of_them(
    tiny_run: Path, token_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(token_rows.parent)
    store = tmp_path / "a store.zarr"
    job = {"checkpoints": [tiny_run / "run" / "checkpoint-8"], "data": token_rows, "dim": 256}
    gradstore.extract(store, **job, name="pool", directions=["sgd"])
    gradstore.extract(store, **job, name="goal", target=True)
    wish = {"selector": "rds", "target": "goal", "budget": 4}
    with pytest.raises(
        UsageError, match="lacks directions that it reads: 'pool' has sgd and no rds"
    ) as caught:
        gradstore.select(store, **wish)
    commands = re.findall("`(.*?)`", str(caught.value))
    assert len(commands) == 2
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "gradstore"
        if "--base" in words:  # named as the store knows it, which need not be where it lies here
            place = words.index("--base") + 1
            words[place] = str(next(tiny_run.rglob(f"{words[place]}/config.json")).parent)
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
    assert len(gradstore.select(store, **wish)) == 4
