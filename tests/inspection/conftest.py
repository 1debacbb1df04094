"""The small writer of the store's tests, and whole stores."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gradstore.store import open_store, write_artefact
from tests.store.conftest import make, store, written  # noqa: F401 (fixtures)
from tests.store.everything import build


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:  # noqa: F811 (fixture)
    path: Path = tmp_path_factory.mktemp("verify") / "s"
    make.write(path, directions=("sgd",))
    graph = {"neighbours": np.arange(6, dtype=np.int32).reshape(3, 2)}
    write_artefact(
        open_store(path), "graphs", "g", arrays=graph, strings={"ids": ["a", "b", "c"]}, attributes={}
    )
    return path


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, make: SimpleNamespace) -> Path:  # noqa: F811 (fixture)
    return build(tmp_path_factory.mktemp("everything") / "s", make)
