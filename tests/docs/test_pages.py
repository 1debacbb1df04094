"""What pages tell to type works: their blocks are run, page by page, in folders that hold what they name.

`things`, `run_folder` and `store_folder` in conftest.py are that. A block that cannot be run here has a reason
before it, which nobody sees in the rendered page::

    <!-- skip: next "needs several GPUs" -->
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from tests.docs import shell

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^ *```([^`\n]*)$", re.MULTILINE)
WARMS_UP = re.compile(r"^gradstore warmup|gradstore\.warmup\(", re.MULTILINE)
KNOWN = ("python", "sh", "console", "toml", "json", "text", "dockerfile")


def _parsed(load: Callable[[str], object]) -> Callable[[Example], None]:
    return lambda example: load(str(example.parsed)) and None


EVALUATORS: dict[str, Callable[[Example], None]] = {
    "python": PythonEvaluator(),
    "sh": lambda example: shell.run(str(example.parsed)),
    "console": lambda example: shell.converse(str(example.parsed)),
    "toml": _parsed(tomllib.loads),
    "json": _parsed(json.loads),
}


def unrunnable(example: Example) -> None:
    """Evaluator of languages that nothing here can run, so a reason must come before each block."""
    raise AssertionError("a block of this language cannot be run: say why before it")


def documents(page: Path) -> Document:
    """The page's blocks in order."""
    parsers = [CodeBlockParser(language, evaluator) for language, evaluator in EVALUATORS.items()]
    return Document.parse(str(page), *parsers, CodeBlockParser("dockerfile", unrunnable), SkipParser())


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, languages: tuple[str, ...]) -> Iterator[Example]:
    """The examples of these languages, each after the skip that stands before it."""
    before = None
    for example in documents(page):
        if isinstance(example.parsed, tuple):
            before = example
            continue
        if example.region.lexemes["arguments"] in languages:
            yield from (before, example) if before else (example,)
        before = None


def has(page: Path, languages: tuple[str, ...]) -> bool:
    return any(not isinstance(each.parsed, tuple) for each in blocks(page, languages))


@pytest.fixture
def folder(
    request: pytest.FixtureRequest, things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A fresh folder with what the page names, and the current one; a page that warms up begins without a run."""
    page: Path = request.getfixturevalue("page")
    text = page.read_text(encoding="utf-8")
    shutil.copytree(things, tmp_path, dirs_exist_ok=True)
    if not WARMS_UP.search(text):
        shutil.copytree(request.getfixturevalue("run_folder"), tmp_path / "run")
        shutil.copytree(request.getfixturevalue("store_folder"), tmp_path / "grads.zarr")
    if "s3://" in text:
        request.getfixturevalue("team_bucket")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("GRADSTORE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def evaluate(page: Path, languages: tuple[str, ...]) -> None:
    for example in blocks(page, languages):
        example.document.namespace["__name__"] = "__main__"
        try:
            example.evaluate()
        except SkipTest:
            continue
        except AssertionError as error:
            raise AssertionError(f"{name_of(page)}, line {example.line}: {error}") from error


SHELL, PYTHON, DATA = ("sh", "console"), ("python",), ("toml", "json", "dockerfile")


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, SHELL)], ids=name_of)
def test_commands_of_a_page_work_one_after_the_other(page: Path, folder: Path) -> None:
    evaluate(page, SHELL)


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, PYTHON)], ids=name_of)
def test_python_of_a_page_runs_from_top_to_bottom(page: Path, folder: Path) -> None:
    evaluate(page, PYTHON)


@pytest.mark.parametrize("page", [page for page in PAGES if has(page, DATA)], ids=name_of)
def test_data_of_a_page_can_be_parsed(page: Path) -> None:
    evaluate(page, DATA)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language_and_text_holds_no_commands(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    opening = [(found[1].strip(), text[found.end() :]) for found in list(FENCE.finditer(text))[::2]]
    for language, behind in opening:
        directive = language.startswith("{")
        assert directive or language in KNOWN, f"```{language}: name one of {KNOWN}"
        if language == "text":
            shown = behind.partition("```")[0]
            assert not re.search(r"^\$ |^gradstore \w+ \S+\.zarr", shown, re.MULTILINE), "commands are sh"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_whatever_is_not_run_has_a_reason(page: Path) -> None:
    for example in documents(page):
        if isinstance(example.parsed, tuple):
            action, reason = example.parsed
            assert action == "next", "a reason for each block"
            assert reason, f"line {example.line}: say why, in quotes"
            assert len(ast.literal_eval(reason).split()) > 1, f"line {example.line}: say why"
