"""``gradstore warmup``: a short LoRA run whose checkpoints keep the optimizer's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradstore_cli import completers, console
from gradstore_cli.options import (
    Command,
    chat_template_option,
    config_option,
    format_option,
    max_length_option,
    positive,
    seed_option,
)

above_zero = click.FloatRange(min=0, min_open=True)


@click.command("warmup", cls=Command)
@click.option(
    "--model",
    required=True,
    metavar="BASE",
    shell_complete=completers.folders,
    help="Base model: a folder, or a name on the model hub.",
)
@click.option(
    "--data",
    required=True,
    metavar="FILE",
    shell_complete=completers.files,
    help="Rows to train on: .jsonl, .jsonl.gz, .json, .parquet.",
)
@click.option(
    "--out", required=True, metavar="RUN", type=click.Path(path_type=Path), help="Folder for the checkpoints."
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="F",
    default=0.05,
    show_default=True,
    help="Share of the rows to train on, drawn at random.",
)
@click.option(
    "--epochs",
    type=positive,
    metavar="N",
    default=4,
    show_default=True,
    help="Epochs; each leaves a checkpoint.",
)
@click.option(
    "--lr", type=above_zero, metavar="F", default=2e-5, show_default=True, help="Peak learning rate."
)
@click.option("--lora-r", type=positive, metavar="N", default=128, show_default=True, help="LoRA rank.")
@click.option("--lora-alpha", type=positive, metavar="N", default=512, show_default=True, help="LoRA alpha.")
@click.option(
    "--lora-dropout",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="F",
    default=0.1,
    show_default=True,
    help="LoRA dropout.",
)
@click.option(
    "--target-modules",
    default="q_proj,k_proj,v_proj,o_proj",
    show_default=True,
    metavar="NAME[,NAME…]",
    callback=lambda _ctx, _param, value: tuple(value.split(",")),
    help="Linear layers that get an adapter.",
)
@click.option(
    "--batch-size",
    type=positive,
    metavar="N",
    default=128,
    show_default=True,
    help="Rows in one optimizer step.",
)
@max_length_option
@seed_option("the draw and the training")
@chat_template_option
@format_option
@config_option
def command(as_json: bool, **options: Any) -> None:
    """Train a LoRA adapter briefly, keeping the optimizer's state.

    Adam directions need that state. The defaults are those of LESS. Runs of the Hugging Face Trainer
    need no warm-up: their checkpoints have the state already.

    \b
    Examples:
      gradstore warmup --model models/llama --data pool.jsonl --out run
      gradstore warmup --model models/llama --data pool.jsonl --out run \\
          --fraction 0.1 --epochs 2 --lora-r 16 --lora-alpha 64 --batch-size 16
    """
    from gradstore.training import warmup

    checkpoints = warmup(**options, progress=console.progress, log=console.log)
    if as_json:
        console.emit_json({"checkpoints": checkpoints})
    else:
        console.emit("\n".join(map(str, checkpoints)))
