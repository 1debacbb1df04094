"""``gradstore env``: what to put into a bug report."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
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
    "accelerate",
    "bitsandbytes",
    "datasets",
    "obstore",
    "huggingface_hub",
)
NO_GPU = "none that nvidia-smi finds"


@click.command("env", cls=Command)
@click.option("--devices", is_flag=True, help="List the GPUs that torch can use too; this imports torch.")
def command(devices: bool, as_json: bool) -> None:
    """Print versions and the machine's size, for bug reports.

    Under torchrun, srun or in a SLURM array also which part of an extraction this process takes.

    \b
    Examples:
      gradstore env
      gradstore env --devices --json
      srun gradstore env
    """
    facts: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    facts |= {name: _version(name) for name in PACKAGES}
    facts |= {"cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}
    facts |= {"memory": _memory(), "gpus": _gpus()} | _launcher()
    if devices:
        facts["devices"] = _devices()
    if as_json:
        console.emit_json(facts)
        return
    shown = {name: "not installed" if value is None else str(value) for name, value in facts.items()}
    shown["memory"] = console.size(facts["memory"]) if facts["memory"] else "unknown"
    shown["gpus"] = "; ".join(facts["gpus"]) or NO_GPU
    if facts.get("local_gpu", 0) is None:
        shown["local_gpu"] = "not said"
    shown["launcher"] = ", ".join(f"{name}={value}" for name, value in facts["launcher"].items()) or "none"
    if devices:
        shown["devices"] = ", ".join(facts["devices"]) or "no GPU"
    console.emit(console.facts(shown))


def _launcher() -> dict[str, Any]:
    """What torchrun, srun or a SLURM array told this process, and the part of an extraction that follows."""
    from gradstore.errors import UsageError
    from gradstore.parts import LAUNCHER_VARIABLES, local_device, share_of

    said = {name: os.environ[name] for name in LAUNCHER_VARIABLES if os.environ.get(name)}
    facts: dict[str, Any] = {"launcher": said}
    if said:
        try:
            facts |= {"part": str(share_of(None, os.environ)), "local_gpu": local_device(os.environ)}
        except UsageError as error:
            facts["part"] = str(error)
    return facts


def _gpus() -> list[str]:
    """GPUs that the driver lists, each with its memory; without torch, which takes seconds to import."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # there is a program but no driver that answers
        return []
    return [line.strip() for line in found.stdout.splitlines() if line.strip()]


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
