"""What happens to a batch that does not fit, or whose layers mix their rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradstore.checkpoint import find_checkpoints, load_model
from gradstore.checkpoint.load import LoadedModel
from gradstore.errors import GradstoreError
from gradstore.gradients.compute import ChunkComputer, Prepared
from gradstore.gradients.directions import Direction
from gradstore.gradients.engine import GradientEngine
from gradstore.gradients.observe import MixedRowsError
from gradstore.gradients.projection import make_projector
from gradstore.gradients.rows import Exact, RowMaker
from gradstore.records import Example, GradientBlock, ProjectionSpec, Row


@pytest.fixture(scope="module")
def loaded(tiny_run: Path) -> LoadedModel:
    return load_model(find_checkpoints(tiny_run / "run")[1])


@pytest.fixture
def engine(loaded: LoadedModel) -> Iterator[GradientEngine]:
    with GradientEngine(loaded) as opened:
        yield opened


def chunk(count: int = 24) -> Prepared:
    draw = np.random.default_rng(0)
    tokens = [draw.integers(0, 64, int(draw.integers(3, 30))).astype(np.int32) for _ in range(count)]
    rows = [Row(f"r{i}", {"id": f"r{i}"}, "s", "", f"line {i}") for i in range(count)]
    return Prepared(rows, [Example(t, t) for t in tokens], np.zeros((count, 12), np.uint8))


def computer(loaded: LoadedModel, engine: GradientEngine, said: list[str] | None = None) -> ChunkComputer:
    names: Any = loaded.parameters
    spec = ProjectionSpec("sjlt", 256, 0)
    maker = RowMaker(Exact([Direction("sgd")]), make_projector(spec, names), {"sgd": 256})
    heard = said if said is not None else []
    return ChunkComputer(engine, maker, 256, log=heard.append)


def compute(loaded: LoadedModel, engine: GradientEngine, said: list[str] | None = None) -> GradientBlock:
    return computer(loaded, engine, said).compute(chunk(), ["sgd"])


def failing(
    engine: GradientEngine, monkeypatch: pytest.MonkeyPatch, error: Exception, most: int
) -> list[int]:
    """Let the engine fail for batches of more than `most` tokens; returns the sizes that it was given."""
    sizes: list[int] = []
    own = engine.run

    def run(examples: Any, consume: Any, scale: float) -> Any:
        sizes.append(len(examples) * max(len(e.input_ids) for e in examples))
        if sizes[-1] > most:
            raise error
        return own(examples, consume, scale)

    monkeypatch.setattr(engine, "run", run)
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_batch_that_does_not_fit_is_halved_and_the_rows_are_the_same(
    loaded: LoadedModel, engine: GradientEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = compute(loaded, engine).gradients["sgd"]
    sizes = failing(engine, monkeypatch, error, most=70)
    said: list[str] = []
    found = compute(loaded, engine, said)
    error_of_rows = np.linalg.norm(found.gradients["sgd"] - expected, axis=1) / np.linalg.norm(
        expected, axis=1
    )
    assert error_of_rows.max() < 1e-5
    assert found.valid.all()
    assert [size > 70 for size in sizes].count(True) == len(said) == 2  # 256, 128 and then never again
    assert "not enough memory" in said[0]


def test_row_that_never_fits_ends_with_what_to_do(
    loaded: LoadedModel, engine: GradientEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(engine, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), most=10)
    with pytest.raises(GradstoreError, match=r"one row of 28 tokens.*--gradient-checkpointing.*--max-length"):
        compute(loaded, engine)


def test_other_failures_are_not_taken_for_a_lack_of_memory(
    loaded: LoadedModel, engine: GradientEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(engine, monkeypatch, RuntimeError("device-side assert"), most=10)
    with pytest.raises(RuntimeError, match="device-side assert"):
        compute(loaded, engine)


def test_layer_that_mixes_rows_is_computed_one_row_at_a_time(
    loaded: LoadedModel, engine: GradientEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute(loaded, engine).gradients["sgd"]
    longest = max(len(example.input_ids) for example in chunk().examples)
    failing(engine, monkeypatch, MixedRowsError("layers.0.mlp.experts.3.up_proj"), most=longest)
    said: list[str] = []
    found = compute(loaded, engine, said).gradients["sgd"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert said == [
        "layers.0.mlp.experts.3.up_proj mixes the tokens of several rows: going on one row at a time"
    ]


def test_experts_that_gather_their_tokens_are_noticed(tiny_run: Path) -> None:
    """A layer called as a mixture calls its experts: on the tokens of all rows that were routed to it."""
    loaded = load_model(find_checkpoints(tiny_run / "run")[1], parameters="full")
    name = next(iter(loaded.linears))
    layer: Any = loaded.linears[name]
    with GradientEngine(loaded) as engine:
        watched = layer.forward
        layer.forward = lambda inputs: watched(inputs.flatten(0, 1)[:-1])
        with pytest.raises(MixedRowsError, match=name):
            engine.run(chunk(3).examples, lambda _layer, _values: None)
        layer.forward = watched


def test_non_finite_and_zero_gradients_are_kept_as_invalid_rows(
    loaded: LoadedModel, engine: GradientEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine.run

    def run(examples: Any, consume: Any, scale: float) -> Any:
        def spoiled(layer: int, values: torch.Tensor) -> None:
            values[0] = torch.nan
            values[1] = 0
            consume(layer, values)

        return own(examples, spoiled, scale)

    monkeypatch.setattr(engine, "run", run)
    one = computer(loaded, engine)
    block = one.compute(chunk(2), ["sgd"])
    assert sorted(block.reasons) == ["non-finite gradient", "zero gradient"]
    assert not block.valid.any()
    assert not block.gradients["sgd"].any()
    assert np.isnan(block.loss).all()


def test_overflow_in_half_precision_is_tried_again_with_smaller_losses(tiny_run: Path) -> None:
    folder = find_checkpoints(tiny_run / "run")[1]
    exact = load_model(folder)
    half = load_model(folder, dtype="float16")
    with GradientEngine(exact) as engine:
        expected = compute(exact, engine).gradients["sgd"]
    with GradientEngine(half) as engine:
        engine.scale = 2.0**40
        found = compute(half, engine).gradients["sgd"]
        assert engine.scale == 2.0**40
    cosines = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() > 0.99


def test_a_row_that_overflows_is_tried_again_alone_and_changes_no_other(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = load_model(find_checkpoints(tiny_run / "run")[1], dtype="float16")
    rows = chunk()
    victims = {id(rows.examples[3]), id(rows.examples[4])}
    calls: list[tuple[int, float]] = []
    with GradientEngine(half) as engine:
        expected = computer(half, engine).compute(rows, ["sgd"]).gradients["sgd"]
        own = engine.run

        def run(examples: Any, consume: Any, scale: float) -> Any:
            calls.append((len(examples), scale))

            def spoiled(layer: int, values: torch.Tensor) -> None:
                for i, example in enumerate(examples):
                    if id(example) in victims and scale > 2.0**8:
                        values[i] = torch.inf
                consume(layer, values)

            return own(examples, spoiled, scale)

        monkeypatch.setattr(engine, "run", run)
        block = computer(half, engine).compute(rows, ["sgd"])
    assert block.valid.all()
    again = [(count, scale) for count, scale in calls if scale < 2.0**14]
    assert 0 < sum(count for count, scale in again if scale == 2.0**10) <= len(victims)
    assert min(scale for _, scale in again) == 2.0**6
    found = block.gradients["sgd"]
    others = [i for i in range(24) if i not in (3, 4)]
    np.testing.assert_array_equal(found[others], expected[others])
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05 * np.abs(expected).max())


def test_a_row_whose_loss_overflows_is_not_tried_again(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = load_model(find_checkpoints(tiny_run / "run")[1], dtype="float16")
    with torch.no_grad():
        half.causal.get_input_embeddings().weight[63] = torch.inf  # type: ignore[operator]
    rows = chunk()
    rows.examples[3].input_ids[1] = 63
    calls: list[int] = []
    with GradientEngine(half) as engine:
        own = engine.run
        monkeypatch.setattr(engine, "run", lambda *all_: calls.append(len(all_[0])) or own(*all_))
        block = computer(half, engine).compute(rows, ["sgd"])
    bad = [i for i in range(24) if 63 in rows.examples[i].input_ids]
    assert [i for i in range(24) if not block.valid[i]] == bad
    assert sum(calls) == 24
