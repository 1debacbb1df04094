"""``gradstore select``: choose rows for a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gradstore_cli import completers, console
from gradstore_cli.choice import choice_text
from gradstore_cli.cluster import working_on
from gradstore_cli.commands.why import explanation
from gradstore_cli.options import (
    Command,
    as_bytes,
    config_option,
    direction_options,
    positive,
    refuse,
    scheduler_option,
    seed_option,
    store_argument,
    stored_checkpoint_option,
    train_option,
    verify_option,
)
from gradstore_cli.quantities import Number, as_assignments, as_count, as_rows_or_share

if TYPE_CHECKING:
    from gradstore.graph.nodes import Nodes
    from gradstore.graph.vectors import Float
    from gradstore.progress import Progress
    from gradstore.select import Picked
    from gradstore.select.context import Project
    from gradstore.store import Store


_SECTIONS = {
    "Budget and limits": "-n --fraction --tokens --per-source --exclude --near-duplicate --min-tokens",
    "Output": "-o --format --explain --data --name",
    "Rows and vectors": "--train --checkpoint --direction --target-direction --graph --memory --scheduler --verify",
}


@click.command("select", cls=Command, sections=_SECTIONS)
@store_argument
@click.option(
    "--selector",
    metavar="NAME|FILE.py:CLASS",
    shell_complete=completers.selector_names,
    show_default="g2is",
    help="How to choose; see `gradstore selectors`.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="NAME",
    shell_complete=completers.target_sets,
    help="Target set to choose for, if the selector needs one; repeatable.",
)
@click.option(
    "--balance",
    type=click.Choice(("shared", "quota", "round-robin")),
    default="shared",
    show_default=True,
    metavar="HOW",
    help="Of several targets: shared takes them as one, quota gives each an equal part of the budget, "
    "round-robin lets them choose in turns.",
)
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    callback=as_assignments,
    shell_complete=completers.selector_parameters,
    help="Parameter of the selector; repeatable.",
)
@seed_option("the selector")
@click.option(
    "--replay",
    "record",
    metavar="FILE.selection.json",
    type=click.Path(path_type=Path),
    help="Make a recorded choice again; it says all that the options above and the limits would.",
)
@click.option("-n", "count", type=positive, metavar="N", help="How many rows to choose.")
@click.option(
    "--fraction",
    type=Number(0, 1, min_open=True),
    metavar="F",
    help="Share of the train rows to choose.",
)
@click.option("--tokens", metavar="N", callback=as_count, help="How many tokens to choose, such as 2M.")
@click.option(
    "--per-source",
    metavar="N|F",
    callback=as_rows_or_share,
    help="Most rows of one source; a number with a point, such as 0.2, is a share of the budget.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Leave these rows out: a file of rows, or of ids, one a line (.txt); repeatable.",
)
@click.option(
    "--near-duplicate",
    type=Number(-1, 1),
    metavar="COSINE",
    help="Leave out a row whose gradient has a higher cosine with a chosen one.",
)
@click.option("--min-tokens", type=positive, metavar="N", help="Leave out shorter rows.")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where the chosen rows go, untouched and in pick order; beside it their record and all scores.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("jsonl", "parquet", "datasets", "llama-factory", "ids")),
    metavar="NAME",
    show_default="that of the suffix",
    help="jsonl, parquet, datasets (a folder), llama-factory (.json) or ids (.txt).",
)
@click.option(
    "--explain",
    type=positive,
    is_flag=False,
    flag_value=5,
    metavar="[N]",
    help="Say of the first N picks, 5 unless given, what brought them in; see `gradstore why`.",
)
@click.option(
    "--data",
    metavar="FILE",
    shell_complete=completers.files,
    help="The original rows, if the store was made with --no-embed-rows.",
)
@click.option(
    "--name", metavar="NAME", show_default="SELECTOR-TARGET", help="What to call the selection in the store."
)
@train_option
@stored_checkpoint_option
@direction_options
@click.option(
    "--graph",
    default="default",
    show_default=True,
    metavar="NAME",
    shell_complete=completers.walks,
    help="Graph to walk on; `exact`: none, every pick is compared with all rows.",
)
@click.option(
    "--memory",
    default="4GB",
    show_default=True,
    metavar="SIZE",
    callback=as_bytes,
    help="How much of the rows may be held; the choice is the same.",
)
@scheduler_option
@verify_option
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    store: str,
    record: Path | None,
    count: int | None,
    fraction: float | None,
    per_source: int | float | None,
    exclude: tuple[Path, ...],
    near_duplicate: float | None,
    min_tokens: int | None,
    output: Path,
    fmt: str | None,
    explain: int | None,
    data: str | None,
    verified: bool,
    as_json: bool,
    scheduler: str | None,
    memory: int,
    name: str | None,
    **options: Any,
) -> None:
    """Choose the rows that serve a target best, and write them out.

    Beside PATH lie PATH's name with .selection.json, from which --replay makes the same choice again, and with
    .scores.parquet, which says for every candidate what came of it and why.

    \b
    Examples:
      gradstore select grads.zarr --selector g2is --target gsm8k --fraction 0.01 -o picked.jsonl
      gradstore select grads.zarr --selector less --target gsm8k -n 1000 -o picked.jsonl --json
      gradstore select grads.zarr --selector less --target gsm8k --target bbh --tokens 2M \\
          --per-source 0.3 --near-duplicate 0.95 --exclude gsm8k_test.jsonl -o picked.jsonl
      gradstore select grads.zarr --selector g2is --target gsm8k -n 1000 -o picked.jsonl \\
          -p delta=0.8 -p tolerance=0.02
      gradstore select grads.zarr --replay picked.selection.json -o again.jsonl
    """
    from gradstore.select import Limits, excluded_rows, select
    from gradstore.select.output import read_record, replay, write_scores
    from gradstore.select.output.earlier import scores_place
    from gradstore.select.output.record import select_arguments
    from gradstore.select.output.rows import check_place
    from gradstore.store import open_store

    form = check_place(output, fmt)
    named = options.pop("selector")
    rule = {"selector": named} if named else {}
    running: dict[str, Any] = {
        "memory": memory,
        "name": name,
        "progress": console.progress,
        "log": console.log,
    }
    if record is None:
        budget = _budget(ctx, count, fraction, options["tokens"])
        options["tokens"] = None if budget is not None else options["tokens"]
        for option in ("train", "checkpoints"):
            options[option] = options[option] or None
        options["limits"] = Limits(excluded_rows(exclude), min_tokens or 0, per_source, near_duplicate)
    else:
        refuse(ctx, _REPLAYED, "{} cannot be given with --replay: the record decides it")
        recorded = read_record(record)
    opened = open_store(store, verified=verified)
    if form != "ids" and not data:
        _check_rows(ctx, opened, options if record is None else select_arguments(recorded))
    with projecting_on(scheduler, opened, verified) as project:
        if record is None:
            picked = select(opened, budget=budget, project=project, **rule, **running, **options)
        else:
            picked = replay(opened, recorded, project=project, **rule, **running)
    chosen = set(picked.ids)
    picked.write(output, _records(data, chosen) if data else None, fmt)
    write_scores(picked, scores_place(output))
    reasons = _reasons(opened, picked, explain) if explain else []
    if as_json:
        found = {"output": output, "ids": picked.ids, "composition": picked.composition(), **picked.report()}
        console.emit_json({**found, **({"explained": reasons} if explain else {})})
    else:
        console.emit("\n\n".join([choice_text(picked), *map(explanation, reasons)]))
        rows = "1 row" if len(picked) == 1 else f"{console.count(len(picked))} rows"
        console.say(f"{rows} written to {output}")


@contextmanager
def projecting_on(scheduler: str | None, store: Store, verified: bool) -> Iterator[Project | None]:
    """What computes similarities on a cluster; None without a scheduler."""
    used = False
    with working_on(scheduler, store, verified) as cluster:
        if cluster is None:
            yield None
            return

        def project(nodes: Nodes, directions: Float, progress: Progress) -> Float:
            nonlocal used
            used = True
            return cluster.project(nodes, directions, progress)

        yield project
    if not used:
        console.warn("the cluster had nothing to do: this selector asks for no similarities")


_REPLAYED = (
    *(
        "target",
        "balance",
        "params",
        "seed",
        "count",
        "fraction",
        "tokens",
        "per_source",
        "exclude",
        "min_tokens",
    ),
    *("near_duplicate", "train", "checkpoints", "direction", "target_direction", "graph"),
)


def _budget(
    ctx: click.Context, count: int | None, fraction: float | None, tokens: int | None
) -> int | float | None:
    """The one that was given, None for tokens; a config file's value gives way to the command line's other one."""
    given = {"count": count, "fraction": fraction, "tokens": tokens}
    named = [name for name, value in given.items() if value is not None]
    spoken = [name for name in named if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if len(spoken or named) != 1:
        raise click.UsageError("give one of -n, --fraction and --tokens, and only one of them", ctx)
    return {"count": count, "fraction": fraction, "tokens": None}[(spoken or named)[0]]


def _reasons(store: Store, picked: Picked, count: int) -> list[dict[str, Any]]:
    """What brought the first picks in."""
    from gradstore.select.kept import Kept
    from gradstore.select.why import why

    kept = Kept.of(picked)
    pairs = zip(picked.ids[:count], picked.datasets[:count], strict=True)
    return [why(store, kept, row, dataset=dataset) for row, dataset in pairs]


def _check_rows(ctx: click.Context, store: Store, options: Mapping[str, Any]) -> None:
    """Refuse before the work what would fail after it: to choose from sets whose original rows are not here."""
    from gradstore.graph.sets import common_checkpoints, default_sets

    train, targets = default_sets(store, options["train"], options["target"])
    if not train:
        return  # which has a message of its own
    key, *_ = common_checkpoints(store, [*train, *targets], options["checkpoints"])
    bare = [name for name in train if not store.dataset(name, key).has_records]
    if bare:
        raise click.UsageError(
            f"the store does not hold the original rows of {', '.join(bare)}; "
            "give the file they came from with --data",
            ctx,
        )


def _records(path: str, wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    from gradstore.data import load_rows

    return {row.id: row.record for row in load_rows(path).rows if row.id in wanted}
