"""Choosing with a cluster's similarities is choosing without it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from gradstore_cli.main import cli

from gradstore import select
from gradstore.cluster import Cluster
from gradstore.errors import UsageError
from gradstore.store import Store, open_store, read_artefact
from tests.cluster.watching import Counting


@pytest.fixture(scope="module")
def path(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the store, which keeps what is chosen, beside the rows that it was made of."""
    folder = tmp_path_factory.mktemp("select")
    ids = sorted({name for dataset in ("pool", "more") for name in store.dataset(dataset, "step-1").ids})
    (folder / "rows.jsonl").write_text("".join(json.dumps({"id": name, "text": name}) + "\n" for name in ids))
    return Path(shutil.copytree(store.location, folder / "s.zarr"))


def run(path: Path, output: Path, *arguments: str) -> Result:
    fixed = ("-n", "50", "--target", "target", "--data", str(path.parent / "rows.jsonl"), "-o", str(output))
    return CliRunner().invoke(cli, ["select", str(path), *fixed, *arguments])


def scores(path: Path, name: str) -> np.ndarray[Any, Any]:
    return read_artefact(open_store(path), "selections", name).arrays["scores"]


def assert_same_choice(path: Path, tmp_path: Path, scheduler: str, *arguments: str) -> Result:
    alone = run(path, tmp_path / "alone.jsonl", *arguments, "--name", "alone")
    found = run(path, tmp_path / "found.jsonl", *arguments, "--name", "found", "--scheduler", scheduler)
    assert (alone.exit_code, found.exit_code) == (0, 0), found.output
    assert (tmp_path / "found.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
    assert scores(path, "found").tobytes() == scores(path, "alone").tobytes()
    return found


def test_a_cluster_started_by_the_command_chooses_the_same_rows(path: Path, tmp_path: Path) -> None:
    found = assert_same_choice(path, tmp_path, "local:2", "--selector", "less")
    assert "similarity" in found.stderr  # the cluster's progress
    assert "warning" not in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--selector", "less", "-p", "aggregate=less-paper", "--train", "pool", "--verify"),
        ("--selector", "g2is", "--graph", "exact"),
    ],
    ids=lambda arguments: arguments[1],
)
def test_a_running_cluster_chooses_the_same_rows(
    path: Path, tmp_path: Path, client: Any, arguments: tuple[str, ...]
) -> None:
    found = assert_same_choice(path, tmp_path, client.scheduler.address, *arguments)
    assert "similarity" in found.stderr


def test_a_worker_killed_in_the_middle_changes_no_choice(path: Path, client: Any) -> None:
    opened = open_store(path)
    victim = next(iter(client.run(os.getpid).values()))
    progress = Counting(lambda: os.kill(victim, signal.SIGKILL))
    settings: dict[str, Any] = {"selector": "less", "target": "target", "budget": 50}
    found = select(opened, **settings, project=Cluster(client, opened).project, progress=progress)
    alone = select(opened, **settings)
    assert found.ids == alone.ids
    assert found.selection.scores.tobytes() == alone.selection.scores.tobytes()
    assert progress.done == progress.total > 0
    assert victim not in client.run(os.getpid).values()


def test_a_cluster_that_had_nothing_to_do_is_told(path: Path, tmp_path: Path, client: Any) -> None:
    found = assert_same_choice(path, tmp_path, client.scheduler.address, "--selector", "random")
    assert "warning: the cluster had nothing to do: this selector asks for no similarities" in found.stderr


def test_centred_rows_are_not_compared_on_a_cluster(path: Path) -> None:
    with pytest.raises(UsageError, match="leave out the scheduler, or centring"):
        select(
            path,
            selector="less",
            target="target",
            budget=5,
            params={"center": "true"},
            project=lambda *_: None,
        )


def test_a_wrong_address_ends_the_command_before_it_reads(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradstore.cluster.client.CONNECT", 0.2)
    found = run(path, tmp_path / "out", "--selector", "less", "--scheduler", "tcp://127.0.0.1:9")
    assert found.exit_code == 1
    assert found.stderr.startswith("error: no scheduler answers at tcp://127.0.0.1:9 within")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_graph_with_conflicts_is_built_by_a_running_cluster(path: Path, client: Any) -> None:
    base = ["graph", str(path), "-m", "7", "--conflicts", "3", "--exact", "--rebuild"]
    for name, arguments in (("alone", []), ("found", ["--scheduler", client.scheduler.address])):
        result = CliRunner().invoke(cli, [*base, "--name", name, *arguments])
        assert result.exit_code == 0, result.output
    alone, found = (read_artefact(open_store(path), "graphs", name) for name in ("alone", "found"))
    for name in ("neighbours", "cosines", "conflicts", "conflict_cosines"):
        assert found.arrays[name].tobytes() == alone.arrays[name].tobytes(), name
    refused = CliRunner().invoke(cli, ["graph", str(path), "--hnsw", "--scheduler", client.scheduler.address])
    assert refused.exit_code == 2
    assert "leave out HNSW" in refused.stderr
