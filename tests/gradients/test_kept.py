"""A store carries the adapter of its checkpoints, and others extract with it as with the checkpoint's own folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.checkpoint import find_checkpoints
from gradstore.demo.model import make_model
from gradstore.errors import CheckpointError, CorruptError, IncompatibleError, StoreNotFoundError, UsageError
from gradstore.gradients import plan, show
from gradstore.store import ADAPTER_FILES, embed_adapter, new_store, open_store, unpack_adapter
from gradstore.store.manifest import Entry, Manifest, read_manifest

LESSONS = [
    {
        "id": f"lesson-{n}",
        "messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"{n + 1}"}],
    }
    for n in range(40)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a tokenizer, a trained adapter on it, and a store of 30 rows under a template of their own."""
    folder = tmp_path_factory.mktemp("team")
    make_model(folder / "model", LESSONS, steps=2, hidden=32, layers=1)
    gradstore.warmup(
        model=str(folder / "model"), data=str(write(folder / "rows.jsonl", LESSONS)), out=str(folder / "run"),
        fraction=0.5, epochs=1, lr=1e-3, lora_r=2, lora_alpha=4, batch_size=10,
    )  # fmt: skip
    template = folder / "template.jinja"
    template.write_text("{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|end|>\n{% endfor %}")
    gradstore.extract(
        folder / "shared.zarr", checkpoints=[folder / "run"], data=write(folder / "pool.jsonl", LESSONS[:30]),
        name="pool", dim=128, seed=7, chat_template=str(template),
    )  # fmt: skip
    return folder


@pytest.fixture
def checkpoint(team: Path) -> str:
    return open_store(team / "shared.zarr").checkpoints[-1]


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return write(tmp_path / "goal.jsonl", LESSONS[30:])


