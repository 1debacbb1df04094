"""`extract` end to end on a tiny model: what is in the store, what is refused, what is never lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import gradstore
from gradstore.errors import CheckpointError, DataError, GradstoreError, IncompatibleError, UsageError
from gradstore.gradients import plan, show
from gradstore.gradients.settings import Options

SMALL: dict[str, Any] = {"dim": 256, "chunk_rows": 16, "token_budget": 128, "encoding": "exact"}


@pytest.fixture
def pool(tiny_run: Path, token_rows: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "store": tmp_path / "s.zarr",
        "checkpoints": [tiny_run / "run" / "checkpoint-8"],
        "data": token_rows,
    } | SMALL


def test_rows_are_stored_in_order_with_their_columns(pool: dict[str, Any], token_rows: Path) -> None:
    (report,) = gradstore.extract(**pool, name="pool")
    stored = gradstore.open(pool["store"]).dataset("pool")
    given = [json.loads(line) for line in token_rows.read_text().splitlines()]
    assert list(stored.ids) == [row["id"] for row in given]
    assert list(stored.sources) == [row["dataset"] for row in given]
    assert stored.tokens.tolist() == [len(row["input_ids"]) for row in given]
    assert stored.records([3, 1]) == [given[3], given[1]]
    assert (report.rows, report.valid, report.computed_chunks) == (60, 59, 4)


def test_rows_none_of_which_has_a_gradient_are_an_error(
    pool: dict[str, Any], tiny_run: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_run / "base", tmp_path / "base"))
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"][:] = float("nan")
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        DataError, match=r"no row of checkpoint-8/pool has a gradient \(.*non-finite.*store rm"
    ):
        gradstore.extract(**pool, name="pool", base=str(base))


def test_a_single_checkpoint_and_direction_need_no_list(pool: dict[str, Any], tiny_run: Path) -> None:
    (report,) = gradstore.extract(
        **pool | {"checkpoints": tiny_run / "run" / "checkpoint-8"}, name="pool", directions="sgd"
    )
    assert report.directions == ("sgd",)
    assert gradstore.build_graph(pool["store"], train="pool", targets=[], checkpoints="checkpoint-8")


def test_row_without_a_learned_token_is_kept_as_invalid_with_its_reason(pool: dict[str, Any]) -> None:
    (report,) = gradstore.extract(**pool, name="pool")
    stored = gradstore.open(pool["store"]).dataset("pool")
    assert np.flatnonzero(~stored.valid).tolist() == [17]
    assert "no learned token" in stored.reasons[17]
    assert np.isnan(stored.loss[17])
    assert list(report.invalid.values()) == [1]


def test_stored_rows_do_not_depend_on_chunks_or_batches(pool: dict[str, Any], tmp_path: Path) -> None:
    gradstore.extract(**pool, name="pool")
    other = pool | {"store": tmp_path / "other.zarr", "chunk_rows": 60, "token_budget": 1}
    gradstore.extract(**other, name="pool")
    one, two = (gradstore.open(p["store"]).dataset("pool").read("adam", 0, 60) for p in (pool, other))
    valid = np.arange(60) != 17
    error = np.linalg.norm(one - two, axis=1)[valid] / np.linalg.norm(two, axis=1)[valid]
    assert error.max() < 1e-5


def test_several_directions_in_one_pass_equal_one_at_a_time(pool: dict[str, Any], tmp_path: Path) -> None:
    names = ["sgd", "sign", "adam", "precond", "adam-true"]
    gradstore.extract(**pool, name="pool", directions=names)
    together = gradstore.open(pool["store"]).dataset("pool")
    for name in names:
        alone = pool | {"store": tmp_path / f"{name}.zarr"}
        gradstore.extract(**alone, name="pool", directions=[name])
        np.testing.assert_array_equal(
            gradstore.open(alone["store"]).dataset("pool").read(name, 0, 60), together.read(name, 0, 60)
        )


def test_run_folder_extracts_every_checkpoint(pool: dict[str, Any], tiny_run: Path) -> None:
    reports = gradstore.extract(**pool | {"checkpoints": [tiny_run / "run"]}, name="pool")
    assert [r.checkpoint for r in reports] == ["checkpoint-4", "checkpoint-8"]
    store = gradstore.open(pool["store"])
    assert store.checkpoints == ("checkpoint-4", "checkpoint-8")
    with pytest.raises(UsageError, match="checkpoint-4"):
        store.dataset("pool")
    four, eight = (store.dataset("pool", c).read("adam", 0, 5) for c in store.checkpoints)
    assert not np.allclose(four, eight)


def test_same_command_again_computes_nothing(pool: dict[str, Any]) -> None:
    gradstore.extract(**pool, name="pool")
    (again,) = gradstore.extract(**pool, name="pool")
    assert again.computed_chunks == 0
    assert again.valid == 59


def test_projected_cosines_stay_close_to_raw_ones_on_a_trained_adapter(
    pool: dict[str, Any], tmp_path: Path
) -> None:
    gradstore.extract(**pool | {"dim": 8192}, name="pool", directions=["sgd"])
    raw = pool | {"store": tmp_path / "raw.zarr", "projection": "none"}
    gradstore.extract(**raw, name="pool", directions=["sgd"])

    def cosines(path: Path) -> np.ndarray:
        stored = gradstore.open(path).dataset("pool")
        rows = stored.read("sgd", 0, 60)[stored.valid].astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows @ rows.T)[np.triu_indices(len(rows), 1)]

    error = cosines(pool["store"]) - cosines(raw["store"])
    assert np.sqrt((error**2).mean()) <= 0.0125


def test_rows_with_nan_gradients_are_invalid_and_touch_no_other_row(
    pool: dict[str, Any], tiny_run: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = Path(shutil.copytree(tiny_run / "base", tmp_path / "base"))
    weights = load_file(base / "model.safetensors")
    weights["model.embed_tokens.weight"][7] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    nan = pool | {"store": tmp_path / "nan.zarr"}
    (report,) = gradstore.extract(**nan, base=str(base), name="pool")
    gradstore.extract(**pool, name="pool")
    broken = gradstore.open(tmp_path / "nan.zarr").dataset("pool")
    sound = gradstore.open(pool["store"]).dataset("pool")
    has_seven = np.array([7 in row["input_ids"] for row in sound.records(range(60))])
    assert report.invalid["non-finite gradient"] > 5
    np.testing.assert_array_equal(broken.valid, sound.valid & ~has_seven)
    np.testing.assert_array_equal(broken.take("adam", [0]), np.zeros((1, 256))) if has_seven[0] else None
    kept = np.flatnonzero(broken.valid)
    np.testing.assert_allclose(broken.take("adam", kept), sound.take("adam", kept), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"dim": 128}, {"seed": 1}, {"projection": "rademacher"}], ids=["dim", "seed", "kind"]
)
def test_target_with_another_projection_is_refused(pool: dict[str, Any], change: dict[str, Any]) -> None:
    gradstore.extract(**pool, name="pool")
    with pytest.raises(IncompatibleError, match=f"add `--{next(iter(change))} .*`, or use another store"):
        gradstore.extract(**pool | change, name="goal", target=True)


def test_other_adapter_under_the_same_name_is_refused(
    pool: dict[str, Any], tiny_run: Path, tmp_path: Path
) -> None:
    gradstore.extract(**pool, name="pool")
    impostor = Path(shutil.copytree(tiny_run / "run" / "checkpoint-4", tmp_path / "checkpoint-8"))
    with pytest.raises(IncompatibleError, match="adapter"):
        gradstore.extract(**pool | {"checkpoints": [impostor]}, name="goal", target=True)


def test_other_base_weights_are_refused(pool: dict[str, Any], tiny_run: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    gradstore.extract(**pool, name="pool")
    torch.manual_seed(99)
    config = LlamaConfig.from_pretrained(tiny_run / "base")
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    with pytest.raises(IncompatibleError, match="base"):
        gradstore.extract(**pool, base=str(tmp_path / "base"), name="goal", target=True)


def test_adam_without_optimizer_state_names_the_ways_out_and_sgd_works(
    pool: dict[str, Any], tiny_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run / "run" / "checkpoint-8", tmp_path / "checkpoint-8"))
    (folder / "optimizer.pt").unlink()
    with pytest.raises(CheckpointError, match="--direction sgd"):
        gradstore.extract(**pool | {"checkpoints": [folder]}, name="pool")
    gradstore.extract(**pool | {"checkpoints": [folder]}, name="pool", directions=["sgd"])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"projection": "sjtl"}, UsageError, "did you mean 'sjlt'"),
        ({"directions": ["adma"]}, UsageError, "did you mean 'adam'"),
        ({"dim": 0}, UsageError, "--dim"),
        ({"token_budget": 0}, UsageError, "--token-budget"),
        ({"max_length": 1}, UsageError, "--max-length"),
        ({"encoding": "int7"}, UsageError, "encoding"),
        ({"name": "../x"}, UsageError, "name"),
        ({"device": "cuda:9"}, UsageError, "no usable GPU"),
        ({"device": "cpu0"}, UsageError, "device 'cpu0' is none"),
        ({"part": "0/3"}, UsageError, "counted from 1"),
        ({"parameters": "all"}, UsageError, "kind of parameters"),
        ({"projection": "kron"}, UsageError, "--parameters full"),
        (
            {"parameters": "full", "directions": ["adam"]},
            UsageError,
            r"'adam' cannot be made of full parameters",
        ),
        ({"init_lora": True, "parameters": "full"}, UsageError, "exclude each other"),
        ({"dtype": "float8"}, UsageError, "dtype"),
        ({"checkpoints": []}, UsageError, "no checkpoint"),
    ],
)
def test_bad_arguments_are_refused_before_a_store_is_made(
    pool: dict[str, Any], change: dict[str, Any], error: type[GradstoreError], words: str
) -> None:
    with pytest.raises(error, match=words):
        gradstore.extract(**{**pool, "name": "pool", **change})
    assert not pool["store"].exists()


def test_data_without_any_learnable_row_is_refused(pool: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "silent.jsonl"
    path.write_text('{"input_ids": [1, 2, 3], "labels": [-100, -100, -100]}\n')
    with pytest.raises(DataError, match="no row has a learned token"):
        gradstore.extract(**pool | {"data": path}, name="pool")


def test_token_outside_the_vocabulary_is_refused_with_its_line(pool: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "alien.jsonl"
    path.write_text('{"input_ids": [1, 2, 3]}\n{"input_ids": [1, 64]}\n')
    with pytest.raises(DataError, match=r"alien\.jsonl:2.*token id 64.*vocabulary of 64"):
        gradstore.extract(**pool | {"data": path}, name="pool")


def test_text_rows_without_a_tokenizer_are_refused(pool: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "hello"}\n')
    with pytest.raises(DataError, match="tokenizer"):
        gradstore.extract(**pool | {"data": path}, name="pool")


def test_plan_says_what_extract_does_and_writes_nothing(pool: dict[str, Any]) -> None:
    (planned,) = plan(**pool, name="pool")
    assert not pool["store"].exists()
    (done,) = gradstore.extract(**pool, name="pool")
    assert (planned.rows, planned.tokens, planned.chunks_total) == (done.rows, done.tokens, done.chunks)
    assert planned.chunks_missing == planned.chunks_total
    # Two layers of rank 4: q and o are 32 -> 32, k and v 32 -> 16.
    assert planned.trained_parameters == 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16))
    assert planned.tokens_per_second > 0
    assert planned.bytes == 4 * 16 * 256 * 4
    assert planned.bytes < done.bytes
    assert plan(**pool, name="pool")[0].chunks_missing == 0


def test_show_marks_the_learned_tokens(pool: dict[str, Any]) -> None:
    texts = show(pool["store"], checkpoints=pool["checkpoints"], data=pool["data"], count=2)
    assert len(texts) == 2
    assert all("⟦" in text for text in texts)


def test_every_setting_is_named_where_users_read() -> None:
    text = gradstore.extract.__doc__ or ""
    assert [name for name in Options.__annotations__ if f"``{name}``" not in text] == []
