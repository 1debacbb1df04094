"""``select`` with limits, formats, explanations and replay; ``why`` and ``compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SELECT = ("--selector", "less", "--target", "gsm8k")


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_select_leaves_a_record_that_replay_repeats(run, store: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    limits = ("--per-source", "0.6", "--near-duplicate", 0.9)
    assert run("select", store, *SELECT, "-n", 12, *limits, "-o", first).exit_code == 0
    result = run("select", store, "--replay", tmp_path / "a.selection.json", "-o", again)
    assert result.exit_code == 0, result.output
    assert first.read_bytes() == again.read_bytes()
    for suffix in (".selection.json", ".scores.parquet"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_replay_refuses_what_the_record_decides(run, store: Path, tmp_path: Path) -> None:
    run("select", store, *SELECT, "-n", 5, "-o", tmp_path / "a.jsonl")
    record = tmp_path / "a.selection.json"
    result = run("select", store, "--replay", record, "-n", 3, "-o", tmp_path / "b.jsonl")
    assert result.exit_code == 2
    assert "-n cannot be given with --replay" in result.stderr
    assert not (tmp_path / "b.jsonl").exists()


def test_rows_of_a_file_are_left_out_by_id_or_content(run, store: Path, tmp_path: Path) -> None:
    run("select", store, *SELECT, "-n", 10, "-o", tmp_path / "a.jsonl")
    first = ids_in(tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    (tmp_path / "some.txt").write_text("\n".join(first[:2]))
    renamed = [{**row, "id": f"new-{i}"} for i, row in enumerate(rows[2:4])]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, renamed)))
    exclude = ("--exclude", tmp_path / "some.txt", "--exclude", tmp_path / "some.jsonl")
    result = run("select", store, *SELECT, "-n", 6, *exclude, "-o", tmp_path / "b.jsonl")
    assert result.exit_code == 0, result.output
    assert ids_in(tmp_path / "b.jsonl") == first[4:]
    assert "kept out" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--selector", "less", "-n", "5", "--balance", "quota", "--target", "gsm8k"),
            "needs several targets",
        ),
        (("--selector", "random", "--tokens", "two"), "is no number such as"),
        (("--selector", "random", "--tokens", "2M"), "how many tokens"),
        (("--selector", "random", "-n", "5", "--per-source", "half"), "neither a number of rows nor a share"),
        (("--selector", "random", "-n", "5", "--exclude", "gone.txt"), "cannot be read"),
        (("-n", "5"), "needs a target"),
        (("--replay", "gone.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(
    run, store: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run("select", store, *arguments, "-o", tmp_path / "a.jsonl")
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert not list(tmp_path.glob("a.*"))


def test_a_format_is_refused_before_anything_is_chosen(run, store: Path, tmp_path: Path) -> None:
    result = run("select", store, *SELECT, "-n", 5, "-o", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert "tells no format" in result.stderr
    assert not list(tmp_path.glob("a.*"))


def test_explain_tells_of_the_first_picks(run, store: Path, tmp_path: Path) -> None:
    result = run("select", store, *SELECT, "-n", 10, "--explain", "-o", tmp_path / "a.jsonl")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("chosen as number") == 5
    assert "nearest target rows" in result.stdout
    found = json.loads(
        run("select", store, *SELECT, "-n", 10, "--explain", 2, "--json", "-o", tmp_path / "b.jsonl").stdout
    )
    assert [row["id"] for row in found["explained"]] == ids_in(tmp_path / "a.jsonl")[:2]


def test_why_tells_of_one_row(run, store: Path, tmp_path: Path) -> None:
    run("select", store, *SELECT, "-n", 10, "-o", tmp_path / "a.jsonl")
    first = ids_in(tmp_path / "a.jsonl")[0]
    result = run("why", store, "less-gsm8k", first)
    assert result.exit_code == 0, result.output
    assert "chosen as number 1, by less" in result.stdout
    assert json.loads(run("why", store, "less-gsm8k", first, "--json").stdout)["rank"] == 0
    missing = run("why", store, "less-gsm8k", "nothing-like-it")
    assert missing.exit_code != 0
    assert "has no candidate" in missing.stderr


def test_compare_shows_overlap_and_sources(run, store: Path, tmp_path: Path) -> None:
    for name, count in (("few", 10), ("many", 20)):
        run("select", store, *SELECT, "-n", count, "-o", tmp_path / f"{name}.jsonl", "--name", name)
    result = run("compare", store, "few", "many")
    assert result.exit_code == 0, result.output
    assert "few, many" in result.stdout
    assert "0.500" in result.stdout
    found = json.loads(run("compare", store, "few", "many", "--json").stdout)
    assert found["pairs"][0]["jaccard"] == 0.5
    assert run("compare", store, "few", "gone").exit_code != 0
