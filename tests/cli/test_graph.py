"""``gradstore graph``: building, checking and showing."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.shell_completion import ShellComplete
from gradstore_cli.commands.graph import check, show
from gradstore_cli.main import cli

import gradstore
from gradstore.store import read_artefact, write_artefact


def facts(text: str) -> dict[str, str]:
    return {line[:12].strip(): line[12:].strip() for line in text.splitlines()}


def change(store: Path, name: str, attributes: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
    """Write the default graph again as `name`, with other arrays or attributes."""
    opened = gradstore.open(store)
    kept = read_artefact(opened, "graphs", "default")
    write_artefact(
        opened,
        "graphs",
        name,
        arrays={**kept.arrays, **arrays},
        strings=kept.strings,
        attributes={**kept.attributes, **(attributes or {})},
    )


def test_a_first_word_that_is_no_command_is_the_store(run, built: Path, tmp_path: Path) -> None:
    store = shutil.copytree(built, tmp_path / "grads")
    assert run("graph", store, "-m", 3).exit_code == 0
    assert run("graph", "--exact", "-m", 3, store).exit_code == 0
    shutil.copytree(store, tmp_path / "show")
    assert run("graph", tmp_path / "show", "-m", 3).exit_code == 0
    assert "STORE ID" in run("graph", "show", "--help").stdout
    assert run("graph", "--help").stdout.startswith("Usage: gradstore graph [OPTIONS] STORE")
    assert "gradstore graph show" in run("graph", "--help").stdout


def test_a_command_line_is_completed_with_options_and_commands() -> None:
    def completions(arguments: list[str], incomplete: str) -> list[str]:
        shell = ShellComplete(cli, {}, "gradstore", "_GRADSTORE_COMPLETE")
        found = shell.get_completions(arguments, incomplete)
        return [
            item.value for item in found if item.type == "plain"
        ]  # others are the shell's: files, folders

    assert completions(["graph"], "sh") == ["show"]
    assert completions(["graph"], "--exa") == ["--exact"]
    assert completions(["graph", "grads.zarr"], "--nam") == ["--name"]
    assert completions(["graph", "show", "grads.zarr", "id"], "--data") == ["--dataset"]


def test_a_build_reports_quality(run, store: Path) -> None:
    result = run("graph", store, "--exact", "-m", 5)
    shown = facts(result.stdout)
    assert shown["recall"] == "1.0000"
    assert shown["in-degree"].startswith("median ")
    assert shown["components"].startswith(("1, the largest of 68", "2, "))
    assert "of random pairs" in shown["negative"]
    assert "±0.5" in shown["noise"]  # 2/sqrt(16)
    assert "warning" not in result.stderr


def test_check_measures_the_stored_graph_again(run, store: Path) -> None:
    before = read_artefact(gradstore.open(store), "graphs", "default").digest
    found = json.loads(run("graph", store, "--check", "--json").stdout)
    assert (found["nodes"], found["neighbours"], found["recall"]) == (68, 8, 1.0)
    assert found["quality"]["cosine_error"] < 1e-6
    assert found["negative_share"] == found["quality"]["negative_links"]
    assert read_artefact(gradstore.open(store), "graphs", "default").digest == before
    assert facts(run("graph", store, "--check").stdout)["edges"] == "544 (8 a node)"


def test_check_finds_links_that_are_not_the_nearest_and_cosines_that_are_made_up(run, store: Path) -> None:
    far = (np.arange(68)[:, None] + np.arange(1, 9)).astype(np.int32) % 68
    change(store, "far", neighbours=far)
    result = run("graph", store, "--check", "--name", "far")
    assert result.exit_code == 0
    low, wrong = (line for line in result.stderr.splitlines() if line.startswith("warning: "))
    assert low.startswith("warning: recall 0.")
    assert "is below 0.95" in low
    assert "build it again" in low
    assert wrong.startswith("warning: listed cosines differ from those of the rows by up to ")


def test_check_refuses_what_says_how_to_build(run, store: Path, tmp_path: Path) -> None:
    for arguments, named in (
        (("-m", 3), "--neighbours"),
        (("--hnsw",), "--hnsw"),
        (("--train", "pool"), "--train"),
    ):
        result = run("graph", store, "--check", *arguments)
        assert result.exit_code == 2
        assert named in result.stderr
    config = tmp_path / "run.toml"
    config.write_text("neighbours = 3")
    assert run("graph", store, "--check", "--config", config).exit_code == 0


def test_two_methods_at_once_are_refused(run, store: Path) -> None:
    result = run("graph", store, "--exact", "--hnsw")
    assert result.exit_code == 2
    assert "--exact and --hnsw are two methods" in result.stderr


def test_check_of_a_graph_that_is_not_there_suggests(run, store: Path) -> None:
    result = run("graph", store, "--check", "--name", "defualt")
    assert result.exit_code == 2
    assert "did you mean 'default'" in result.stderr


def test_show_prints_neighbours_with_texts_and_says_once_which_have_none(run, store: Path) -> None:
    result = run("graph", "show", store, "p3", "-n", 8)
    assert result.exit_code == 0, result.output
    first, text, _, kind, header, *lines = result.stdout.splitlines()
    assert (first, kind) == ("p3 of pool", "neighbours")
    assert header.split() == ["cosine", "data", "set", "id", "text"]
    assert text == "row 3"
    graph = gradstore.load_graph(store)
    links = graph.neighbours_of("p3")
    assert [line.split()[2] for line in lines] == [link.id for link in links]
    assert [line.split()[0] for line in lines] == [f"{link.cosine:.4f}" for link in links]
    assert {"pool", "gsm8k"} == {link.dataset for link in links}
    for line, link in zip(lines, links, strict=True):
        assert ("row" in line) == (link.dataset == "pool")
    notes = result.stderr.splitlines()
    assert notes[0] == "without texts, which the store does not hold: gsm8k"
    assert "--conflicts" in notes[1]


def test_show_prints_conflicts_where_there_are_some(run, store: Path) -> None:
    conflicts = np.full((68, 2), -1, np.int32)
    conflicts[0] = (7, 9)
    cosines = np.where(conflicts >= 0, np.float32([-0.5, 0.25]), 0).astype(np.float32)
    change(store, "both", conflicts=conflicts, conflict_cosines=cosines)
    result = run("graph", "show", store, "p0", "--name", "both", "-n", 1)
    *_, kind, _, line = result.stdout.splitlines()
    assert kind == "conflicts"
    assert line.split()[:3] == ["-0.5000", "pool", "p7"]
    assert "conflicts: none" in run("graph", "show", store, "p1", "--name", "both").stdout
    found = json.loads(run("graph", "show", store, "p0", "--name", "both", "--json").stdout)
    assert [link["id"] for link in found["conflicts"]] == ["p7"]


def test_show_filters_by_data_set_and_counts(run, store: Path) -> None:
    found = json.loads(run("graph", "show", store, "p3", "--from", "gsm8k", "-n", 2, "--json").stdout)
    assert (found["id"], found["dataset"], found["node"]) == ("p3", "pool", 3)
    assert {link["dataset"] for link in found["neighbours"]} == {"gsm8k"}
    assert len(found["neighbours"]) == 2
    assert found["neighbours"][0]["text"] is None
    assert "conflicts" not in found
    both = run("graph", "show", store, "p3", "--from", "gsm8k", "--from", "pool", "--json").stdout
    assert len(json.loads(both)["neighbours"]) == 8


def test_show_suggests_for_names_that_are_not_there(run, store: Path) -> None:
    for arguments, message in (
        (("p33x",), "did you mean 'p33'"),
        (("p3", "--from", "pol"), "did you mean 'pool'"),
        (("p3", "--dataset", "gsm8k"), "no row of data set 'gsm8k' has the id 'p3'"),
        (("p3", "--name", "defualt"), "did you mean 'default'"),
    ):
        result = run("graph", "show", store, *arguments)
        assert result.exit_code == 2
        assert message in result.stderr


def test_texts_are_cut_to_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradstore.graph.links import Link

    monkeypatch.setenv("COLUMNS", "60")
    own, other = Link("a", "pool", 0, 1.0), Link("b\nc", "pool", 1, 0.5)
    page = show._page(own, {"neighbours": [other]}, {0: "x" * 200, 1: "y" * 200})
    assert max(map(len, page.splitlines())) == 60
    assert page.count("…") == 2
    assert "b c" in page
    monkeypatch.setenv("COLUMNS", "10")
    assert "y" * (show.LEAST - 1) in show._page(own, {"neighbours": [other]}, {0: "x", 1: "y" * 200})


def test_rows_cannot_drive_the_terminal(run, built: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("a\nb\n")
    rows = tmp_path / "rows.jsonl"
    evil = "\x1b]0;owned\x07 \x9b31m \x1b[2J"
    rows.write_text("".join(json.dumps({"id": name, "text": f"{name} {evil}"}) + "\n" for name in "ab"))
    np.save(tmp_path / "x.npy", np.float32([[1, 0.5], [0.5, 1]]))
    store = tmp_path / "s"
    assert run("store", "import", store, tmp_path / "x.npy", "--name", "pool", "--rows", rows).exit_code == 0
    assert run("graph", store, "-m", 1).exit_code == 0
    result = run("graph", "show", store, "a")
    assert "owned" in result.stdout
    assert not set(result.stdout) & {"\x1b", "\x07", "\x9b"}
    found = run("graph", "show", store, "a", "--json").stdout
    assert not set(found) & {"\x1b", "\x07", "\x9b"}
    assert json.loads(found)["text"] == f"a {evil}"


def test_every_figure_has_a_line() -> None:
    quality = {
        "recall": 0.9, "recall_low": 0.88, "recall_high": 0.92, "rows": 1000, "cosine_error": 0.0,
        "conflict_recall": 0.875,
        "in_degree_median": 3.0, "in_degree_max": 4321, "unlisted_share": 0.25, "components": 2,
        "largest_component": 90_000, "negative_pairs": 0.5, "negative_links": 0.0, "noise": 0.0221,
        "noise_pairs": 0.9, "noise_links": 0.125, "copies": 12,
    }  # fmt: skip
    found = {
        "name": "g", "nodes": 100_000, "edges": 3_200_000, "neighbours": 32, "conflicts": 8, "method": "hnsw",
        "why": "asked for", "attached": 0, "quality": quality, "seconds": 61.0,
    }  # fmt: skip
    shown = facts(check.text(found))
    assert shown["recall"] == "0.9000 (95 %: 0.8800 to 0.9200, from 1,000 rows)"
    assert shown["in-degree"] == "median 3, at most 4,321; 25.0 % of the rows are listed by none"
    assert shown["components"] == "2, the largest of 90,000 rows"
    assert shown["noise"] == "12.5 % of the edges, 90.0 % of random pairs, within ±0.0221"
    assert shown["copies"] == "12 rows are exact copies of others"
    assert shown["conflicts"] == "8 a node, recall 0.8750"


def test_the_defaults_are_those_of_the_library() -> None:
    library = inspect.signature(gradstore.build_graph).parameters
    command = cli.get_command(click.Context(cli), "graph").default
    context = command.make_context("graph", ["grads.zarr"])
    for name in (
        "neighbours",
        "conflicts",
        "M",
        "ef_construction",
        "ef",
        "sketch",
        "workers",
        "fast",
        "rebuild",
    ):
        assert context.params[name] == library[name].default, name
    assert library["memory"].default == 4_000_000_000  # as help says


def test_a_search_that_finds_too_little_is_warned_about_with_what_helps(run, store: Path) -> None:
    change(
        store,
        "low",
        {"method": "hnsw"},
        neighbours=(np.arange(68)[:, None] + np.arange(1, 9)).astype(np.int32) % 68,
    )
    low = run("graph", store, "--check", "--name", "low").stderr
    assert "raise --ef or --sketch, or build with --exact" in low


def test_a_build_lists_conflicts(run, store: Path) -> None:
    result = run("graph", store, "--conflicts", 3, "--rebuild", "--memory", "100MB")
    assert facts(result.stdout)["conflicts"] == "3 a node, recall 1.0000"
    found = json.loads(run("graph", "show", store, "p3", "--json").stdout)
    assert len(found["conflicts"]) == 3
    assert all(link["cosine"] < 0 for link in found["conflicts"])
    assert "--memory is a size such as" in run("graph", store, "--memory", "much").stderr


DOCS = (Path(__file__).parents[2] / "docs/graph.md").read_text(encoding="utf-8")


def test_the_lines_of_the_documentation_run(run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.parent)
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    assert {kind for kind, _ in blocks} == {"sh", "python"}
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "docs/graph.md", "exec"), {})  # noqa: S102
        for line in block.splitlines() if kind == "sh" else ():
            result = run(*shlex.split(line)[1:])
            assert result.exit_code == 0, f"{line}: {result.output}"


def test_the_documentation_explains_every_figure(run, store: Path) -> None:
    for name in facts(run("graph", store, "--exact").stdout):
        assert name in {"graph", "nodes", "edges", "method", "time"} or f"**{name}**" in DOCS
