"""In bash, zsh and fish the tabulator completes what exists, fast, and says nothing else."""

from __future__ import annotations

import os
import pty
import re
import resource
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gradstore_cli import completers
from gradstore_cli.main import cli
from gradstore_cli.names import parameter_values
from gradstore_cli.shells import SHELLS, Bash

import gradstore
from gradstore.data.templates import BUILT_IN
from gradstore.select import selectors
from gradstore.store import new_store

PROGRAMS = Path(sys.executable).parent
PLUGIN = Path(__file__).parents[2] / "examples" / "selector_plugin" / "short_answers.py"

SHOW = {
    "bash": 'bind \'set bell-style none\'; bind -x \'"\\C-g": printf "<%s>" "$READLINE_LINE"\'',
    "zsh": "show() { print -rn \"<$BUFFER>\" }; zle -N show; bindkey '^G' show",
}
"""What binds Ctrl-G to a command that prints the line as it is now."""
Answers = Callable[[str], list[str]]
START = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}
ON = {shell: f'eval "$(gradstore completion {shell})"' for shell in SHOW}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of two data sets, a graph and a selection, an overlay on it, and a damaged store."""
    folder = tmp_path_factory.mktemp("shell")
    store, rng = folder / "grads.zarr", np.random.default_rng(0)
    for name, count in (("pool", 30), ("gsm8k", 4)):
        vectors = rng.normal(size=(count, 8)).astype(np.float32)
        gradstore.import_arrays(store, name=name, gradients=vectors, target=name != "pool")
    gradstore.build_graph(store, neighbours=3, name="near")
    gradstore.select(store, selector="random", budget=3, name="dice")
    new_store(folder / "mine.zarr", on=store)
    (folder / "broken.zarr").mkdir()
    (folder / "broken.zarr" / "zarr.json").write_text('{"attributes": {"gradstore": [1')
    return folder


@pytest.fixture
def answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What the program answers bash for a line."""
    monkeypatch.chdir(folder)

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_GRADSTORE_COMPLETE_LINE", f"gradstore {line}")
        return names(Bash(cli, {}, "gradstore", "_GRADSTORE_COMPLETE").complete())

    return ask


