"""``gradstore completion``: what a shell needs to complete the names of commands, options and what is in a store."""

from __future__ import annotations

import click

from gradstore_cli import console
from gradstore_cli.options import Command
from gradstore_cli.shells import SHELLS, script


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(tuple(SHELLS)), metavar="bash|zsh|fish")
@click.pass_context
def command(ctx: click.Context, /, shell: str, as_json: bool) -> None:
    """Print the script by which a shell completes command lines.

    The tabulator then completes commands, options, selectors and their parameters, and of the STORE that
    is typed already its checkpoints, data sets, directions, graphs and selections.

    \b
    Put this line into
      ~/.bashrc (bash 4.4 or later)               eval "$(gradstore completion bash)"
      ~/.zshrc                                    eval "$(gradstore completion zsh)"
      ~/.config/fish/completions/gradstore.fish   gradstore completion fish | source

    \b
    Examples:
      gradstore completion bash
      gradstore completion fish
    """
    text = script(ctx.find_root().command, shell)
    console.emit_json({"shell": shell, "script": text}) if as_json else console.emit(text)
