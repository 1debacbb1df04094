"""A store with a graph, selections and rows that would like to be more than text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradstore
from gradstore.select import Limits

pytest.importorskip("bokeh", reason="needs pip install 'gradstore[report]'")
pytest.importorskip("igraph", reason="needs pip install 'gradstore[report]'")

ATTACK = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'><!-- "
TURNED = "safe\u202etxet\u2066\u2028next\u2029line & <b>bold</b>"


def rows(count: int) -> list[dict[str, object]]:
    """Rows of three sources; the first ones attack by their ids, sources, roles' contents and texts."""
    names = ["math", "chat", "code"]
    made: list[dict[str, object]] = [
        {
            "id": f"row-{i}",
            "source": names[i % 3],
            "messages": [
                {"role": "user", "content": f"What is {i} plus {i}?"},
                {"role": "assistant", "content": f"It is {2 * i}."},
            ],
        }
        for i in range(count)
    ]
    made[0] |= {"id": f"{ATTACK}id", "source": f"{ATTACK}source"}
    made[0]["messages"] = [{"role": "user", "content": ATTACK}, {"role": "assistant", "content": "no"}]
    made[1] = {"id": "turned", "source": "math", "text": TURNED}
    made[2] = {
        "id": "script-2",
        "source": "math",
        "prompt": "${alert(1)} {{ 7 * 7 }}",
        "completion": "javascript:alert(1)",
    }
    return made


@pytest.fixture(scope="session")
def shown_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    path = tmp_path_factory.mktemp("shown") / "grads.zarr"
    rng = np.random.default_rng(0)
    centre = rng.normal(size=24)
    vectors = rng.normal(size=(90, 24))
    vectors[::3] += 1.5 * centre
    vectors[50] = vectors[51] + 1e-3
    vectors[7] = 0
    pool = rows(90)
    gradstore.import_arrays(
        path,
        name="pool",
        gradients=vectors,
        ids=[str(each["id"]) for each in pool],
        sources=[str(each["source"]) for each in pool],
        rows=pool,
        tokens=rng.integers(5, 200, 90),
        loss=rng.random(90),
        license="CC0-1.0",
    )
    goal = [{"id": f"goal-{i}", "text": f"target {i}"} for i in range(8)]
    gradstore.import_arrays(
        path,
        name="goal",
        gradients=rng.normal(size=(8, 24)) + centre,
        ids=[str(each["id"]) for each in goal],
        rows=goal,
        tokens=np.full(8, 12),
        target=True,
    )
    gradstore.build_graph(path, neighbours=6, conflicts=3)
    gradstore.select(path, selector="less", target="goal", budget=12)
    gradstore.select(path, selector="g2is", target="goal", budget=12)
    gradstore.select(
        path, selector="less", target="goal", budget=40, limits=Limits(near_duplicate=0.9), name="wide"
    )
    gradstore.select(path, selector="random", budget=10)
    return path
