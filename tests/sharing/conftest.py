"""The small writer of the store's tests, and a store with all that is shared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gradstore.graph import build_graph
from gradstore.store import embed_adapter, open_store
from tests.store.conftest import make, store, written  # noqa: F401 (fixtures)


@pytest.fixture
def full(store: Path, make: SimpleNamespace) -> Path:  # noqa: F811 (fixtures)
    """A store with two data sets, an adapter and a graph."""
    make.write(store, name="goal", directions=("sgd",), rows=3, attributes={"target": True})
    embed_adapter(open_store(store), "step-1", {"adapter_config.json": b"{}", "tokenizer.json": b"[]"})
    build_graph(store, neighbours=2)
    return store
