"""Options and classes that several commands share. Destinations are the library's keyword names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gradstore_cli.config import read_config

__all__ = [
    "CommaList",
    "Command",
    "Group",
    "chat_template_option",
    "config_option",
    "direction_options",
    "format_option",
    "max_length_option",
    "positive",
    "seed_option",
    "stored_checkpoint_option",
    "store_argument",
    "train_option",
]

Function = TypeVar("Function", bound=Callable[..., Any])

# The library's own constants live beside numpy; a test holds these equal to them.
DIRECTIONS = ("sgd", "sign", "adam", "precond", "adam-true")
PROJECTIONS = ("sjlt", "rademacher", "none")
ENCODINGS = ("int8", "exact", "half")
FORMATS = ("messages", "prompt-completion", "alpaca", "sharegpt", "text", "tokens")

positive = click.IntRange(min=1)


class Command(click.Command):
    """A command with the options that all of them have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout."),
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show an error's traceback."),
        ]


class Group(click.Group):
    """Commands in the order of a user's work, with a hint where a name is unknown."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            from gradstore.registry import unknown_name

            raise click.UsageError(unknown_name("command", args[0], names), ctx)
        return super().resolve_command(ctx, args)


class CommaList(click.ParamType[tuple[str, ...]]):
    """Names separated by commas, each one of `choices`."""

    name = "names"

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split a text; a sequence (from a config file) is taken as it is."""
        names = tuple(value.split(",") if isinstance(value, str) else value)
        for name in names:
            if name not in self.choices:
                from gradstore.registry import unknown_name

                self.fail(unknown_name("name", str(name), self.choices), param, ctx)
        return names


def config_option(function: Function) -> Function:
    """Add ``--config``: values for options that the command line leaves out."""
    return click.option(
        "--config",
        metavar="FILE.toml",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="Take options from this file, top-level or in a table named like the command. The command line wins.",
    )(function)


def seed_option(what: str) -> Callable[[Function], Function]:
    """Add ``--seed`` of `what`."""
    return click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=f"Seed of {what}.")


def direction_options(function: Function) -> Function:
    """Add ``--direction`` and ``--target-direction``: which stored vectors to use."""
    function = click.option(
        "--target-direction",
        type=click.Choice(DIRECTIONS),
        help="Stored direction of the target rows. [default: sgd, or the only one]",
    )(function)
    return click.option(
        "--direction",
        type=click.Choice(DIRECTIONS),
        help="Stored direction of the train rows. [default: adam, or the only one]",
    )(function)


store_argument = click.argument("store", metavar="STORE")

train_option = click.option(
    "--train", multiple=True, metavar="NAME", help="Data set to choose from; repeatable. [default: all but targets]"
)

stored_checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME",
    help="Checkpoint in the store; repeatable. [default: all that hold the data]",
)

chat_template_option = click.option(
    "--chat-template",
    metavar="FILE",
    help="Jinja chat template to use instead of the tokenizer's own.",
)

format_option = click.option(
    "--format", "fmt", type=click.Choice(FORMATS), help="Format of the rows. [default: detected]"
)

max_length_option = click.option(
    "--max-length",
    type=positive,
    default=2048,
    show_default=True,
    help="Tokens at which a conversation is cut.",
)
