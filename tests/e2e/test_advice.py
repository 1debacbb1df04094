"""The command that an error prints is one that works: pasted, it repairs what failed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from gradstore_cli.main import cli

import gradstore
from gradstore.errors import IncompatibleError


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
