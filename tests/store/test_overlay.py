"""An overlay shows its base as its own, never writes there, and notices when it changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradstore
from gradstore.errors import CorruptError, GradstoreError, IncompatibleError, StoreNotFoundError, UsageError
from gradstore.inspection import verify
from gradstore.records import canonical_json, digest
from gradstore.store import new_store, open_store, read_artefact, write_artefact


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    path = tmp_path / "base.zarr"
    gradstore.import_arrays(path, name="pool", gradients=draw.normal(size=(30, 16)), rows=rows("pool", 30))
    gradstore.import_arrays(path, name="gsm8k", gradients=draw.normal(size=(5, 16)), target=True)
    return path


def rows(name: str, count: int) -> list[dict[str, str]]:
    return [{"text": f"{name} {number}"} for number in range(count)]


@pytest.fixture
def mine(base: Path, tmp_path: Path) -> Path:
    new_store(tmp_path / "mine.zarr", on=base)
    return tmp_path / "mine.zarr"


def add_target(path: Path, name: str = "own") -> None:
    draw = np.random.default_rng(1).normal(size=(4, 16))
    gradstore.import_arrays(path, name=name, gradients=draw, target=True)


def test_an_overlay_shows_what_its_base_has(base: Path, mine: Path) -> None:
    below, above = open_store(base), open_store(mine)
    assert above.checkpoints == below.checkpoints
    assert above.datasets() == below.datasets() == ("gsm8k", "pool")
    assert above.base is not None
    np.testing.assert_array_equal(
        above.dataset("pool").read("sgd", 0, 30), below.dataset("pool").read("sgd", 0, 30)
    )
    assert repr(above).splitlines()[1] == f"  on {base}"


def test_what_is_made_in_an_overlay_leaves_the_base_as_it_was(base: Path, mine: Path) -> None:
    before = contents(base)
    add_target(mine)
    gradstore.build_graph(mine)
    picked = gradstore.select(mine, selector="less", target="own", budget=3)
    assert len(picked.ids) == 3
    assert contents(base) == before
    above = open_store(mine)
    assert above.datasets() == ("gsm8k", "own", "pool")
    assert (above.graphs, above.selections) == (("default",), ("less-own",))
    assert open_store(base).graphs == ()
    assert verify(mine) == verify(base) == []


def test_choosing_in_an_overlay_is_choosing_in_one_store(base: Path, mine: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zarr"
    shutil.copytree(base, whole)
    add_target(whole)
    add_target(mine)
    one, other = (gradstore.select(path, selector="less", target="own", budget=9) for path in (whole, mine))
    assert list(one.ids) == list(other.ids)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_a_graph_of_the_base_serves_the_overlay(base: Path, tmp_path: Path) -> None:
    built = gradstore.build_graph(base)
    path = tmp_path / "late.zarr"
    new_store(path, on=base)
    assert open_store(path).graphs == ("default",)
    np.testing.assert_array_equal(gradstore.load_graph(path).neighbours, built.neighbours)


def test_what_the_base_gains_is_seen(base: Path, mine: Path) -> None:
    add_target(base, "later")
    assert len(open_store(mine).dataset("later")) == 4


def test_a_base_that_changed_is_refused(base: Path, mine: Path) -> None:
    shutil.rmtree(base / "checkpoints/imported/pool")
    gradstore.import_arrays(base, name="pool", gradients=np.ones((30, 16)), rows=rows("pool", 30))
    above = open_store(mine)
    assert len(above.dataset("gsm8k")) == 5
    with pytest.raises(IncompatibleError, match="has changed since the overlay was made"):
        above.dataset("pool")


def test_a_base_whose_vectors_changed_is_refused_when_they_are_read(base: Path, mine: Path) -> None:
    fresh = base.with_name("fresh.zarr")
    gradstore.import_arrays(fresh, name="pool", gradients=np.ones((30, 16)), rows=rows("pool", 30))
    place = "checkpoints/imported/pool/sgd"
    shutil.rmtree(base / place)
    shutil.copytree(fresh / place, base / place)
    with pytest.raises(IncompatibleError, match=r"has changed since|made for other rows"):
        open_store(mine).dataset("pool").read("sgd", 0, 1)


def test_a_checkpoint_of_the_base_that_became_another_is_refused(base: Path, mine: Path) -> None:
    shutil.rmtree(base / "checkpoints/imported")
    gradstore.import_arrays(base, name="pool", gradients=np.ones((30, 8)))
    with pytest.raises(IncompatibleError, match=r"checkpoint 'imported' of .* has changed"):
        open_store(mine).identity("imported")


def test_a_name_of_the_base_is_not_written_over(mine: Path) -> None:
    with pytest.raises(UsageError, match=r"'pool' of 'imported' is in .*base\.zarr.* choose another name"):
        gradstore.import_arrays(mine, name="pool", gradients=np.ones((3, 16)))


def test_rows_that_cannot_be_compared_with_the_base_are_refused(mine: Path) -> None:
    with pytest.raises(IncompatibleError, match="cannot be compared"):
        gradstore.import_arrays(mine, name="other", gradients=np.ones((3, 8)))


def test_an_overlay_works_from_any_folder(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    new_store("over.zarr", on="base.zarr")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert open_store("../over.zarr").datasets() == ("gsm8k", "pool")


def test_an_overlay_does_not_lie_on_an_overlay(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an overlay itself"):
        new_store(tmp_path / "third.zarr", on=mine)


def test_nothing_is_made_where_something_is(base: Path, tmp_path: Path) -> None:
    for taken in (base, tmp_path):
        with pytest.raises(UsageError, match="exists: choose another path"):
            new_store(taken, on=base)


def test_without_its_base_an_overlay_says_so(base: Path, mine: Path) -> None:
    shutil.rmtree(base)
    with pytest.raises(
        StoreNotFoundError, match=r"mine\.zarr lies on .*base\.zarr, and there is no gradstore store"
    ):
        open_store(mine)


@pytest.mark.parametrize("member", [1, {"url": 3}, {"url": "x", "checkpoints": [], "datasets": {}}])
def test_a_damaged_base_member_is_corrupt(mine: Path, member: object) -> None:
    document = root_of(mine)
    ours = {"format": 1, "base": member}
    document["attributes"]["gradstore"] = {**ours, "digest": digest(canonical_json(ours))}
    (mine / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(CorruptError, match="names no base"):
        open_store(mine)


def root_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "zarr.json").read_text())
    return found


def test_no_bit_of_an_overlay_s_root_flips_unnoticed(mine: Path) -> None:
    """Not even in the name of a member: one that is not known would pass for a newer one."""
    data = (mine / "zarr.json").read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            (mine / "zarr.json").write_bytes(
                data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            )
            with pytest.raises(GradstoreError):
                verify(mine)


def test_a_member_of_a_later_version_is_tolerated_if_the_digest_covers_it(mine: Path) -> None:
    document = root_of(mine)
    ours = document["attributes"]["gradstore"]
    ours["later"] = 1
    del ours["digest"]
    ours["digest"] = digest(canonical_json(ours))
    (mine / "zarr.json").write_text(json.dumps(document))
    assert open_store(mine).datasets() == ("gsm8k", "pool")


def test_artefacts_of_the_overlay_go_before_those_of_the_base(base: Path, mine: Path) -> None:
    for path, value in ((base, 1), (mine, 2)):
        write_artefact(
            open_store(path), "graphs", "g", arrays={"a": np.array([value])}, strings={}, attributes={}
        )
    found = [read_artefact(open_store(path), "graphs", "g").arrays["a"][0] for path in (base, mine)]
    assert found == [1, 2]
