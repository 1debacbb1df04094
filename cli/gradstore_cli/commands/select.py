"""``gradstore select``: choose rows for a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gradstore_cli import completers, console
from gradstore_cli.cluster import working_on
from gradstore_cli.commands.why import explanation
from gradstore_cli.options import (
    Command,
    as_bytes,
    config_option,
    direction_options,
    positive,
    scheduler_option,
    seed_option,
    store_argument,
    stored_checkpoint_option,
    train_option,
    verify_option,
)

if TYPE_CHECKING:
    from gradstore.graph.nodes import Nodes
    from gradstore.graph.vectors import Float
    from gradstore.progress import Progress
    from gradstore.select import Picked
    from gradstore.select.context import Project
    from gradstore.store import Store


def _assignments(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Split ``name=value`` texts; the selector's own types decide what the values mean."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise click.BadParameter(f"{name!r} is not of the form name=value, such as delta=0.8", ctx, param)
    return {name.replace("-", "_"): value for name, _, value in pairs}


def _count(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
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


def _rows_or_share(ctx: click.Context, param: click.Parameter, text: str | None) -> int | float | None:
    """A whole number of rows, or with a point a share."""
    if text is None:
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a number of rows nor a share such as 0.2", ctx, param
        ) from error


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
    callback=_assignments,
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
    type=click.FloatRange(0, 1, min_open=True),
    metavar="F",
    help="Share of the train rows to choose.",
)
@click.option("--tokens", metavar="N", callback=_count, help="How many tokens to choose, such as 2M.")
@click.option(
    "--per-source",
    metavar="N|F",
    callback=_rows_or_share,
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
    type=click.FloatRange(-1, 1),
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
    from gradstore.select import Limits, select
    from gradstore.select.output import read_record, replay, write_record, write_scores
    from gradstore.select.output.rows import check_place
    from gradstore.store import open_store

    form = check_place(output, fmt)
    running: dict[str, Any] = {
        "memory": memory,
        "name": name,
        "progress": console.progress,
        "log": console.log,
    }
    if record is None:
        if options["selector"] is None:
            raise click.UsageError("name a selector with --selector; `gradstore selectors` lists them", ctx)
        budget = _budget(ctx, count, fraction, options["tokens"])
        options["tokens"] = None if budget is not None else options["tokens"]
        for option in ("train", "checkpoints"):
            options[option] = options[option] or None
        options["limits"] = Limits(_excluded(exclude), min_tokens or 0, per_source, near_duplicate)
    opened = open_store(store, verified=verified)
    if form != "ids" and not data and not _holds_rows(opened):
        raise click.UsageError(
            "the store does not hold the original rows; give the file they came from with --data", ctx
        )
    with projecting_on(scheduler, opened, verified) as project:
        if record is None:
            picked = select(opened, budget=budget, project=project, **running, **options)
        else:
            given = {"selector": options["selector"]} if options["selector"] else {}
            _check_replay(ctx)
            picked = replay(opened, read_record(record), project=project, **running, **given)
    chosen = set(picked.ids)
    picked.write(output, _records(data, chosen) if data else None, fmt)
    write_record(picked, output.with_suffix(".selection.json"))
    write_scores(picked, output.with_suffix(".scores.parquet"))
    reasons = _reasons(opened, picked, explain) if explain else []
    if as_json:
        found = {"output": output, "ids": picked.ids, "composition": picked.composition(), **picked.report()}
        console.emit_json({**found, **({"explained": reasons} if explain else {})})
    else:
        console.emit("\n\n".join([_text(picked), *map(explanation, reasons)]))
        console.say(f"{console.count(len(picked))} rows written to {output}")


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


def _check_replay(ctx: click.Context) -> None:
    """Refuse options that a record decides."""
    for name in _REPLAYED:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = next(each for each in ctx.command.params if each.name == name)
            raise click.UsageError(
                f"{option.opts[0]} cannot be given with --replay: the record decides it", ctx
            )


def _reasons(store: Store, picked: Picked, count: int) -> list[dict[str, Any]]:
    """What brought the first picks in."""
    from gradstore.select.kept import Kept
    from gradstore.select.why import why

    kept = Kept.of(picked)
    pairs = zip(picked.ids[:count], picked.datasets[:count], strict=True)
    return [why(store, kept, row, dataset=dataset) for row, dataset in pairs]


def _holds_rows(store: Store) -> bool:
    """Whether any data set has its original rows."""
    return any(
        store.dataset(name, key).has_records for key in store.checkpoints for name in store.datasets(key)
    )


def _excluded(paths: tuple[Path, ...]) -> list[str]:
    """Ids and content hashes of the rows in these files."""
    from gradstore.data import load_rows
    from gradstore.errors import DataError
    from gradstore.records import content_hash

    found: set[str] = set()
    for path in paths:
        if path.suffix == ".txt":
            try:
                found.update(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path} cannot be read: {error}") from error
            continue
        for row in load_rows(str(path)).rows:
            found.update((row.id, content_hash(row.record, "surrogatepass")))
    return sorted(found - {""})


def _records(path: str, wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    from gradstore.data import load_rows

    return {row.id: row.record for row in load_rows(path).rows if row.id in wanted}


def _text(picked: Picked) -> str:
    header = ("source", "chosen", "share", "in pool", "ratio")
    lines = [
        (
            part.source,
            console.count(part.chosen),
            console.percent(part.share),
            console.percent(part.base_share),
            f"{part.ratio:.2f}",
        )
        for part in picked.composition()
    ]
    report = picked.report()["report"]
    tables = {name: rows for name, rows in report.items() if _is_table(rows)}
    counts = {name.replace("_", " "): _figure(value) for name, value in report.items() if name not in tables}
    parts = [console.table(header, lines, right=header[1:]), console.facts(counts)]
    for name, rows in tables.items():
        columns = tuple(rows[0])
        cells = [tuple(_figure(row[column]) for column in columns) for row in rows]
        parts.append(f"{name}\n{console.table(columns, cells, right=columns[1:])}")
    return "\n\n".join(filter(None, parts))


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_figure(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_figure, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return console.count(value)
    return str(value)
