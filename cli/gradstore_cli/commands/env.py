"""``gradstore env``: what to put into a bug report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from gradstore_cli import console
from gradstore_cli.options import Command

PACKAGES = (
    "gradstore",
    "click",
    "numpy",
    "zarr",
    "numcodecs",
    "hnswlib",
    "torch",
    "transformers",
    "peft",
    "datasets",
)


@click.command("env", cls=Command)
@click.option("--devices", is_flag=True, help="List GPUs too; this imports torch.")
def command(devices: bool, as_json: bool) -> None:
    """Print versions and the machine's size, for bug reports.

    \b
    Examples:
      gradstore env
      gradstore env --devices --json
    """
    facts: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts |= {"cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}
    facts |= {"memory": _memory()}
    if devices:
        facts["devices"] = _devices()
    if as_json:
        console.emit_json(facts)
        return
    shown = {name: "not installed" if value is None else str(value) for name, value in facts.items()}
    shown["memory"] = console.size(facts["memory"]) if facts["memory"] else "unknown"
    if devices:
        shown["devices"] = ", ".join(facts["devices"]) or "no GPU"
    console.emit(console.facts(shown))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory() -> int | None:
    """Bytes of memory, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _devices() -> list[str]:
    import torch

    return [
        f"cuda:{index} {torch.cuda.get_device_name(index)}, "
        + console.size(torch.cuda.get_device_properties(index).total_memory)
        for index in range(torch.cuda.device_count())
    ]