def test_a_target_made_with_the_store_is_the_one_made_with_the_checkpoint(
    team: Path, checkpoint: str, goal: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.zarr"
    new_store(mine, on=team / "shared.zarr")
    made = {"data": goal, "name": "goal", "target": True, "encoding": "exact"}
    gradstore.extract(mine, checkpoints=[f"store:{checkpoint}"], base=str(team / "model"), **made)
    own = tmp_path / "own.zarr"
    gradstore.extract(
        own, checkpoints=[team / "run" / checkpoint], dim=128, seed=7,
        chat_template=str(team / "template.jinja"), **made,
    )  # fmt: skip
    one, other = (open_store(path).dataset("goal", checkpoint) for path in (mine, own))
    np.testing.assert_array_equal(one.read("sgd", 0, 10), other.read("sgd", 0, 10))
    assert one.identity == other.identity
    picked = gradstore.select(mine, selector="less", target="goal", budget=5)
    assert len(picked.ids) == 5


def test_the_plan_and_the_shown_rows_are_those_of_the_store_too(
    team: Path, checkpoint: str, goal: Path
) -> None:
    at = {"checkpoints": [f"store:{checkpoint}"], "data": goal, "base": str(team / "model")}
    (planned,) = plan(team / "shared.zarr", name="goal", target=True, **at)
    assert (planned.checkpoint, planned.bytes) == (checkpoint, 10 * 128)
    assert "[user] 30 + 1?" in show(team / "shared.zarr", **at)[0]


def test_the_store_carries_what_is_needed_and_no_more(team: Path, checkpoint: str) -> None:
    place = team / "shared.zarr/checkpoints" / checkpoint / "adapter"
    found = {path.name for path in place.iterdir()}
    assert found >= {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "chat_template.jinja",
    }
    assert found <= {*ADAPTER_FILES, "manifest.json"}
    assert str(team) not in (place / "adapter_config.json").read_text()


def test_a_base_model_in_a_folder_must_be_named(team: Path, checkpoint: str, goal: Path) -> None:
    with pytest.raises(UsageError, match=r"in a folder called 'model': say with `--base`"):
        gradstore.extract(
            team / "shared.zarr", checkpoints=[f"store:{checkpoint}"], data=goal, name="g", target=True
        )


def test_another_base_model_is_refused(team: Path, checkpoint: str, goal: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "other", LESSONS, steps=2, hidden=32, layers=1, seed=1)
    with pytest.raises(IncompatibleError, match=r"another base model.*name the same with `--base`"):
        gradstore.extract(
            team / "shared.zarr", checkpoints=[f"store:{checkpoint}"], data=goal, name="g", target=True,
            base=str(tmp_path / "other"),
        )  # fmt: skip


def test_without_optimizer_state_its_directions_are_refused(team: Path, checkpoint: str, goal: Path) -> None:
    with pytest.raises(CheckpointError, match=r"optimizer"):
        gradstore.extract(
            team / "shared.zarr", checkpoints=[f"store:{checkpoint}"], data=goal, name="g", target=True,
            directions=["adam"], base=str(team / "model"),
        )  # fmt: skip
    assert open_store(team / "shared.zarr").datasets() == ("pool",), "nothing was begun"


def test_no_embed_adapter_leaves_it_out(team: Path, checkpoint: str, goal: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.zarr"
    gradstore.extract(
        bare, checkpoints=[team / "run" / checkpoint], data=goal, name="goal", target=True, dim=64,
        embed_adapter=False,
    )  # fmt: skip
    assert not (bare / "checkpoints" / checkpoint / "adapter").exists()
    with pytest.raises(StoreNotFoundError, match="carries no adapter: give its folder instead of store:"):
        unpack_adapter(open_store(bare), checkpoint, tmp_path)


def test_an_unknown_checkpoint_of_the_store_is_named(team: Path, goal: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="unknown checkpoint 'nope'"):
        gradstore.extract(team / "shared.zarr", checkpoints=["store:nope"], data=goal, name="g")


def test_a_message_names_the_checkpoint_as_it_was_given(
    team: Path, checkpoint: str, goal: Path, tmp_path: Path
) -> None:
    make_model(tmp_path / "small", LESSONS, steps=2, hidden=16, layers=1)
    with pytest.raises(IncompatibleError, match=rf"^store:{checkpoint}: .* is it the right base model"):
        gradstore.extract(
            team / "shared.zarr", checkpoints=[f"store:{checkpoint}"], data=goal, name="g", target=True,
            base=str(tmp_path / "small"),
        )  # fmt: skip


def test_a_damaged_adapter_is_not_used(team: Path, checkpoint: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(team / "shared.zarr", copy)
    weights = copy / "checkpoints" / checkpoint / "adapter" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(CorruptError, match="does not match its checksum"):
        unpack_adapter(open_store(copy), checkpoint, tmp_path)


@pytest.mark.parametrize(
    "name", ["modeling.py", "../evil.json", "optimizer.pt", "adapter_model.bin", "/etc/passwd"]
)
def test_a_file_that_is_no_data_is_refused(name: str, team: Path, checkpoint: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(team / "shared.zarr", copy)
    store = open_store(copy)
    folder = store.folder.at(f"checkpoints/{checkpoint}/adapter")
    known = read_manifest(folder)
    assert known is not None
    forged = Manifest({**known.objects, name: Entry.of(b"x")}, known.facts)
    folder.put("manifest.json", forged.to_bytes())
    with pytest.raises(CorruptError, match=r"which no store may carry|leads out of the store"):
        unpack_adapter(store, checkpoint, tmp_path)
    with pytest.raises(UsageError, match="cannot be kept with a checkpoint"):
        embed_adapter(store, checkpoint, {name: b"x"})
    assert find_checkpoints(team / "run")  # nothing was written anywhere near


def test_a_merged_store_carries_the_adapters_of_its_parts(
    team: Path, checkpoint: str, tmp_path: Path
) -> None:
    gradstore.merge(tmp_path / "all.zarr", [team / "shared.zarr"])
    place = unpack_adapter(open_store(tmp_path / "all.zarr"), checkpoint, tmp_path)
    weights = "adapter_model.safetensors"
    assert (place / weights).read_bytes() == (team / "run" / checkpoint / weights).read_bytes()
