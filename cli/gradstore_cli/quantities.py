"""What the texts of some options mean."""

from __future__ import annotations

import click

__all__ = ["Number", "Whole", "as_assignments", "as_count", "as_rows_or_share"]


class Whole(click.IntRange):
    """A whole number within bounds, called so where a text is none: click says "integer range"."""

    name = "whole number"


class Number(click.FloatRange):
    """A number within bounds, called so where a text is none: click says "float range"."""

    name = "number"


def as_assignments(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Split ``name=value`` texts; the selector's own types decide what the values mean."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name!r} is not of the form name=value, such as delta=0.8", ctx, param)
    return {name.replace("-", "_"): value for name, _, value in pairs}


def as_count(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """What a number such as ``2M`` means."""
    if text is None:
        return None
    scale = {"k": 10**3, "m": 10**6, "b": 10**9}.get(text[-1:].lower())
    try:
        found = int(float(text[:-1]) * scale) if scale else int(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text!r} is no number such as 2000000, 500k or 2M", ctx, param) from error
    if found < 1:
        raise click.BadParameter("choose at least 1", ctx, param)
    return found


def as_rows_or_share(ctx: click.Context, param: click.Parameter, text: str | None) -> int | float | None:
    """A whole number of rows, or with a point a share."""
    if text is None:
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a number of rows nor a share such as 0.2", ctx, param
        ) from error