@pytest.fixture
def process_answers(folder: Path) -> Answers:
    """The same from a process of its own, which must say nothing else."""

    def ask(line: str) -> list[str]:
        asked = {"_GRADSTORE_COMPLETE": "bash_complete", "_GRADSTORE_COMPLETE_LINE": f"gradstore {line}"}
        done = subprocess.run(
            [PROGRAMS / "gradstore"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=os.environ | asked,
        )
        assert done.stderr == ""
        return names(done.stdout)

    return ask


def names(answer: str) -> list[str]:
    return [each.partition(",")[2] for each in answer.split() if each.startswith("plain,")]


@pytest.mark.parametrize("store", ["grads.zarr", "mine.zarr"])
def test_what_is_in_the_store_is_offered(store: str, answers: Answers) -> None:
    assert answers(f"select {store} --train ") == ["pool"]
    assert answers(f"select {store} --target ") == ["gsm8k"]
    assert answers(f"select {store} --graph ") == ["exact", "near"]
    assert answers(f"select {store} --direction ") == ["sgd"]
    assert answers(f"graph {store} --checkpoint i") == ["imported"]
    assert answers(f"graph show {store} row --from ") == ["gsm8k", "pool"]
    assert answers(f"why {store} ") == answers(f"compare {store} other ") == ["dice"]
    assert answers(f"extract {store} --checkpoint store:im") == ["imported"]  # what follows the colon
    mine = {"imported/pool", "imported/gsm8k/sgd", "graphs/near"}
    assert mine & set(answers(f"store rm {store} ")) == (mine if store == "grads.zarr" else set())


def test_selectors_their_parameters_and_values_are_offered(answers: Answers) -> None:
    assert answers("select grads.zarr --selector g2") == ["g2is"]
    assert "delta=" in answers("select grads.zarr --selector g2is -p ")
    assert answers("select grads.zarr --selector less -p center=") == ["false", "true"]
    assert answers(f"select grads.zarr --selector {PLUGIN}:ShortAnswers -p h") == ["half_length="]
    assert answers("store export grads.zarr out --format ") == ["less", "npy", "parquet"]
    assert answers("extract grads.zarr --direction adam,s") == ["adam,sgd", "adam,sign"]


def test_where_there_is_nothing_to_offer_nothing_is_said(answers: Answers, process_answers: Answers) -> None:
    for line in (
        "nowhere.zarr --target ",
        "broken.zarr --target ",
        "s3://b/s.zarr --target ",
        "x --selector no -p ",
    ):
        assert answers(f"select {line}") == []
    for line in (
        "select 'grads",
        "graph --bogus x ",
        "nosuch ",
    ):
        assert process_answers(line) == []


def test_parameters_are_those_that_selectors_take() -> None:
    for info in selectors():
        assert list(parameter_values(info.name)) == [each.name for each in info.parameters]
    assert tuple(BUILT_IN) == completers.TEMPLATES


def test_completing_runs_no_code_of_a_selector(tmp_path: Path, answers: Answers) -> None:
    place = tmp_path / "mine.py"
    place.write_text("print('run')\nclass Mine:\n    def __init__(self, *, size: int = 1): ...\n")
    assert answers(f"select grads.zarr --selector {place}:Mine -p ") == ["size="]


def test_an_answer_takes_less_than_half_a_second(process_answers: Answers) -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process_answers("select grads.zarr --selector g2is -p d") == ["delta="]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5  # processor time, the least of three


class Terminal:
    """A shell as somebody sits before it: keys go in, the line comes back."""

    def __init__(self, shell: str, folder: Path) -> None:
        program = shutil.which(shell)
        assert program
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
            environment = {
                "PATH": path,
                "HOME": str(folder),
                "TERM": "dumb",
                "PS1": "$ ",
                "LC_ALL": "C.UTF-8",
            }
            os.execve(program, [shell, *START[shell]], environment)  # noqa: S606
        self.send(f"{ON[shell]}; {SHOW[shell]}; echo rea''dy\n")
        self.until(r"\nready")

    def send(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def until(self, pattern: str) -> re.Match[str]:
        seen, late = "", time.monotonic() + 60
        while time.monotonic() < late:
            if select.select([self.end], [], [], 1)[0]:
                seen += os.read(self.end, 1 << 16).decode(errors="replace")
                if found := re.search(pattern, seen):
                    return found
        raise AssertionError(f"no {pattern} in {seen!r}")

    def line_after(self, typed: str) -> str:
        """The line once `typed` and the tabulator are pressed; it is emptied then."""
        self.send(f"{typed}\t\x07")
        found = self.until("<(gradstore[^>]*)>")
        self.send("\x15")
        return found[1]


@pytest.fixture(scope="module", params=["bash", "zsh"])
def terminal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    shell = Terminal(request.param, folder)
    yield shell
    os.close(shell.end)
    os.waitpid(shell.pid, 0)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("gradstore sele", "gradstore select"),
        ("gradstore select gra", "gradstore select grads.zarr/"),
        ("gradstore graph mi", "gradstore graph mine.zarr/"),
        ("gradstore select grads.zarr --sel", "gradstore select grads.zarr --selector "),
        ("gradstore select grads.zarr --target ", "gradstore select grads.zarr --target gsm8k "),
        ("gradstore select grads.zarr --target=gs", "gradstore select grads.zarr --target=gsm8k "),
        (
            "gradstore extract grads.zarr --checkpoint store:",
            "gradstore extract grads.zarr --checkpoint store:imported ",
        ),
        (
            "gradstore select grads.zarr --selector less -p agg",
            "gradstore select grads.zarr --selector less -p aggregate=",
        ),
        (
            "gradstore select grads.zarr --selector less -p center=t",
            "gradstore select grads.zarr --selector less -p center=true ",
        ),
    ],
)
def test_the_tabulator_completes_the_line(typed: str, line: str, terminal: Terminal) -> None:
    assert terminal.line_after(typed) == line


def test_fish_completes_the_line(folder: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")

    def complete(line: str) -> list[str]:
        text = f"gradstore completion fish | source; complete -C {line!r}"
        environment = {
            **os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder),
        }  # fmt: skip
        done = subprocess.run(
            ["fish", "-c", text], capture_output=True, text=True, check=True, cwd=folder, env=environment
        )
        assert done.stderr == ""
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    assert complete("gradstore select grads.zarr --target ") == ["gsm8k"]
    assert complete("gradstore select grads.zarr --selector less -p agg") == ["aggregate="]
    assert complete("gradstore extract grads.zarr --checkpoint store:") == ["store:imported"]
    assert complete("gradstore select grads.zarr --target=gs") == ["--target=gsm8k"]
    assert "grads.zarr/" in complete("gradstore select gra")


def test_the_script_is_also_there_for_programs_and_other_shells_are_named(
    run: Callable[..., object],
) -> None:
    for shell in SHELLS:
        assert f"{shell}_complete" in run("completion", shell).stdout  # type: ignore[attr-defined]
    assert run("completion", "tcsh").exit_code == 2  # type: ignore[attr-defined]
