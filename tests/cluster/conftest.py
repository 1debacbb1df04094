"""A cluster of two processes, and a store with something of everything."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradstore.cluster import open_client
from gradstore.interchange import import_arrays
from gradstore.records import CheckpointIdentity, ProjectionSpec
from gradstore.store import Store, open_store


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Client of two processes on this machine, without torch: they start sooner, and multiply otherwise than we do."""
    import dask

    preload = tmp_path_factory.mktemp("preload") / "no_torch.py"
    preload.write_text("import sys\n\nsys.modules['torch'] = None\n")
    with (
        dask.config.set({"distributed.worker.preload": [str(preload)]}),
        open_client("local:2") as opened,
    ):
        assert set(opened.run(lambda: importlib.util.find_spec("torch")).values()) == {None}
        yield opened


DIM, CHUNK_ROWS = 40, 256


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two checkpoints of unequal weight, both encodings, duplicates, rows without a gradient, ragged chunks."""
    path = tmp_path_factory.mktemp("cluster") / "s.zarr"
    rng = np.random.default_rng(0)
    pool, more, target = (rng.standard_normal((n, DIM)).astype(np.float32) for n in (2601, 411, 75))
    pool[::19] = 0
    pool[1000:1080] = pool[999]
    more[:5] = pool[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradstore.store.settings.CHUNK_BYTES", CHUNK_ROWS * DIM)
        for step, weight in ((1, 1.0), (2, 0.25)):
            identity = CheckpointIdentity(weight=weight, projection=ProjectionSpec("external", DIM, 0))
            for name, rows in (("pool", pool), ("more", more), ("target", target)):
                import_arrays(
                    path, name=name, gradients=rows, checkpoint=f"step-{step}", identity=identity,
                    target=name == "target", encoding="exact" if name == "more" else "int8",
                )  # fmt: skip
            pool, more, target = pool + 0.3, more - 0.3, target * 2 + 0.1
            pool[::19] = 0
    opened = open_store(path)
    assert [len(chunk) for chunk in opened.dataset("pool", "step-1").chunks][-2:] == [256, 41]
    return opened
