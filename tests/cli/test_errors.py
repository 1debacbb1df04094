"""A user's error is one line, says what to do, and has its exit code."""

from __future__ import annotations

import errno
import json
import logging
import os
import pty
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
from gradstore_cli.main import EXTRA, REMOTE, cli, explain

from gradstore import errors

MAIN = "from gradstore_cli.main import main; main()"


def one_line(text: str) -> str:
    first, *rest = text.splitlines()
    assert first.startswith("error: ")
    assert all(line.startswith("Try: gradstore") for line in rest)
    return first


def test_unknown_command_suggests(run) -> None:
    result = run("extrat")
    assert result.exit_code == 2
    assert "did you mean 'extract'" in one_line(result.stderr)


def test_unknown_command_of_a_group_suggests(run) -> None:
    result = run("store", "verfy")
    assert result.exit_code == 2
    assert "did you mean 'verify'" in one_line(result.stderr)


def test_unknown_option_points_to_help(run) -> None:
    result = run("graph", "grads.zarr", "--exakt")
    assert result.exit_code == 2
    assert "--exact" in one_line(result.stderr)
    assert "Try: gradstore graph --help" in result.stderr


def test_missing_option_and_argument(run) -> None:
    assert "--checkpoint" in one_line(run("extract", "grads.zarr").stderr)
    assert "STORE" in one_line(run("graph").stderr)


def test_unknown_direction_suggests(run) -> None:
    result = run(
        "extract", "g.zarr", "--checkpoint", "run", "--data", "d", "--name", "n", "--direction", "adam,sdg"
    )
    assert result.exit_code == 2
    assert "did you mean 'sgd'" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.DataError("line 3: no role"), 1),
        (errors.CheckpointError("no moments"), 1),
        (errors.StoreWriteError("read-only"), 1),
        (errors.UsageError("budget"), 2),
        (errors.StoreNotFoundError("no store"), 2),
        (errors.IncompatibleError("projection"), 3),
        (errors.IncompleteError("run it again"), 4),
        (errors.CorruptError("checksum"), 4),
        (MemoryError(), 1),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "grads.zarr"), 1),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x.npy"), 1),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_code_and_one_line_for_each_error(run, raising, raised: Exception, code: int) -> None:
    raising(raised)
    result = run("env", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout) == {
        "error": one_line(result.stderr).removeprefix("error: "),
        "exit_code": code,
    }


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch):
    """Make ``gradstore env`` fail as a library function would."""
    from gradstore_cli.commands import env

    def replace(error: BaseException) -> None:
        def fail(**_options: object) -> None:
            raise error

        monkeypatch.setattr(env.command, "callback", fail)

    return replace


def test_missing_torch_names_the_extra(run, raising) -> None:
    raising(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert "pip install 'gradstore[extract]'" in run("env").stderr


def test_only_what_the_extra_brings_is_said_to_come_with_it() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    plain = {re.split(r"[<>=!~ ]", each)[0].replace("-", "_") for each in project["dependencies"]}
    assert plain.isdisjoint({*EXTRA, *REMOTE})


@pytest.mark.parametrize(
    ("command", "advice"),
    [("extract", "a smaller --chunk-rows or --token-budget"), ("select", "a smaller --memory"), ("env", "")],
)
def test_a_lack_of_memory_names_only_options_that_the_command_has(command: str, advice: str) -> None:
    line, code, _ = explain(MemoryError(), ["--debug", command, "grads.zarr"])
    assert line == ("out of memory" + (f"; {advice} needs less" if advice else ""))
    assert code == 1
    known = {option for each in cli.get_command(click.Context(cli), command).params for option in each.opts}
    assert set(re.findall(r"--[a-z-]+", advice)) <= known


def test_a_full_disk_is_named_with_its_path(run, raising) -> None:
    raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "grads.zarr"))
    assert "grads.zarr" in run("env").stderr
    assert "disk" in run("env").stderr


def test_a_message_of_several_lines_becomes_one(run, raising) -> None:
    raising(errors.DataError("first\nsecond"))
    assert run("env").stderr == "error: first second\n"


