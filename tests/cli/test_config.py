"""A config file fills options; the command line wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

EXTRACT = ("extract", "grads.zarr", "--checkpoint", "run", "--data", "d.jsonl", "--name", "pool")


@pytest.fixture
def parsed(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Parse a command line with a config file of the given text; returns the options or the error's line."""
    from gradstore_cli.commands import extract, select
    from gradstore_cli.commands.graph import build

    for module in (extract, build, select):
        monkeypatch.setattr(
            module.command, "callback", lambda *_a, **options: click.echo(json.dumps(options, default=str))
        )

    def parse(text: str, *arguments: str) -> dict[str, Any] | str:
        path = tmp_path / "run.toml"
        path.write_text(text)
        result = run(*arguments, "--config", path)
        if result.exit_code == 0:
            return json.loads(result.stdout)
        assert result.exit_code == 2
        return result.stderr

    return parse


def test_keys_may_have_dashes_or_underscores(parsed) -> None:
    assert parsed("chunk-rows = 7\ntoken_budget = 9", *EXTRACT)["chunk_rows"] == 7
    assert parsed("chunk-rows = 7\ntoken_budget = 9", *EXTRACT)["token_budget"] == 9


def test_the_command_line_wins(parsed) -> None:
    assert parsed("dim = 64\nseed = 3", *EXTRACT, "--dim", "128")["dim"] == 128
    assert parsed("dim = 64\nseed = 3", *EXTRACT, "--dim", "128")["seed"] == 3


def test_a_table_named_like_the_command_wins_over_the_top_and_others_are_ignored(parsed) -> None:
    options = parsed("seed = 1\n[extract]\nseed = 2\n[graph]\nneighbours = 5", *EXTRACT)
    assert options["seed"] == 2


def test_required_options_may_come_from_the_file(parsed) -> None:
    options = parsed('checkpoint = ["a", "b"]\ndata = "d"\nname = "n"', "extract", "grads.zarr")
    assert options["checkpoints"] == ["a", "b"]


def test_one_text_serves_a_repeatable_option(parsed) -> None:
    assert parsed('train = "pool"', "graph", "grads.zarr")["train"] == ["pool"]


def test_flags_that_choose_a_value(parsed) -> None:
    assert parsed("hnsw = true", "graph", "grads.zarr")["method"] == "hnsw"
    assert parsed("exact = true", "graph", "grads.zarr")["method"] == "exact"
    assert parsed("hnsw = true", "graph", "grads.zarr", "--exact")["method"] == "exact"
    assert parsed("hnsw = false", "graph", "grads.zarr")["method"] is None


def test_negative_flags(parsed) -> None:
    assert parsed("", *EXTRACT)["embed_rows"] is True
    assert parsed("no-embed-rows = true", *EXTRACT)["embed_rows"] is False


def test_unknown_key_suggests(parsed) -> None:
    assert "did you mean 'chunk-rows'" in parsed("chunk-row = 7", *EXTRACT)
    assert "run.toml" in parsed("chunk-row = 7", *EXTRACT)


@pytest.mark.parametrize(
    "text",
    [
        "dim = ",
        "dim = 'many'",
        "dim = true",
        "dim = [1]",
        "target = 1",
        "extract = 1",
        "[seed]\nx = 1",
        "dim = 0",
    ],
)
def test_a_broken_file_is_one_usage_error(parsed, text: str) -> None:
    message = parsed(text, *EXTRACT)
    assert message.startswith("error: ")
    assert message.count("\n") == 2


def test_a_missing_file_is_a_usage_error(run) -> None:
    result = run("graph", "grads.zarr", "--config", "none.toml")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr
