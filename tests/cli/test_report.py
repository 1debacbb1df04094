"""``gradstore report``: what it writes and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("bokeh", reason="needs pip install 'gradstore[report]'")
pytest.importorskip("igraph", reason="needs pip install 'gradstore[report]'")


def test_a_page_is_written_where_the_command_runs(
    run, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("report", built)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["page"].startswith("report.html (")
    assert facts["rows"] == "68, 68 of them on the map"
    assert facts["selections"].startswith("none")


def test_pictures_alone_write_no_page(
    run, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("report", built, "--png", "figures", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pictures"] == ["figures/composition.png", "figures/map.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]


def test_what_is_not_there_is_named(run, built: Path, tmp_path: Path) -> None:
    for option in ("--selection", "--graph"):
        result = run("report", built, option, "nothing", "-o", tmp_path / "page.html")
        assert result.exit_code == 2
        assert "nothing" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_line_that_says_what_to_install(
    run, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradstore.report.run.find_spec", lambda _: None)
    result = run("report", built, "-o", tmp_path / "page.html")
    assert result.exit_code == 2
    assert "pip install 'gradstore[report]'" in result.stderr