def test_debug_shows_the_traceback_wherever_it_stands(run, raising) -> None:
    raising(errors.DataError("broken"))
    assert "Traceback" not in run("env").stderr
    for arguments in (("--debug", "env"), ("env", "--debug")):
        result = run(*arguments)
        assert "Traceback" in result.stderr
        assert result.exit_code == 1


def test_what_the_library_waits_for_is_told_and_logging_is_left_as_it_was(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradstore_cli.commands import env

    from gradstore.storage.telling import tell

    ours = logging.getLogger("gradstore")
    before = ours.level, list(ours.handlers), ours.propagate
    monkeypatch.setattr(env.command, "callback", lambda **_: tell("waiting for a lock"))
    assert run("env").stderr == "waiting for a lock\n"
    assert (ours.level, list(ours.handlers), ours.propagate) == before


def test_a_traceback_does_not_drive_the_terminal(run, raising) -> None:
    raising(errors.DataError("a row's id: \x1b]0;title\x07"))
    assert "\x1b" not in run("env", "--debug").stderr


def test_interrupted_extract_prints_the_line_that_resumes(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradstore_cli.commands import extract

    def interrupt(**_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extract.command, "callback", interrupt)
    arguments = ("extract", "my grads.zarr", "--checkpoint", "run", "--data", "d.jsonl", "--name", "pool")
    result = run(*arguments)
    assert result.exit_code == 130
    assert (
        "gradstore extract 'my grads.zarr' --checkpoint run --data d.jsonl --name pool"
        in result.stderr.splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("command", "options"), [("merge", ()), ("convert", ("--to", "int4")), ("push", ()), ("pull", ())]
)
def test_an_interrupted_copy_prints_the_line_that_resumes(
    run, monkeypatch: pytest.MonkeyPatch, command: str, options: tuple[str, ...]
) -> None:
    def interrupt(**_options: object) -> None:
        raise KeyboardInterrupt

    module = import_module(f"gradstore_cli.commands.store.{command}")
    monkeypatch.setattr(module.command, "callback", interrupt)
    result = run("store", command, "grads.zarr", "part 1.zarr", *options)
    assert result.exit_code == 130
    line = " ".join(("To continue: gradstore store", command, "grads.zarr 'part 1.zarr'", *options))
    assert result.stderr.splitlines()[-1] == line


def test_a_file_that_ends_too_early_is_no_interruption(run, raising) -> None:
    raising(EOFError("Compressed file ended"))
    result = run("env")
    assert result.exit_code == 1
    assert "Compressed file ended" in result.stderr


def test_other_interrupted_commands_promise_no_resume(run, raising) -> None:
    raising(KeyboardInterrupt())
    result = run("env")
    assert result.exit_code == 130
    assert "continue" not in result.stderr


def test_an_unforeseen_error_is_one_line_without_debug(process) -> None:
    code = (
        "import sys; from gradstore_cli.commands import env; from gradstore_cli.main import main\n"
        "env.command.callback = lambda **_: {}['key']; main()"
    )
    calm, loud = process(code, "env"), process(code, "env", "--debug")
    assert calm.returncode == loud.returncode == 1
    assert calm.stderr == "error: unexpected KeyError: 'key' (--debug shows where)\n"
    assert "Traceback" in loud.stderr


def test_a_closed_pipe_is_quiet(process) -> None:
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1], 'env'], stdout=subprocess.PIPE,"
        " stderr=subprocess.PIPE)\n"
        "child.stdout.close(); sys.stdout.write(child.stderr.read().decode())"
    )
    assert process(code, "import time; time.sleep(0.5); " + MAIN).stdout == ""


def terminal_output(*arguments: str) -> str:
    """What a failing command writes to a terminal on stderr."""
    reader, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", MAIN, *arguments], stderr=terminal, check=False)
    os.close(terminal)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    return text


def test_errors_are_red_on_a_terminal_unless_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31merror:" in terminal_output("extrat")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in terminal_output("extrat")


def test_piped_output_has_no_control_characters(process, tmp_path: Path) -> None:
    for arguments in (
        ("extrat",),
        ("env",),
        ("--help",),
        ("selectors",),
        ("store", "ls", tmp_path / "none.zarr"),
    ):
        result = process(MAIN, *arguments)
        for character in result.stdout + result.stderr:
            assert character.isprintable() or character == "\n", arguments
