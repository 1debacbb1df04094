"""``gradstore selectors``: what can be given to ``select --selector``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gradstore.errors import UsageError
from gradstore_cli import completers, console
from gradstore_cli.options import Command

if TYPE_CHECKING:
    from gradstore.select import SelectorInfo


@click.command("selectors", cls=Command)
@click.argument("name", required=False, shell_complete=completers.selector_names)
def command(name: str | None, as_json: bool) -> None:
    """List the installed selectors, or the parameters of one.

    \b
    Examples:
      gradstore selectors
      gradstore selectors g2is
    """
    from gradstore.registry import unknown_name
    from gradstore.select import selectors

    found = {info.name: info for info in selectors()}
    for info in found.values():
        if info.problem and name in (None, info.name):
            console.say(f"warning: {info.problem}")
    if name is None:
        listed = console.facts({info.name: info.description for info in found.values()})
        console.emit_json([_values(info) for info in found.values()]) if as_json else console.emit(listed)
    elif name in found:
        console.emit_json(_values(found[name])) if as_json else console.emit(_text(found[name]))
    else:
        raise UsageError(unknown_name("selector", name, found))


def _values(info: SelectorInfo) -> dict[str, Any]:
    parameters = [
        {
            "name": parameter.name,
            "type": parameter.type,
            "required": parameter.required,
            "default": None if parameter.required else parameter.default,
            "description": parameter.description,
        }
        for parameter in info.parameters
    ]
    return {
        "name": info.name,
        "description": info.description,
        "parameters": parameters,
        "problem": info.problem or None,
    }


def _text(info: SelectorInfo) -> str:
    title = f"{info.name}: {info.description}"
    if not info.parameters:
        return title
    parts = [title, "Parameters, set with -p NAME=VALUE:"]
    for parameter in info.parameters:
        default = "required" if parameter.required else f"default {parameter.default}"
        said = click.wrap_text(parameter.description, 100, "    ", "    ")
        parts.append(f"  {parameter.name}: {parameter.type}; {default}\n{said}".rstrip())
    return "\n\n".join(parts)
