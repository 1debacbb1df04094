"""The files of a checkpoint that its group carries, so that others can extract with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradstore.errors import CorruptError, StoreNotFoundError, UsageError
from gradstore.storage import Folder
from gradstore.store.layout import ADAPTER, CHECKPOINTS, LOCK, parse_json
from gradstore.store.manifest import Sealed, is_sealed, read_manifest
from gradstore.store.recorder import Recorder
from gradstore.store.store import Store

__all__ = ["ADAPTER_FILES", "carries_adapter", "embed_adapter", "names_base", "unpack_adapter"]

ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
"""All that may be there: JSON, text and safetensors, nothing that anybody would execute."""


def carries_adapter(store: Store, checkpoint: str) -> bool:
    """Whether a store, or the one on which it lies, has files of a checkpoint.

    Parameters
    ----------
    store : Store
        Where to look.
    checkpoint : str
        Its name in the store.

    Returns
    -------
    bool
    """
    return is_sealed(_folder(store, checkpoint))


def embed_adapter(store: Store, checkpoint: str, files: Mapping[str, bytes]) -> None:
    """Put files beside a checkpoint's data sets, unless it has some.

    Parameters
    ----------
    store : Store
    checkpoint : str
        Its group exists.
    files : Mapping from str to bytes
        Names are of `ADAPTER_FILES`.

    Raises
    ------
    UsageError
        For another name.
    StoreWriteError
        If the system refuses.
    """
    wrong = sorted(set(files) - set(ADAPTER_FILES))
    if wrong:
        raise UsageError(
            f"{wrong[0]!r} cannot be kept with a checkpoint; possible are {', '.join(ADAPTER_FILES)}"
        )
    if carries_adapter(store, checkpoint):
        return
    group = store.folder.at(f"{CHECKPOINTS}/{checkpoint}")
    with group.lock(LOCK):
        if not is_sealed(group.at(ADAPTER)):
            recorder = Recorder(group.at(ADAPTER))
            for name, data in sorted(files.items()):
                recorder.ensure(name, data)
            recorder.seal()


def names_base(store: Store, checkpoint: str) -> bool:
    """Whether the adapter that a store carries tells where its base model is: if not, ``--base`` has to.

    Parameters
    ----------
    store : Store
        Where to look.
    checkpoint : str
        Its name in the store.

    Returns
    -------
    bool
    """
    folder = _folder(store, checkpoint)
    config: Mapping[str, Any] = parse_json(folder.get("adapter_config.json") or b"{}", folder)
    return bool(config.get("base_model_name_or_path"))


def unpack_adapter(store: Store, checkpoint: str, into: Path) -> Path:
    """Copy a checkpoint's files, each checked, to a folder on this machine.

    Parameters
    ----------
    store : Store
    checkpoint : str
    into : Path
        Folder in which one named like the checkpoint is made.

    Returns
    -------
    Path
        That folder.

    Raises
    ------
    StoreNotFoundError
        If there is no such checkpoint, or it carries no adapter.
    CorruptError
        If a file is damaged, or is none that a checkpoint may carry.
    """
    store.identity(checkpoint)
    folder = _folder(store, checkpoint)
    manifest = read_manifest(folder)
    if manifest is None:
        raise StoreNotFoundError(
            f"checkpoint {checkpoint!r} of {store.location} carries no adapter: give its folder instead of "
            f"store:{checkpoint}"
        )
    wrong = sorted(set(manifest.objects) - set(ADAPTER_FILES))
    if wrong:
        raise CorruptError(f"{folder} has a file {wrong[0]!r}, which no store may carry")
    sealed, place = Sealed(folder, manifest), into / checkpoint
    place.mkdir()
    for name in manifest.objects:
        (place / name).write_bytes(sealed.get(name))
    return place


def _folder(store: Store, checkpoint: str) -> Folder:
    return store.at(f"{CHECKPOINTS}/{checkpoint}/{ADAPTER}")
