"""``gradstore doctor``: in which state a store is, and what to run next."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gradstore_cli import console
from gradstore_cli.options import Command, store_argument

if TYPE_CHECKING:
    from gradstore.inspection import Diagnosis


@click.command("doctor", cls=Command)
@store_argument
@click.pass_context
def command(ctx: click.Context, /, store: str, as_json: bool) -> None:
    """Say in which state a store is, and the command to run next.

    It reads what manifests say, in a moment; `gradstore store verify` reads every byte. The exit code is 0 for a
    store that is well, also where a target or a graph is still to be made; 2 if there is no store; 3 if parts of
    it do not fit each other; 4 if something is damaged or not finished.

    \b
    Examples:
      gradstore doctor grads.zarr
      gradstore doctor s3://bucket/grads.zarr --json
    """
    from gradstore.inspection import diagnose

    found = diagnose(store)
    if as_json:
        told = {"location": found.location, "state": found.state, "command": found.command or None}
        findings = [{**asdict(each), "missing": each.missing} for each in found.findings]
        console.emit_json({**told, "findings": findings, "exit_code": found.exit_code})
    else:
        console.emit(_text(found))
    ctx.exit(found.exit_code)


def _text(found: Diagnosis) -> str:
    lines = [f"{found.location}: {found.state.replace('-', ' ')}"]
    for each in found.findings:
        lines.append(f"- {each.what}")
        lines += [f"    {each.command}"] if each.command else []
        lines += [f"    with your own path for {', '.join(each.missing)}"] if each.missing else []
    return "\n".join(lines)
