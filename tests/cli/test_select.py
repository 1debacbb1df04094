"""``gradstore graph``, ``select`` and ``selectors`` on a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SELECT = ("--selector", "less", "--target", "gsm8k")


def test_graph_reports_nodes_edges_and_method(run, store: Path) -> None:
    result = run("graph", store, "--exact", "-m", "4", "--name", "small")
    assert result.exit_code == 0, result.output
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["nodes"] == "68"
    assert facts["edges"].startswith("272 ")
    assert facts["method"].startswith("exact")
    assert facts["recall"] == "1.0000"


def test_graph_json(run, store: Path) -> None:
    found = json.loads(run("graph", store, "--hnsw", "-m", "4", "--json").stdout)
    assert found["method"] == "hnsw"
    assert 0 <= found["negative_share"] <= 1


def test_graph_of_an_unknown_data_set_suggests(run, store: Path) -> None:
    result = run("graph", store, "--train", "pol")
    assert result.exit_code == 2
    assert "did you mean 'pool'" in result.stderr


def test_select_writes_the_original_rows_and_shows_their_composition(
    run, store: Path, tmp_path: Path
) -> None:
    output = tmp_path / "picked.jsonl"
    result = run("select", store, *SELECT, "-n", 10, "-o", output)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows) == 10
    assert all(set(row) == {"id", "source", "text"} for row in rows)
    line = next(line for line in result.stdout.splitlines() if line.startswith("math"))
    chosen = sum(row["source"] == "math" for row in rows)
    assert line.split()[1] == str(chosen)
    assert "33.3 %" in line
    assert str(output) in result.stderr


def test_select_json_is_one_document_and_in_the_file_s_order(run, store: Path, tmp_path: Path) -> None:
    output = tmp_path / "picked.jsonl"
    found = json.loads(run("select", store, *SELECT, "--fraction", 0.1, "-o", output, "--json").stdout)
    assert (found["picked"], found["rows"]) == (6, 60)
    assert found["ids"] == [json.loads(line)["id"] for line in output.read_text().splitlines()]
    assert {entry["source"] for entry in found["composition"]} == {"math", "chat"}


def test_rows_that_are_not_in_the_store_come_from_data(
    run, arrays: Path, store: Path, tmp_path: Path
) -> None:
    ids, output = tmp_path / "ids.txt", tmp_path / "picked.jsonl"
    ids.write_text("".join(f"p{i}\n" for i in range(60)))
    bare = ("store", "import", store, arrays / "pool.npy", "--name", "bare", "--ids", ids)
    assert run(*bare).exit_code == 0
    select = ("select", store, *SELECT, "--train", "bare", "-n", 5, "-o", output)
    without = run(*select)
    assert without.exit_code == 2
    assert "original rows of bare; give the file they came from with --data" in without.stderr
    assert not output.exists()
    assert not (store / "selections").exists()  # refused before the work, not after it
    assert run(*select, "--data", arrays / "pool.jsonl").exit_code == 0
    assert len(output.read_text().splitlines()) == 5
    again = ("select", store, "--replay", tmp_path / "picked.selection.json", "-o", tmp_path / "again.jsonl")
    assert "original rows of bare" in run(*again).stderr
    assert run(*again, "--data", arrays / "pool.jsonl").exit_code == 0
    everything = ("select", store, *SELECT, "-n", 5, "-o", tmp_path / "all.jsonl")
    assert "original rows of bare" in run(*everything).stderr
    assert run(*everything, "--train", "pool").exit_code == 0


def test_a_walk_reports_its_counts(run, store: Path, tmp_path: Path) -> None:
    result = run(
        "select", store, "--selector", "g2is", "--target", "gsm8k", "-n", 10, "-o", tmp_path / "p.jsonl"
    )
    assert result.exit_code == 0, result.output
    assert "fallback" in result.stdout


def test_without_a_graph_the_walk_picks_what_it_picks_on_the_exact_one(
    run, store: Path, tmp_path: Path
) -> None:
    base = ("select", store, "--selector", "g2is", "--target", "gsm8k", "-n", 10, "-o", tmp_path / "p.jsonl")
    needs_none = run(*base, "--graph", "exact", "-p", "neighbours=4", "--memory", "1MB")
    assert needs_none.exit_code == 0, needs_none.stderr
    without = (tmp_path / "p.jsonl").read_bytes()
    assert run("graph", store, "--exact", "-m", 4).exit_code == 0
    assert run(*base).exit_code == 0
    assert (tmp_path / "p.jsonl").read_bytes() == without
    assert "--memory is a size such as" in run(*base, "--memory", "much").stderr


def test_parameters_reach_the_selector_by_their_types(run, store: Path, tmp_path: Path) -> None:
    base = ("select", store, "--selector", "g2is", "--target", "gsm8k", "-n", 5, "-o", tmp_path / "p.jsonl")
    assert run(*base, "-p", "delta=0.5").exit_code == 0
    unknown = run(*base, "-p", "delt=0.5")
    assert unknown.exit_code == 2
    assert "delta" in unknown.stderr
    assert run(*base, "-p", "delta=high").exit_code == 2
    assert run(*base, "-p", "delta").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--selector", "g2si", "--target", "gsm8k", "-n", "5"), "did you mean 'g2is'"),
        (("--selector", "less", "--target", "gsm8", "-n", "5"), "did you mean 'gsm8k'"),
        ((*SELECT, "-n", "0"), "-n"),
        ((*SELECT, "-n", "four"), "'four' is not a valid whole number"),
        ((*SELECT, "--fraction", "half"), "'half' is not a valid number"),
        ((*SELECT, "-n", "61"), "60"),
        ((*SELECT, "--fraction", "0"), "--fraction"),
        ((*SELECT, "--fraction", "1.5"), "--fraction"),
        (SELECT, "one of -n, --fraction and --tokens"),
        ((*SELECT, "-n", "5", "--fraction", "0.5"), "one of -n, --fraction and --tokens"),
        (
            ("--selector", "g2is", "--target", "gsm8k", "-n", "5", "--graph", "defaut"),
            "did you mean 'default'",
        ),
    ],
)
def test_usage_errors_are_exit_2(
    run, store: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    output = tmp_path / "picked.jsonl"
    result = run("select", store, *arguments, "-o", output)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not output.exists()


def test_no_store_is_exit_2(run, tmp_path: Path) -> None:
    for arguments in (("graph",), ("select", *SELECT, "-n", "5", "-o", tmp_path / "p.jsonl")):
        result = run(arguments[0], tmp_path / "none.zarr", *arguments[1:])
        assert result.exit_code == 2
        assert "none.zarr" in result.stderr


def test_a_budget_on_the_command_line_overrides_the_file_s(run, store: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('[select]\nselector = "less"\ntarget = "gsm8k"\nfraction = 0.5\n')
    base = ("select", store, "--config", config, "-o", tmp_path / "p.jsonl", "--json")
    assert json.loads(run(*base).stdout)["picked"] == 30
    assert json.loads(run(*base, "-n", 4).stdout)["picked"] == 4


def test_a_selector_in_a_file(run, store: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "first.py"
    plugin.write_text(
        "import numpy as np\n"
        "from gradstore.records import Selection\n"
        "class First:\n"
        "    name = 'first'\n"
        "    def select(self, context, budget):\n"
        "        return Selection(np.arange(budget))\n"
    )
    arguments = ("select", store, "--selector", f"{plugin}:First", "--target", "gsm8k", "-n", 3)
    result = run(*arguments, "-o", tmp_path / "p.jsonl", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ids"] == ["p0", "p1", "p2"]


def test_choosing_imports_no_torch(process, store: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from gradstore_cli.main import cli\n"
        "try: cli.main()\n"
        "finally: print(sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)), file=sys.stderr)"
    )
    result = process(code, "select", store, *SELECT, "-n", 5, "-o", tmp_path / "p.jsonl")
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "[]"


def test_selectors_are_listed_with_their_parameters(run) -> None:
    text = run("selectors").stdout
    for name in ("g2is", "less", "random"):
        assert name in text
    assert "delta" in run("selectors", "g2is").stdout
    assert {entry["name"] for entry in json.loads(run("selectors", "--json").stdout)} >= {
        "g2is",
        "less",
        "random",
    }
    assert json.loads(run("selectors", "g2is", "--json").stdout)["name"] == "g2is"
    assert "did you mean 'less'" in run("selectors", "les").stderr
    assert run("selectors", "les").exit_code == 2


def test_one_row_is_counted_as_one(run, store: Path, tmp_path: Path) -> None:
    result = run("select", store, *SELECT, "-n", 1, "-o", tmp_path / "one.jsonl")
    assert result.stderr.splitlines()[-1].startswith("1 row written to ")
