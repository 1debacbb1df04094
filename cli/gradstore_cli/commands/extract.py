"""``gradstore extract``: per-example gradients into a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradstore_cli import console
from gradstore_cli.options import (
    DIRECTIONS,
    ENCODINGS,
    PROJECTIONS,
    Command,
    chat_template_option,
    comma_separated,
    config_option,
    format_option,
    max_length_option,
    positive,
    seed_option,
    store_argument,
)

if TYPE_CHECKING:
    from gradstore.gradients import ExtractReport, Plan


@click.command("extract", cls=Command)
@store_argument
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Checkpoint folder, or a run folder with checkpoints in it; repeatable.",
)
@click.option(
    "--data",
    required=True,
    metavar="FILE",
    help="Rows: .jsonl, .jsonl.gz, .json, .parquet or a data set folder.",
)
@click.option("--name", required=True, metavar="NAME", help="What to call this data set in the store.")
@click.option("--target", is_flag=True, help="These rows say what to choose for; they are not candidates.")
@click.option(
    "--direction",
    "directions",
    metavar="NAME[,NAME…]",
    callback=comma_separated(DIRECTIONS),
    show_default="adam; sgd with --target",
    help=f"What to store of each gradient: {', '.join(DIRECTIONS)}.",
)
@click.option(
    "--projection",
    type=click.Choice(PROJECTIONS),
    default="sjlt",
    show_default=True,
    help="How gradients become short.",
)
@click.option(
    "--dim", type=positive, metavar="N", default=8192, show_default=True, help="Numbers stored for each row."
)
@seed_option("the projection")
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="int8",
    show_default=True,
    help="Number format in the store.",
)
@click.option(
    "--chunk-rows",
    type=positive,
    metavar="N",
    show_default="8 MiB of them",
    help="Rows written, and resumed, together.",
)
@click.option(
    "--token-budget", type=positive, metavar="N", show_default="by device", help="Tokens in one batch."
)
@max_length_option
@click.option("--base", metavar="MODEL", show_default="the one that the checkpoint names", help="Base model.")
@chat_template_option
@format_option
@click.option(
    "--device",
    metavar="NAME",
    show_default="a GPU if there is one",
    help="Where to run, such as cpu or cuda:0.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    show_default="by device",
    help="Number format of the model.",
)
@click.option(
    "--no-embed-rows",
    "embed_rows",
    is_flag=True,
    callback=lambda _ctx, _param, value: not value,
    help="Keep the original rows out of the store; select then needs --data.",
)
@click.option(
    "--show",
    type=positive,
    metavar="N",
    help="Print the first N rows with their learned tokens marked, and stop.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan (rows, tokens, bytes, time), and stop.")
@config_option
def command(store: str, show: int | None, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Store the projected gradient of every row of a data set.

    Interrupt it whenever you like: the same command line continues, and the store ends up
    byte for byte the same.

    \b
    Examples:
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool
      gradstore extract grads.zarr --checkpoint run/checkpoint-100 \\
          --data gsm8k.jsonl --name gsm8k --target
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool --dry-run
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool --show 3
    """
    from gradstore.gradients import extract, plan
    from gradstore.gradients import show as show_rows

    if show is not None:
        wanted = ("checkpoints", "data", "max_length", "base", "chat_template", "fmt")
        texts = show_rows(**{name: options[name] for name in wanted}, count=show)
        console.emit_json(texts) if as_json else console.emit("\n\n".join(texts))
    elif dry_run:
        plans = plan(store, **options, progress=console.progress, log=console.log)
        console.emit_json(plans) if as_json else console.emit("\n\n".join(map(_plan_text, plans)))
    else:
        reports = extract(store, **options, progress=console.progress, log=console.log)
        console.emit_json(reports) if as_json else console.emit(_report_text(reports))


def _plan_text(plan: Plan) -> str:
    invalid = sum(plan.invalid.values())
    return console.facts(
        {
            "checkpoint": plan.checkpoint,
            "rows": console.count(plan.rows)
            + (f" ({console.count(invalid)} without a gradient)" if invalid else ""),
            "tokens": f"{console.count(plan.tokens)} ({console.count(plan.truncated)} rows truncated)",
            "parameters": f"{console.count(plan.trained_parameters)} trained",
            "chunks": f"{plan.chunks_missing} of {plan.chunks_total} to compute",
            "disk": console.size(plan.bytes),
            "memory": console.size(plan.memory_estimate) if plan.memory_estimate else "",
            "time": f"about {console.duration(plan.seconds_estimate)}",
        }
    )


def _report_text(reports: list[ExtractReport]) -> str:
    header = ("checkpoint", "data set", "rows", "valid", "truncated", "tokens", "directions", "size", "time")
    lines = [
        (
            report.checkpoint,
            report.name,
            console.count(report.rows),
            console.count(report.valid),
            console.count(report.truncated),
            console.count(report.tokens),
            ",".join(report.directions),
            console.size(report.bytes),
            console.duration(report.seconds),
        )
        for report in reports
    ]
    return console.table(header, lines, right=("rows", "valid", "truncated", "tokens", "size", "time"))
