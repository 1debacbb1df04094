"""Checkpoints whose adapter lies in the store: put there by an extraction, used by those of others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gradstore.checkpoint import CheckpointFolder, find_checkpoints
from gradstore.errors import GradstoreError, UsageError
from gradstore.gradients.settings import Settings
from gradstore.gradients.tokens import Tokens
from gradstore.progress import Log
from gradstore.store import ADAPTER_FILES, Store, carries_adapter, embed_adapter, open_store, unpack_adapter

__all__ = ["Job", "embed", "jobs_of"]

PREFIX = "store:"
FULL = "+full"
LARGEST = 1 << 30
TEMPLATE = "chat_template.jinja"

Job = tuple[CheckpointFolder, Settings]
"""A checkpoint, and the settings of its extraction."""


@contextmanager
def jobs_of(
    paths: str | Path | Sequence[str | Path], store: str | Path, settings: Settings
) -> Iterator[list[Job]]:
    """All checkpoints of all paths; their names must differ, since they become keys of the store.

    A path is a checkpoint folder, a run folder, or ``store:NAME`` for a checkpoint whose adapter the store carries. The
    latter decides how gradients are projected: its rows are there to be compared with.

    Raises
    ------
    UsageError
        If there is none, or two have one name.
    """
    with TemporaryDirectory(prefix="gradstore-") as folder, _called_by_name(folder):
        jobs: list[Job] = []
        for path in map(str, [paths] if isinstance(paths, str | Path) else paths):
            if path.startswith(PREFIX):
                jobs.append(_stored_job(open_store(store), path.removeprefix(PREFIX), settings, Path(folder)))
            else:
                jobs += [(found, settings) for found in find_checkpoints(path)]
        if not jobs:
            raise UsageError(
                "no checkpoint given; use `--checkpoint RUN/checkpoint-100` or `--checkpoint RUN`"
            )
        names = [found.name for found, _ in jobs]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two checkpoints are called {name!r}; extract them into two stores, or rename a folder"
                )
        yield jobs


@contextmanager
def _called_by_name(folder: str) -> Iterator[None]:
    """Let errors name a checkpoint of the store as it was given, and not where its files were put for a while."""
    try:
        yield
    except GradstoreError as error:
        text = str(error)
        for place in {folder, str(Path(folder).resolve())}:
            text = text.replace(f"{place}/", PREFIX)
        error.args = (text,)
        raise


def _stored_job(store: Store, checkpoint: str, settings: Settings, folder: Path) -> Job:
    place = unpack_adapter(store, checkpoint, folder)
    identity = store.identity(checkpoint)
    spec = identity.projection
    settings = replace(settings, projection=spec.kind, dim=spec.dim, seed=spec.seed)
    if checkpoint.endswith(FULL):
        place = place.rename(place.with_name(checkpoint.removesuffix(FULL)))
        settings = replace(settings, parameters="full")
    if settings.chat_template is None and (place / TEMPLATE).is_file():
        settings = replace(settings, chat_template=str(place / TEMPLATE))
    found = find_checkpoints(place)[0]
    if settings.base is None and found.base is None:
        raise UsageError(
            f"checkpoint {checkpoint!r} of {store.location} was trained on a model in a folder called "
            f"{identity.base!r}: say with `--base` where it is here"
        )
    return found, settings


def embed(store: Store, checkpoint: str, folder: CheckpointFolder, tokens: Tokens, log: Log) -> None:
    """Let the store carry a checkpoint's adapter, tokenizer and chat template.

    Optimizer state stays where it is: it is large, and targets need none.
    """
    if folder.kind != "adapter" or carries_adapter(store, checkpoint):
        return
    files = {name: folder.path / name for name in ADAPTER_FILES if (folder.path / name).is_file()}
    weights = [path for path in folder.weights if path.name not in files]
    size = sum(path.stat().st_size for path in files.values())
    if weights or size > LARGEST:
        what = f"{weights[0].name} is no safetensors file" if weights else f"it has {size:,} bytes"
        log(f"{checkpoint}: the store does not carry the adapter ({what}): others need the checkpoint folder")
        return
    data = {name: path.read_bytes() for name, path in files.items()}
    data["adapter_config.json"] = _public_config(folder)
    if tokens.chat.template:
        data[TEMPLATE] = tokens.chat.template.encode()
    embed_adapter(store, checkpoint, data)


def _public_config(folder: CheckpointFolder) -> bytes:
    """The adapter's configuration, without a base model that is a folder here: the path means nothing elsewhere."""
    base = None if folder.base and Path(folder.base).exists() else folder.base
    return json.dumps({**folder.lora, "base_model_name_or_path": base}, indent=2, sort_keys=True).encode()
