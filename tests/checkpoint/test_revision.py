"""The base model's revision: the commit that was read, where files tell it; the one an adapter asks for is loaded."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from gradstore.checkpoint import find_checkpoints, load_model
from gradstore.checkpoint.revision import base_revision, wanted_revision

MAIN, OLD = "a" * 40, "b" * 40


@pytest.fixture
def hub(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local hub cache with two commits of acme/tiny: ``main``, and ``v1`` whose weights are others."""
    from safetensors.torch import load_file, save_file

    cache = tmp_path / "hub"
    model = cache / "models--acme--tiny"
    for commit, name in ((MAIN, "main"), (OLD, "v1")):
        shutil.copytree(tiny_run / "base", model / "snapshots" / commit)
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / name).write_text(commit)
    weights = model / "snapshots" / OLD / "model.safetensors"
    save_file(
        {name: tensor * 2 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"}
    )
    for place in ("huggingface_hub.constants.HF_HUB_CACHE", "transformers.utils.hub.constants.HF_HUB_CACHE"):
        monkeypatch.setattr(place, str(cache))
    return model


def adapter(tiny_run: Path, folder: Path, **changes: object) -> Path:
    shutil.copytree(tiny_run / "run" / "checkpoint-4", folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return folder


@pytest.mark.parametrize(("asked", "commit"), [(None, MAIN), ("v1", OLD), (OLD, OLD)])
def test_the_revision_that_the_adapter_names_is_loaded_and_its_commit_told(
    tiny_run: Path, hub: Path, tmp_path: Path, asked: str | None, commit: str
) -> None:
    path = adapter(tiny_run, tmp_path / "c", base_model_name_or_path="acme/tiny", revision=asked)
    loaded = load_model(find_checkpoints(path)[0])
    here = load_model(find_checkpoints(path)[0], base=str(hub / "snapshots" / commit))
    assert loaded.base_revision == here.base_revision == commit
    assert loaded.base_digest == here.base_digest
    mine, theirs = (each.causal.get_input_embeddings().weight for each in (loaded, here))
    assert mine.equal(theirs)


def test_a_folder_that_says_nothing_has_no_revision(tiny_run: Path, tmp_path: Path) -> None:
    path = adapter(tiny_run, tmp_path / "c", revision="v1")
    assert load_model(find_checkpoints(path)[0]).base_revision == ""
    assert wanted_revision("acme/other", {"base_model_name_or_path": "acme/tiny", "revision": "v1"}) is None


def test_a_folder_that_was_downloaded_knows_its_commit_until_it_changes(
    tiny_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_run / "base", tmp_path / "base")
    note = folder / ".cache/huggingface/download/model.safetensors.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{MAIN}\netag\n{time.time()}\n")
    assert base_revision(str(folder)) == MAIN
    os.utime(folder / "model.safetensors", (time.time() + 60,) * 2)
    assert base_revision(str(folder)) == ""
    note.write_text("what is this")
    assert base_revision(str(folder)) == ""
