"""Option values from a TOML file: the command line wins over the file, the file over the defaults."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

__all__ = ["read_config"]

TABLES = ("warmup", "extract", "graph", "select")


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the values in the file at `path` the defaults of the command being parsed.

    Keys are option names with ``-`` or ``_``; they stand at the top of the file or in a table named
    like the command. Tables of other commands are ignored, so that one file can describe a whole run.

    Raises
    ------
    click.BadParameter
        If the file cannot be read, is no TOML, or has a key that is no option of the command.
    """
    if path is None:
        return
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.BadParameter(f"{path} cannot be read: {reason}", ctx, param) from error
    own = document.get(ctx.info_name or "", {})
    values = {key: value for key, value in document.items() if key not in TABLES}
    if not isinstance(own, dict):
        raise click.BadParameter(f"{path}: {ctx.info_name} must be a table, [{ctx.info_name}]", ctx, param)
    values.update(own)

    options = _options(ctx.command)
    defaults = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name not in options:
            from gradstore.registry import unknown_name

            raise click.BadParameter(f"{path}: {unknown_name('option', name, options)}", ctx, param)
        defaults[options[name].name or ""] = _value(options[name], value, path, ctx)
    ctx.default_map = defaults


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options that a file may set, by their names without dashes."""
    found = {}
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_eager and option.expose_value:
            found.update({text.lstrip("-"): option for text in option.opts})
    return found


def _value(option: click.Option, value: Any, path: Path, ctx: click.Context) -> Any:
    """What click takes as this option's default; click itself checks its type later."""
    if option.is_flag:
        fits, wanted = isinstance(value, bool), "true or false"
    elif option.multiple:
        fits, wanted = isinstance(value, str | list), "a text or a list of texts"
    else:
        fits, wanted = isinstance(value, str | int | float) and not isinstance(value, bool), "one value"
    if not fits:
        raise click.BadParameter(f"{path}: this option takes {wanted}, not {value!r}", ctx, option)
    if isinstance(option.flag_value, str):  # one of several flags that choose a value, as in --exact | --hnsw
        return option.flag_value if value else None
    return [value] if option.multiple and isinstance(value, str) else value
