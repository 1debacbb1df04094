"""How a page's shell blocks are run: `gradstore` in this process, so that torch is imported once, the rest by bash."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner
from gradstore_cli.main import cli

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
PROGRAMS = Path(sys.executable).parent


def lines(text: str) -> list[str]:
    """Commands, one a line; continued lines are joined, comments and empty lines left out."""
    joined = _small(text).replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def _small(text: str) -> str:
    """Ask for as many rows as the tiny pool has: a page would look odd that asks for 10."""
    return re.sub(r" -n \d{3,}\b", " -n 10", text)


def run(text: str) -> None:
    """Run a block of commands."""
    commands = lines(text)
    if all(_plain(command) for command in commands):
        for command in commands:
            code, output = answer(command)
            assert code == 0, f"{command}\n{output}"
    else:
        code, output = _bash(_small(text))
        assert code == 0, output


def converse(text: str) -> None:
    """Run the commands behind ``$`` and compare what they print with what is shown; ``…`` stands for anything."""
    for exchange in re.split(r"^\$ ", _small(text).replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, _, shown = exchange.partition("\n")
        code, output = answer(command)
        assert (code == 0) != bool(re.search(r"^error: ", shown, re.MULTILINE)), (
            f"exit code {code}: {command}\n{output}"
        )
        parts = [re.escape(part.strip()) for part in re.split(r"\n?[^\S\n]*…[^\S\n]*\n?", shown.strip())]
        found = "\n".join(line.rstrip() for line in output.strip().splitlines())
        assert not shown or re.fullmatch(r"\s*.*?\s*".join(parts), found, re.DOTALL), (
            f"{command} printed\n{found}"
        )


def answer(command: str) -> tuple[int, str]:
    """Exit code, and what was printed on stdout and stderr."""
    if not _plain(command):
        return _bash(command)
    program, *arguments = shlex.split(command, comments=True)
    if program == "pip":
        return _extras(arguments)
    result = CliRunner().invoke(cli, arguments)
    return result.exit_code, result.output


def _plain(command: str) -> bool:
    """Whether no shell is needed: no variable, pipe or pattern."""
    words = shlex.split(command, comments=True)
    quoted = re.sub(r"'[^']*'|\"[^\"$]*\"|#.*", "", command)
    return words[0] in ("gradstore", "pip") and not re.search(r"[|&;<>$*?`(]", quoted)


def _extras(arguments: list[str]) -> tuple[int, str]:
    """Look whether the extras exist; tests of the release install them."""
    named = {
        name for word in arguments for part in re.findall(r"\[(.*?)\]", word) for name in part.split(",")
    }
    missing = named - set(PROJECT["optional-dependencies"])
    return (1, f"no such extra: {missing}") if missing else (0, "")


def _bash(text: str) -> tuple[int, str]:
    path = os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
        timeout=300,
    )
    return done.returncode, done.stdout
