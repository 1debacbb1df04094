"""``gradstore graph``: building a graph and looking into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gradstore_cli.commands.graph.build import command as building
from gradstore_cli.options import Group

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Graph(Group):
    """``graph STORE`` builds; what begins with the name of a command is that command.

    Attributes
    ----------
    default : click.Command
        The command that builds.
    """

    default = building

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the arguments of the command that they begin with, or of `default`."""
        completing = not args and extra.get("resilient_parsing", False)  # what is typed next may be either's
        if completing or args[:1] in ([name] for name in self.names):
            return super().make_context(info_name, args, parent, **extra)
        return self.default.make_context(info_name, args, parent, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands and folders, or options of `default`."""
        if incomplete.startswith("-"):
            return self.default.shell_complete(ctx, incomplete)
        store = self.default.params[0]
        return [*super().shell_complete(ctx, incomplete), *store.shell_complete(ctx, incomplete)]


@click.group("graph", cls=Graph, package=__name__, names=("show",), help=building.help)
def command() -> None:
    """Build a graph, or show a part of one."""
