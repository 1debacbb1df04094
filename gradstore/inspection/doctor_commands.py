"""Command lines that bring a store on, as they can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from gradstore.store import Dataset, Store, carries_adapter, names_base
from gradstore.store.layout import CHECKPOINTS, METADATA, parse_group, read_document

__all__ = ["extract_again", "extract_pool", "extract_target", "line", "paths_to_replace", "select_rows"]

_SEEN = 2000
"""Folders in which a file is looked for."""
_SHARE = 0.05
_REFUSALS = {"embed_rows": "--no-embed-rows", "embed_adapter": "--no-embed-adapter"}
_SWITCHES = ("target", "init_lora", "gradient_checkpointing")
# What a store may put into a command that people paste: whoever wrote it must not choose what code is run.
_VALUES = (
    "name",
    "directions",
    "parameters",
    "projection",
    "dim",
    "seed",
    "encoding",
    "chunk_rows",
    "token_budget",
    "max_length",
    "lora_r",
    "lora_alpha",
    "target_modules",
    "quantize",
    "fmt",
    "dtype",
)
_SPELLED = {"directions": "direction", "fmt": "format"}


def line(*words: object) -> str:
    """A command line of gradstore."""
    return shlex.join(["gradstore", *map(str, words)])


def paths_to_replace(command: str) -> list[str]:
    """Names in a command line that stand for files and folders that were not found."""
    words = shlex.split(command)
    after = ("--data", "--checkpoint", "--base") if words[1:2] == ["extract"] else ()
    named = [word for option, word in pairwise(words) if option in after and not word.startswith("store:")]
    named += words[4:5] if words[1:3] == ["store", "import"] else []
    return [each for each in named if not Path(each).exists()]


def extract_pool(location: str) -> str:
    """The line that begins a store."""
    return line(
        "extract", location, "--checkpoint", _nearby("run"), "--data", _nearby("pool.jsonl"), "--name", "pool"
    )


def extract_again(store: Store, checkpoint: str, name: str) -> str:
    """The line that made an unfinished data set, as far as the store tells; files are looked for near by."""
    document = read_document(store.folder, f"{CHECKPOINTS}/{checkpoint}/{name}/{METADATA}")
    group = parse_group(document, name) if document else {}
    attributes = group.get("attributes", {})
    told = attributes.get("provenance", {}) if isinstance(attributes, dict) else {}
    options = told.get("options") if isinstance(told, dict) else None
    if not isinstance(options, dict):
        return ""
    words: list[object] = ["extract", store.location, "--checkpoint", _nearby(checkpoint, store)]
    words += ["--data", _nearby(str(told.get("file")), store)]
    return line(*words, *(word for pair in options.items() for word in _option(*pair)))


def extract_target(store: Store, checkpoint: str) -> str:
    """The line that adds a target set to a checkpoint's data sets."""
    own = ("--data", _nearby("target.jsonl"), "--name", "target", "--target")
    if carries_adapter(store, checkpoint):
        base = store.identity(checkpoint).base
        more = () if names_base(store, checkpoint) else ("--base", _nearby(base, store))
        return line("extract", store.location, "--checkpoint", f"store:{checkpoint}", *more, *own)
    if store.identity(checkpoint).base_digest:
        return line("extract", store.location, "--checkpoint", _nearby(checkpoint, store), *own)
    imported = ("--name", "target", "--target", "--checkpoint", checkpoint)
    return line("store", "import", store.location, _nearby("target.npy"), *imported)


def select_rows(store: Store, target: str | None, graph: str | None, pool: list[Dataset]) -> str:
    """The line that chooses a twentieth of the rows, by the graph if there is one."""
    words: list[object] = ["select", store.location, "--selector", "random" if target is None else "less"]
    if graph is not None:
        words[-1] = "g2is"
    words += ["--target", target] if target is not None else []
    words += ["--graph", graph] if graph not in (None, "default") else []
    rows = sum(int(each.manifest.facts.get("valid", 0)) for each in pool)
    words += ["--fraction", _SHARE] if rows * _SHARE >= 1 else ["-n", 1]
    return line(*words, "-o", "picked.jsonl" if all(each.has_records for each in pool) else "picked.txt")


def _option(name: str, value: Any) -> list[str]:
    """How an option of an extraction is typed; nothing for one that is not known."""
    if name in _REFUSALS:
        return [] if value else [_REFUSALS[name]]
    typed = f"--{_SPELLED.get(name, name).replace('_', '-')}"
    if name in _SWITCHES:
        return [typed] if value is True else []
    if name not in _VALUES or value is None:
        return []
    return [typed, ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def _nearby(name: str, store: Store | None = None) -> str:
    """Where a file or folder of this name is: here or beside the store, or up to two folders below; else the name."""
    roots = [Path()] + ([Path(store.folder.path).parent] if store is not None and store.folder.path else [])
    for root in roots:
        found = (place / name for place in islice(_folders(root), _SEEN))
        place = next((each for each in found if each.exists()), None)
        if place is not None:
            return str(place)
    return name


def _folders(root: Path) -> Iterator[Path]:
    yield root
    for pattern in ("*/", "*/*/"):
        for each in root.glob(pattern):
            if not each.name.startswith(".") and not (each / METADATA).exists():  # nor inside a store
                yield each
