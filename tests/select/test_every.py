"""What holds for every selector that comes with gradstore."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gradstore
from gradstore.errors import UsageError
from gradstore.interchange import import_arrays
from gradstore.select import selectors
from gradstore.select.threads import undivided
from gradstore.select.why import why
from gradstore.store import open_store

NAMES = [info.name for info in selectors()]
DOCS = Path(__file__).parents[2] / "docs" / "selectors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two checkpoints and the directions that any selector reads."""
    path = tmp_path_factory.mktemp("every") / "s.zarr"
    rng = np.random.default_rng(0)
    ids = [f"r{i:04}" for i in rng.permutation(3000)]
    for checkpoint in ("one", "two"):
        for direction in ("sgd", "rds"):
            key = f"{checkpoint}-{direction}"
            import_arrays(
                path,
                name="pool",
                checkpoint=key,
                direction=direction,
                gradients=rng.standard_normal((3000, 64)),
                ids=ids,
                tokens=rng.integers(1, 50, 3000),
                loss=np.random.default_rng(1).random(3000),
            )
            target = rng.standard_normal((20, 64))
            import_arrays(
                path, name="aim", checkpoint=key, direction=direction, gradients=target, target=True
            )
    return path


def checkpoints_of(selector: str) -> list[str]:
    return ["one-rds", "two-rds"] if selector == "rds" else ["one-sgd", "two-sgd"]


def test_all_the_published_ones_are_there() -> None:
    assert set(NAMES) >= {
        *("random", "less", "round-robin", "g2is", "rds", "gist", "tagcos", "gsnr", "bids", "tsds", "d2"),
        *("top-norm", "low-loss", "high-loss"),
    }


def test_every_parameter_is_described() -> None:
    for info in selectors():
        assert not info.problem
        assert info.description.endswith((".", "…"))
        for parameter in info.parameters:
            assert len(parameter.description) > 15, (info.name, parameter.name)


@pytest.mark.parametrize("selector", NAMES)
def test_it_chooses_from_a_store_and_explains_itself(place: Path, selector: str) -> None:
    found = gradstore.select(
        place,
        selector=selector,
        target="aim",
        budget=100,
        graph="exact",
        checkpoints=checkpoints_of(selector),
        name=selector,
    )
    assert len(set(found.ids)) == 100
    for values in found.selection.columns.values():
        assert len(values) == 100
    told = why(open_store(place), selector, found.ids[7])
    assert (told["verdict"], told["rank"]) == ("chosen", 7)
    assert set(told["because"]) == set(found.selection.columns)
    assert told["score"] is not None or told["because"] or selector == "random"


@pytest.mark.parametrize("selector", NAMES)
def test_one_thread_and_two_choose_the_same_to_the_last_bit(place: Path, selector: str) -> None:
    def chosen(threads: int) -> tuple[list[str], bytes | None]:
        with threadpool_limits(threads, user_api="blas"), undivided() as found:
            assert found == threads
        with threadpool_limits(threads):
            picked = gradstore.select(
                place, selector=selector, target="aim", budget=300, graph="exact",
                checkpoints=checkpoints_of(selector), name=f"threads-{selector}",
            )  # fmt: skip
        scores = picked.selection.scores
        return picked.ids, None if scores is None else scores.tobytes()

    assert chosen(1) == chosen(2)


def test_a_selector_made_for_a_direction_that_is_missing_names_all_that_lack_it(place: Path) -> None:
    with pytest.raises(UsageError) as error:
        gradstore.select(place, selector="rds", target="aim", budget=5, checkpoints=["one-sgd"])
    assert "'pool' has sgd and no rds in one-sgd; 'aim' has sgd and no rds in one-sgd." in str(error.value)
    assert "Import such vectors of all of them under a checkpoint of its own" in str(error.value)
    assert str(error.value).endswith("or choose others with --direction and --target-direction")
    chosen = gradstore.select(
        place,
        selector="rds",
        target="aim",
        budget=5,
        checkpoints=["one-sgd"],
        direction="sgd",
        target_direction="sgd",
    )
    assert len(chosen) == 5
    assert "one-sgd" in open_store(place).checkpoints


@pytest.mark.parametrize("selector", NAMES)
def test_it_has_a_page(selector: str) -> None:
    page = DOCS / f"{'loss' if selector.endswith('-loss') else selector}.md"
    text = page.read_text(encoding="utf-8")
    for heading in ("## Formula", "## Needs", "## Cost", "## Source"):
        assert heading in text
    for parameter in next(info for info in selectors() if info.name == selector).parameters:
        assert f"`{parameter.name}`" in text
