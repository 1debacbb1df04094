"""Options and classes that several commands share. Destinations are the library's keyword names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gradstore_cli import completers
from gradstore_cli.config import read_config
from gradstore_cli.quantities import Whole

__all__ = [
    "COMPRESSIONS",
    "DIRECTIONS",
    "ENCODINGS",
    "EXPORTS",
    "FORMATS",
    "IMPORTS",
    "PROJECTIONS",
    "Command",
    "Group",
    "chat_template_option",
    "comma_separated",
    "config_option",
    "direction_options",
    "format_option",
    "license_option",
    "max_length_option",
    "positive",
    "refuse",
    "seed_option",
    "storage_option",
    "store_argument",
    "stored_checkpoint_option",
    "train_option",
    "verify_option",
]

Function = TypeVar("Function", bound=Callable[..., Any])

# The library's own constants live beside numpy; a test holds these equal to them.
DIRECTIONS = ("sgd", "sign", "adam", "precond", "adam-true", "rds")
PROJECTIONS = ("sjlt", "rademacher", "kron", "kron+sjlt", "none")
ENCODINGS = ("int8", "exact", "half", "int4", "sign")
COMPRESSIONS = ("none", "zstd", "blosc")
IMPORTS = ("bergson", "less", "logix", "npy", "npz", "parquet", "pt", "qless", "trak")
EXPORTS = ("less", "npy", "parquet")
FORMATS = ("messages", "prompt-completion", "alpaca", "sharegpt", "text", "tokens")

positive = Whole(min=1)


def as_bytes(_ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """What a size such as ``4GB`` means; a callback."""
    from gradstore.storage.cache import parse_size

    return None if text is None else parse_size(text, param.opts[-1])


def refuse(ctx: click.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that would do nothing. A file of options may have them: it can serve several commands.

    Parameters
    ----------
    ctx : click.Context
    names : iterable of str
        Names of parameters.
    why : str
        The message, where ``{}`` stands for the option as it is written.
    """
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            written = " or ".join(each.opts[-1] for each in ctx.command.params if each.name == name)
            raise click.UsageError(why.format(written), ctx)


class Command(click.Command):
    """A command with the options that all of them have.

    Parameters
    ----------
    sections : Mapping from title to text, optional
        How help divides a long list of options, such as ``{"Model": "--base --quantize"}``; those that are not
        mentioned come first.
    """

    def __init__(self, *args: Any, sections: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout."),
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show an error's traceback."),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options and arguments; where a shell completes the value of an option, all that stands before it.

        Else click would know nothing of a line that ends with an option, not even STORE.
        """
        if ctx.resilient_parsing and args and any(args[-1] in each.opts for each in self.params):
            args = args[:-1]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the titles of their sections, in one width."""
        titles = {option: title for title, options in self.sections.items() for option in options.split()}
        lists: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *self.sections)}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                title = next((titles[text] for text in option.opts if text in titles), "Options")
                lists[title].append(record)
        width = max(len(left) for records in lists.values() for left, _ in records)
        for title, records in lists.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl([(left.ljust(width), right) for left, right in records])


class Group(click.Group):
    """Commands in the order of a user's work, imported when needed, with a hint where a name is unknown.

    Parameters
    ----------
    package : str
        Package that has a module for each command, which calls it ``command``.
    names : sequence of str
        Names of the commands.
    """

    def __init__(self, *args: Any, package: str = "", names: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package, self.names = package, names

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of all commands."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002
        """Import the module of a command."""
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command: click.Command = import_module(f"{self.package}.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            from gradstore.registry import unknown_name

            raise click.UsageError(unknown_name("command", args[0], names), ctx)
        return super().resolve_command(ctx, args)


def comma_separated(choices: tuple[str, ...]) -> Callable[..., tuple[str, ...]]:
    """Return an option callback that splits a text at commas and checks each name against `choices`."""

    def split(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
        names = tuple(value.split(",")) if value else ()
        for name in names:
            if name not in choices:
                from gradstore.registry import unknown_name

                raise click.BadParameter(unknown_name("name", name, choices), ctx, param)
        return names

    return split


def config_option(function: Function) -> Function:
    """Add ``--config``: values for options that the command line leaves out."""
    return click.option(
        "--config",
        metavar="FILE.toml",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="Take options from this file (top level, or a table named like the command).",
    )(function)


def seed_option(what: str) -> Callable[[Function], Function]:
    """Add ``--seed`` of `what`."""
    return click.option(
        "--seed",
        type=Whole(min=0),
        metavar="N",
        default=0,
        show_default=True,
        help=f"Seed of {what}.",
    )


scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Compare on a Dask cluster, such as tcp://host:8786; local starts one on this machine.",
)


def direction_options(function: Function) -> Function:
    """Add ``--direction`` and ``--target-direction``: which stored vectors to use."""
    function = click.option(
        "--target-direction",
        type=click.Choice(DIRECTIONS),
        metavar="NAME",
        shell_complete=completers.directions,
        show_default="sgd, or the only one",
        help="Stored direction of the target rows.",
    )(function)
    return click.option(
        "--direction",
        type=click.Choice(DIRECTIONS),
        metavar="NAME",
        shell_complete=completers.directions,
        show_default="adam, or the only one",
        help="Stored direction of the train rows.",
    )(function)


def _open_with(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> None:
    """Open all locations of this command with what ``--storage-option`` says."""
    pairs = [value.partition("=") for value in values]
    for name, found, _ in pairs:
        if not (name and found):
            raise click.BadParameter("give it as KEY=VALUE", ctx, param)
    if pairs:
        from gradstore.storage import storage_options

        ctx.with_resource(storage_options({name: value for name, _, value in pairs}))


storage_option = click.option(
    "--storage-option",
    multiple=True,
    metavar="KEY=VALUE",
    is_eager=True,
    expose_value=False,
    callback=_open_with,
    help="Setting of a remote location, such as endpoint or region; repeatable.",
)


def store_argument(function: Function) -> Function:
    """Add the argument STORE, a path or URL, and how to open it."""
    return click.argument("store", metavar="STORE", shell_complete=completers.folders)(
        storage_option(function)
    )


def _licences(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str] | None:
    if not texts:
        return None
    from gradstore.store.licence import parse_licences

    return parse_licences(texts)


train_option = click.option(
    "--train",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.train_sets,
    show_default="all but targets",
    help="Data set to choose from; repeatable.",
)

verify_option = click.option(
    "--verify",
    "verified",
    is_flag=True,
    help="Check the vectors against their checksums as they are read, instead of mapping the files.",
)

stored_checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.checkpoints,
    show_default="all that hold the data",
    help="Checkpoint in the store; repeatable.",
)

chat_template_option = click.option(
    "--chat-template",
    metavar="NAME|FILE",
    shell_complete=completers.chat_templates,
    show_default="the tokenizer's own",
    help="Chat template: chatml, less, or a Jinja file.",
)

format_option = click.option(
    "--format",
    "fmt",
    type=click.Choice(FORMATS),
    metavar="NAME",
    show_default="detected",
    help=f"Format of the rows: {', '.join(FORMATS)}.",
)

license_option = click.option(
    "--license",
    multiple=True,
    metavar="NAME|SOURCE=NAME",
    callback=_licences,
    show_default="not stated",
    help="Licence of the rows, or of those of one source; repeatable.",
)

max_length_option = click.option(
    "--max-length",
    type=positive,
    metavar="N",
    default=2048,
    show_default=True,
    help="Tokens at which a conversation is cut.",
)
