"""What docs/cluster.md tells to copy."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from gradstore.cluster import cluster_neighbours, cluster_project
from gradstore.testing import tiny_store

TEXT = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_snippet_is_python() -> None:
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        ast.parse(block)


def test_the_snippet_of_the_library_runs(tmp_path: Path, client: Any) -> None:
    tiny_store(tmp_path / "s")
    code = BLOCKS[0]
    for theirs, ours in (
        ("s3://team/grads", str(tmp_path / "s")),
        ("tcp://10.0.0.5:8786", client.scheduler.address),
        ("gsm8k", "target"),
        ("recipe, 32,", "recipe, 3,"),
    ):
        assert theirs in code
        code = code.replace(theirs, ours)
    found: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "docs/cluster.md", "exec"), found)  # noqa: S102 (our own page)
    assert found["cluster_neighbours"] is cluster_neighbours
    assert found["cluster_project"] is cluster_project
    assert found["neighbours"].shape == (len(found["nodes"]), 3)
    assert found["similarity"].shape == (len(found["nodes"]), 3)
