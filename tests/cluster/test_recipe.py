"""Workers open the client's store, or say why they cannot."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradstore.cluster import Recipe, cluster_neighbours
from gradstore.cluster.tasks import outcomes
from gradstore.errors import GradstoreError, IncompatibleError, StoreNotFoundError, UsageError
from gradstore.graph import Nodes, exact_neighbours, open_nodes
from gradstore.sharing import push
from gradstore.storage import storage_options
from gradstore.store import Store, open_store
from gradstore.testing import tiny_store
from tests.s3 import KEY, SECRET, Server


def recipe_of(store: Store) -> Recipe:
    return Recipe.of(store, open_nodes(store, train=["pool"], targets=["target"]))


def test_a_recipe_travels_and_opens_the_same_nodes(store: Store) -> None:
    nodes = open_nodes(store, train=["more", "pool"], targets=["target"])
    for chosen in (nodes, Nodes([part for part in nodes.parts if part.target], nodes.weights)):
        again = pickle.loads(pickle.dumps(Recipe.of(store, chosen))).open()  # noqa: S301 (our own bytes)
        assert again.read(0, len(again)).tobytes() == chosen.read(0, len(chosen)).tobytes()
        np.testing.assert_array_equal(again.is_target, chosen.is_target)


def test_a_path_is_told_as_seen_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_store(tmp_path / "s.zarr")
    monkeypatch.chdir(tmp_path)
    for location in ("s.zarr", Path("s.zarr"), open_store("s.zarr"), f"file://{tmp_path}/s.zarr"):
        nodes = open_nodes(open_store(tmp_path / "s.zarr"), train=["pool"], targets=[])
        assert Recipe.of(location, nodes).location == str(tmp_path / "s.zarr")


def test_a_store_that_workers_do_not_see_is_told_once(tmp_path: Path, client: Any) -> None:
    recipe = recipe_of(tiny_store(tmp_path / "s"))
    recipe.open()  # the client sees it
    shutil.move(tmp_path / "s", tmp_path / "elsewhere")
    with pytest.raises(StoreNotFoundError) as caught:
        cluster_neighbours(recipe, 3, client, panel=10)
    text = str(caught.value)
    assert text.startswith(
        f"worker on {os.uname().nodename}: there is no gradstore store at {tmp_path / 's'}"
    )
    assert text.endswith(f"all workers must see the client's store at {tmp_path / 's'}")
    assert "\n" not in text


@pytest.mark.parametrize("change", [{"digests": ("", "")}, {"rows": ""}])
def test_a_worker_that_sees_other_rows_refuses(tmp_path: Path, change: dict[str, Any]) -> None:
    recipe = recipe_of(tiny_store(tmp_path / "s"))
    with pytest.raises(IncompatibleError, match="holds other rows here than the client's"):
        replace(recipe, **change).open()


def test_a_worker_of_another_version_refuses(tmp_path: Path) -> None:
    recipe = recipe_of(tiny_store(tmp_path / "s"))
    other = replace(recipe, versions=(("gradstore", "9.9"),))
    with pytest.raises(IncompatibleError, match=r"is 9.9|and 9\.9 in the client; install one version"):
        other.open()


def _noted(nodes: Nodes, path: str, kind: str) -> None:
    with Path(path).open("a") as file:
        file.write("run\n")
    if kind == "user's":
        raise UsageError("this cannot be right")
    raise RuntimeError("this may pass")


@pytest.mark.parametrize(("kind", "error", "runs"), [("user's", UsageError, 1), ("other", RuntimeError, 3)])
def test_only_what_may_pass_is_tried_again(
    tmp_path: Path, client: Any, kind: str, error: type[Exception], runs: int
) -> None:
    recipe = recipe_of(tiny_store(tmp_path / "s"))
    with pytest.raises(error, match="this"):
        list(outcomes(client, _noted, recipe, [(str(tmp_path / "notes"), kind)]))
    assert (tmp_path / "notes").read_text().splitlines() == ["run"] * runs


def test_credentials_travel_and_are_never_shown(
    tmp_path: Path,
    client: Any,
    bucket: str,
    s3_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    local = tiny_store(tmp_path / "s")
    push(tmp_path / "s", bucket)
    for name in s3_server.environment():
        monkeypatch.delenv(name)
    cache = str(tmp_path / "cache-of-workers")
    client.run(lambda: os.environ.update(GRADSTORE_CACHE=cache))
    options = {
        "endpoint": s3_server.endpoint,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": "us-east-1",
    }
    with storage_options(options):
        recipe = recipe_of(open_store(bucket))
    found = cluster_neighbours(recipe, 5, client, panel=20)
    expected = exact_neighbours(open_nodes(local, train=["pool"], targets=["target"]), 5)
    assert found[0].tobytes() == expected[0].tobytes()

    with pytest.raises(RuntimeError):
        list(outcomes(client, _noted, recipe, [(str(tmp_path / "notes"), "other")]))
    wrong = replace(
        recipe, options=(*recipe.options[:2], ("secret_access_key", "WrOnGsEcReT"), recipe.options[3])
    )
    with pytest.raises(GradstoreError) as caught:
        wrong.open()
    seen = [repr(recipe), str(caught.value), str(client.get_worker_logs()), str(client.get_scheduler_logs())]
    for text in (*seen, *capfd.readouterr()):
        assert SECRET not in text
        assert "WrOnGsEcReT" not in text
    assert "Compute Failed" in seen[2]  # the log that shows a task's arguments
