"""The ``gradstore`` command: a lazy group of commands and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

import click

from gradstore import __version__
from gradstore.errors import GradstoreError
from gradstore_cli import console
from gradstore_cli.options import Group
from gradstore_cli.signals import Terminated, exit_code, stoppable

__all__ = ["cli", "main"]

COMMANDS = (
    "warmup",
    "extract",
    "graph",
    "select",
    "compare",
    "why",
    "report",
    "store",
    "selectors",
    "doctor",
    "env",
    "completion",
    "demo",
)
RESUMABLE = (["extract"], *(["store", name] for name in ("convert", "merge", "pull", "push")))
SMALLER = {"extract": "--chunk-rows or --token-budget", "graph": "--memory", "select": "--memory"}
MASKED = "--storage-option"
EXTRA = (
    "accelerate",
    "datasets",
    "jinja2",
    "peft",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)
REMOTE = ("huggingface_hub", "obstore")

FAILURES = (
    click.ClickException,
    click.Abort,
    KeyboardInterrupt,
    GradstoreError,
    OSError,
    MemoryError,
    ModuleNotFoundError,
)


class Gradstore(Group):
    """All commands, and the handler of all expected errors."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run the command that `args` describe and exit with its code."""
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            with console.listening():
                code = super().main(arguments, prog_name="gradstore", standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as help_text:
            help_text.show()
            code = help_text.exit_code
        except FAILURES as error:
            if isinstance(error, ModuleNotFoundError) and _library(error) not in (*EXTRA, *REMOTE):
                raise
            code = report(error, arguments)
        sys.exit(code)


@click.group(
    cls=Gradstore,
    package="gradstore_cli.commands",
    names=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="gradstore %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show an error's traceback; goes anywhere.")
def cli() -> None:
    """Keep per-example gradients in a store, and choose training data with them.

    \b
    Three steps, each leaves its result in the store:
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool
      gradstore graph grads.zarr
      gradstore select grads.zarr --selector g2is --target gsm8k --fraction 0.01 -o picked.jsonl

    Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 usage,
    3 incompatible, 4 incomplete or corrupt, 130 interrupted by Ctrl-C, 143 by SIGTERM; a second
    signal kills at once. With --json a failure prints {"error": …, "exit_code": …} on stdout as well.
    """


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the user about an expected error and return the exit code.

    Parameters
    ----------
    error : exception
        What ended the command.
    arguments : sequence of str
        The command line, for the resume line and to see whether JSON or a traceback is wanted.
    """
    message, code, hint = explain(error, arguments)
    if "--debug" in arguments:
        console.say("".join(traceback.format_exception(error)).rstrip())
    console.error(message)
    if hint:
        console.say(hint)
    if "--json" in arguments:
        console.emit_json({"error": message, "exit_code": code})
    return code


def explain(error: BaseException, arguments: Sequence[str]) -> tuple[str, int, str]:
    """One line for the user, the exit code, and what to do next (or nothing)."""
    match error:
        case click.Abort(__cause__=EOFError()):
            return f"a file ends too early: {error.__cause__}", 1, ""
        case click.Abort() | KeyboardInterrupt():
            signal = error.__cause__ or error
            what = "stopped by SIGTERM" if isinstance(signal, Terminated) else "interrupted"
            return what, exit_code(signal), _resume(arguments)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "gradstore"
            return error.format_message(), error.exit_code, f"Try: {path} --help"
        case click.ClickException():
            return error.format_message(), error.exit_code, ""
        case GradstoreError():
            return str(error), error.exit_code, ""
        case ModuleNotFoundError():
            library = _library(error)
            extra = "remote" if library in REMOTE else "extract"
            return f"this needs {library}: pip install 'gradstore[{extra}]'", 1, ""
        case MemoryError():
            return f"out of memory{_smaller(arguments)}", 1, ""
        case OSError(errno=errno.ENOSPC):
            return f"no space left on the disk{_where(error)}; free some and run the command again", 1, ""
        case OSError():
            return f"{error.strerror or error}{_where(error)}", 1, ""
    return str(error), 1, ""


def _library(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _words(arguments: Sequence[str]) -> list[str]:
    return [word for word in arguments if not word.startswith("-")]


def _smaller(arguments: Sequence[str]) -> str:
    """Return what makes a command hold less, for commands that have such an option."""
    options = SMALLER.get(next(iter(_words(arguments)), ""))
    return f"; a smaller {options} needs less" if options else ""


def _resume(arguments: Sequence[str]) -> str:
    """Return the line that goes on with what was interrupted, for commands that can."""
    words = _words(arguments)
    if not any(words[: len(command)] == command for command in RESUMABLE):
        return ""
    return f"To continue: gradstore {shlex.join(_without_secrets(arguments))}"


def _without_secrets(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` without passwords in URLs and the values of storage options, which may be keys."""
    from gradstore.storage import plain

    shown = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        option = word.startswith(f"{MASKED}=")
        text = word.removeprefix(f"{MASKED}=") if option else word
        if option or before == MASKED:
            text = f"{text.partition('=')[0]}=…"
        shown.append(plain(f"{MASKED}={text}" if option else text))
    return shown


def _where(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def surprise(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say one line about an exception that nobody foresaw: a defect, here or in a plug-in."""
    if "--debug" in sys.argv:
        console.say("".join(traceback.format_exception(kind, error, trace)).rstrip())
    else:
        console.error(f"unexpected {kind.__name__}: {error} (--debug shows where)")


def main() -> NoReturn:
    """Run the command line of this process."""
    sys.excepthook = surprise
    if "_GRADSTORE_COMPLETE" in os.environ:
        from gradstore_cli.shells import prepare

        prepare()
    with stoppable(lambda error: report(error, sys.argv[1:])):
        cli.main()
