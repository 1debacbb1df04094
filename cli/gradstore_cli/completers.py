"""What may stand in a place of the command line: functions for click's ``shell_complete``.

Each is called with the context of what is typed already, the parameter, and the beginning of the word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gradstore_cli.names import Names

__all__ = [
    "chat_templates",
    "checkpoint_places",
    "checkpoints",
    "comma_separated_of",
    "data_sets",
    "directions",
    "files",
    "folders",
    "graphs",
    "places",
    "selections",
    "selector_names",
    "selector_parameters",
    "target_sets",
    "train_sets",
    "walks",
]

TEMPLATES = ("chatml", "less")  # those of gradstore.data; a test holds them equal
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _item(value: str, kind: str = "plain") -> CompletionItem:
    from click.shell_completion import CompletionItem

    return CompletionItem(value, type=kind)


def _completer(find: Callable[[click.Context, str], Iterable[str]]) -> Completer:
    """Offer those names that begin like the word."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [_item(each) for each in sorted(find(ctx, incomplete)) if each.startswith(incomplete)]

    return complete


def _store(ctx: click.Context) -> Names:
    """Names in the store that is typed already."""
    from gradstore_cli.names import Names

    return Names.of(ctx.params.get("store") or ctx.params.get("source"))


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders."""
    return [_item(incomplete, "file")]


def folders(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders: where a store, a model or a run is."""
    return [_item(incomplete, "dir")]


checkpoints = _completer(lambda ctx, _: _store(ctx).checkpoints)
data_sets = _completer(lambda ctx, _: _store(ctx).data)
train_sets = _completer(lambda ctx, _: _store(ctx).sets(target=False))
target_sets = _completer(lambda ctx, _: _store(ctx).sets(target=True))
graphs = _completer(lambda ctx, _: _store(ctx).graphs)
walks = _completer(lambda ctx, _: {*_store(ctx).graphs, "exact"})
selections = _completer(lambda ctx, _: _store(ctx).selections)
places = _completer(lambda ctx, _: _store(ctx).places)


@_completer
def selector_names(_ctx: click.Context, _incomplete: str) -> Iterable[str]:
    """Installed selectors."""
    from gradstore_cli.names import installed_selectors

    return installed_selectors()


def directions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Directions that the store holds; of one that cannot be read, all that there are."""
    held = [_item(each) for each in sorted(_store(ctx).directions) if each.startswith(incomplete)]
    return held or param.type.shell_complete(ctx, param, incomplete)


@_completer
def selector_parameters(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """``name=`` for each parameter of the selector typed before, and its values where there are few."""
    from gradstore_cli.names import parameter_values

    known = parameter_values(str(ctx.params.get("selector") or ""))
    name = incomplete.partition("=")[0]
    if "=" in incomplete:
        return [f"{name}={value}" for value in known.get(name.replace("-", "_"), ())]
    return [f"{each}=" for each in known]


def checkpoint_places(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``store:NAME`` for each checkpoint in the store, and folders."""
    named = [_item(f"store:{each}") for each in sorted(_store(ctx).checkpoints)]
    fitting = [each for each in named if each.value.startswith(incomplete)]
    return fitting if ":" in incomplete else [*fitting, *folders(ctx, param, incomplete)]


def chat_templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Templates that come with gradstore, and files."""
    named = [_item(each) for each in TEMPLATES if each.startswith(incomplete)]
    return [*named, *files(ctx, param, incomplete)]


def comma_separated_of(choices: tuple[str, ...]) -> Completer:
    """One of `choices` after the last comma."""

    @_completer
    def complete(_ctx: click.Context, incomplete: str) -> Iterable[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [f"{before}{comma}{each}" for each in choices if each not in before.split(",")]

    return complete
