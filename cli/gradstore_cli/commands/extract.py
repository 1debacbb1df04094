"""``gradstore extract``: per-example gradients into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import (
    DIRECTIONS,
    ENCODINGS,
    PROJECTIONS,
    Command,
    chat_template_option,
    comma_separated,
    config_option,
    format_option,
    license_option,
    max_length_option,
    positive,
    refuse,
    seed_option,
    store_argument,
)

DTYPES = ("float32", "bfloat16", "float16")
LORA = ("lora_r", "lora_alpha", "target_modules")
SECTIONS = {
    "Look before computing": "--dry-run --price-per-hour --show",
    "Gradients": "--parameters --projection --dim --seed --encoding",
    "Rows": "--max-length --chat-template --format --strict --no-embed-rows --license",
    "Model": "--base --init-lora --lora-r --lora-alpha --target-modules --quantize --trust-remote-code"
    " --no-embed-adapter",
    "Machine": "--part --device --dtype --token-budget --gradient-checkpointing --chunk-rows",
    "General": "--storage-option --config --json --debug --help",
}


@click.command("extract", cls=Command, sections=SECTIONS)
@store_argument
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    required=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    shell_complete=completers.checkpoint_places,
    help="Checkpoint or model folder, a run folder with checkpoints in it, or store:NAME; repeatable.",
)
@click.option(
    "--data",
    required=True,
    metavar="FILE",
    shell_complete=completers.files,
    help="Rows: .jsonl, .jsonl.gz, .json, .parquet or a data set folder.",
)
@click.option("--name", required=True, metavar="NAME", help="What to call this data set in the store.")
@click.option("--target", is_flag=True, help="These rows say what to choose for; they are not candidates.")
@click.option(
    "--direction",
    "directions",
    metavar="NAME[,NAME…]",
    callback=comma_separated(DIRECTIONS),
    shell_complete=completers.comma_separated_of(DIRECTIONS),
    show_default="adam for train rows of a trained adapter, else sgd",
    help=f"What to store of each row: {', '.join(DIRECTIONS)} (an embedding).",
)
@click.option("--dry-run", is_flag=True, help="Print the plan: rows, batch, memory, disk, time; and stop.")
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0),
    metavar="F",
    help="What the machine costs; the plan then says what the run will.",
)
@click.option(
    "--show",
    type=positive,
    metavar="N",
    help="Print the first N rows with their learned tokens marked, and stop.",
)
@click.option(
    "--parameters",
    type=click.Choice(["lora", "full"]),
    default="lora",
    show_default=True,
    help="Gradients of the adapter, or of every linear layer of the model.",
)
@click.option(
    "--projection",
    type=click.Choice(PROJECTIONS),
    metavar="NAME",
    show_default="sjlt; kron+sjlt for full",
    help=f"How gradients become short: {', '.join(PROJECTIONS)}.",
)
@click.option(
    "--dim", type=positive, metavar="N", default=8192, show_default=True, help="Numbers stored for each row."
)
@seed_option("the projection and of --init-lora")
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="int8",
    show_default=True,
    help="Number format in the store.",
)
@max_length_option
@chat_template_option
@format_option
@click.option(
    "--strict", is_flag=True, help="A row without a gradient is an error, instead of marked as invalid."
)
@click.option(
    "--no-embed-rows",
    "embed_rows",
    is_flag=True,
    callback=lambda _ctx, _param, value: not value,
    help="Keep the original rows out of the store; select then needs --data.",
)
@click.option(
    "--no-embed-adapter",
    "embed_adapter",
    is_flag=True,
    callback=lambda _ctx, _param, value: not value,
    help="Keep adapter and tokenizer out of the store; others then need the checkpoint folder.",
)
@license_option
@click.option(
    "--base",
    metavar="MODEL",
    shell_complete=completers.folders,
    show_default="the one that the checkpoint names",
    help="Base model.",
)
@click.option("--init-lora", is_flag=True, help="Put a fresh adapter on a model that has none.")
@click.option("--lora-r", type=positive, metavar="N", show_default="8", help="Its rank.")
@click.option("--lora-alpha", type=positive, metavar="N", show_default="16", help="Its alpha.")
@click.option(
    "--target-modules",
    metavar="NAME[,NAME…]",
    show_default="by model",
    callback=lambda _ctx, _param, value: tuple(value.split(",")) if value else None,
    help="Layers that get it.",
)
@click.option(
    "--quantize", type=click.Choice(["4bit", "8bit"]), help="Load the base model smaller, with bitsandbytes."
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the model.")
@click.option(
    "--part",
    metavar="I/N",
    help="Compute only part I of N, from 1/N to N/N: for a store of its own, to be merged.",
)
@click.option(
    "--device",
    metavar="NAME",
    show_default="a GPU if there is one",
    help="Where to run, such as cpu or cuda:0.",
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    metavar="NAME",
    show_default="by device",
    help=f"Number format of the model: {', '.join(DTYPES)}.",
)
@click.option(
    "--token-budget", type=positive, metavar="N", show_default="by device", help="Tokens in one batch."
)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory: compute activations twice.")
@click.option(
    "--chunk-rows",
    type=positive,
    metavar="N",
    show_default="8 MiB of them",
    help="Rows written, and resumed, together.",
)
@config_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    store: str,
    show: int | None,
    dry_run: bool,
    price_per_hour: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Store the projected gradient of every row of a data set.

    Interrupt it whenever you like, with Ctrl-C or SIGTERM: the same command line continues, and the
    store ends up byte for byte the same. Any number of processes may run the same command line:
    under torchrun, accelerate launch, srun or in a SLURM array each begins elsewhere.

    \b
    Examples:
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool
      gradstore extract grads.zarr --checkpoint run/checkpoint-100 \\
          --data gsm8k.jsonl --name gsm8k --target
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool --dry-run
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool --show 3
      gradstore extract grads.zarr --checkpoint run --data pool.jsonl --name pool --direction rds
      gradstore extract grads.zarr --checkpoint MODEL --parameters full --direction sgd \\
          --data pool.jsonl --name pool
      gradstore extract mine.zarr --checkpoint store:checkpoint-100 --data bbh.jsonl \\
          --name bbh --target
      gradstore extract part3.zarr --checkpoint run --data pool.jsonl --name pool --part 3/8
    """
    if not options["init_lora"]:
        refuse(ctx, LORA, "`{}` is for `--init-lora`; give both or neither")
    if not dry_run:
        refuse(ctx, ["price_per_hour"], "`{}` is for `--dry-run`; give both or neither")
    for name in (*LORA, "projection"):  # the library has the defaults
        if options[name] is None:
            del options[name]

    from gradstore.gradients import extract, plan
    from gradstore.gradients import show as show_rows
    from gradstore_cli.extraction import plan_text, priced, report_text

    if show is not None:
        wanted = ("checkpoints", "data", "max_length", "base", "chat_template", "fmt")
        texts = show_rows(store, **{name: options[name] for name in wanted}, count=show)
        console.emit_json(texts) if as_json else console.emit("\n\n".join(texts))
    elif dry_run:
        plans = plan(store, **options, progress=console.progress, log=console.log)
        if as_json:
            console.emit_json([priced(each, price_per_hour) for each in plans])
        else:
            console.emit(plan_text(plans, price_per_hour))
    else:
        reports = extract(store, **options, progress=console.progress, log=console.log)
        console.emit_json(reports) if as_json else console.emit(report_text(reports))
