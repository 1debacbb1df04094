"""Which revision of a base model was used, where that can be known: for the record, never for comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradstore.checkpoint.folder import MODEL_CONFIG, weight_files

__all__ = ["base_revision", "model_folder", "wanted_revision"]

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_LONGEST = 200
_DOWNLOADS = Path(".cache/huggingface/download")  # beside what `hf download --local-dir` has written


def wanted_revision(base: str, lora: Mapping[str, Any]) -> str | None:
    """The branch, tag or commit of a hub model that an adapter was trained on, if its configuration names one.

    It says nothing of another base model, nor of a folder.
    """
    found = lora.get("revision")
    if base != lora.get("base_model_name_or_path") or Path(base).is_dir():
        return None
    return found if isinstance(found, str) and found else None


def model_folder(base: str, revision: str | None = None) -> Path:
    """Where a model's files are: `base` itself, or the local cache of the hub."""
    if Path(base).is_dir():
        return Path(base)
    from transformers.utils import cached_file

    return Path(str(cached_file(base, MODEL_CONFIG, revision=revision))).parent


def base_revision(base: str, wanted: str | None = None) -> str:
    """The commit that a model's files are of, else what was asked for, else "".

    Parameters
    ----------
    base : str
        Folder or hub id.
    wanted : str, optional
        What `wanted_revision` found.
    """
    folder = model_folder(base, wanted)
    found = folder.resolve()
    if found.parent.name == "snapshots" and _COMMIT.fullmatch(found.name):
        return found.name
    commits = {_downloaded(folder, path.name) for path in weight_files(folder)}
    known = commits.pop() if len(commits) == 1 else ""
    return known or (wanted or "")[:_LONGEST]


def _downloaded(folder: Path, name: str) -> str:
    """The commit that a file was downloaded from, as the hub's client notes it; "" if that cannot be told.

    The note's lines are the commit, the file's etag and when it was written, after which the file has not changed.
    """
    try:
        lines = (folder / _DOWNLOADS / f"{name}.metadata").read_text(encoding="utf-8").splitlines()
        fresh = (folder / name).stat().st_mtime <= float(lines[2]) + 1
    except (OSError, ValueError, IndexError):
        return ""
    return lines[0] if fresh and _COMMIT.fullmatch(lines[0]) else ""
