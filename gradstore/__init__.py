"""A gradient datastore and index toolkit for choosing instruction-tuning data.

Names are loaded when first used: importing gradstore imports neither torch nor zarr.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradstore.errors import (
    CheckpointError,
    CorruptError,
    DataError,
    GradstoreError,
    IncompatibleError,
    IncompleteError,
    StoreNotFoundError,
    StoreWriteError,
    UsageError,
)

if TYPE_CHECKING:
    from gradstore.gradients import extract
    from gradstore.graph import Graph, build_graph, load_graph
    from gradstore.inspection import verify
    from gradstore.interchange import export, export_selection, import_arrays, import_gradients
    from gradstore.records import Selection
    from gradstore.report import report
    from gradstore.select import SelectionContext, Selector, select
    from gradstore.sharing import merge, pull, push
    from gradstore.store import Dataset, Store
    from gradstore.store import open_store as open
    from gradstore.training import warmup

__version__ = "0.1.0"

_HOMES = {
    "Dataset": ("gradstore.store", "Dataset"),
    "Graph": ("gradstore.graph", "Graph"),
    "Selection": ("gradstore.records", "Selection"),
    "SelectionContext": ("gradstore.select", "SelectionContext"),
    "Selector": ("gradstore.select", "Selector"),
    "Store": ("gradstore.store", "Store"),
    "build_graph": ("gradstore.graph", "build_graph"),
    "export": ("gradstore.interchange", "export"),
    "export_selection": ("gradstore.interchange", "export_selection"),
    "extract": ("gradstore.gradients", "extract"),
    "import_arrays": ("gradstore.interchange", "import_arrays"),
    "import_gradients": ("gradstore.interchange", "import_gradients"),
    "load_graph": ("gradstore.graph", "load_graph"),
    "merge": ("gradstore.sharing", "merge"),
    "open": ("gradstore.store", "open_store"),
    "pull": ("gradstore.sharing", "pull"),
    "push": ("gradstore.sharing", "push"),
    "verify": ("gradstore.inspection", "verify"),
    "warmup": ("gradstore.training", "warmup"),
}

__all__ = [
    "CheckpointError",
    "CorruptError",
    "DataError",
    "Dataset",
    "GradstoreError",
    "Graph",
    "IncompatibleError",
    "IncompleteError",
    "Selection",
    "SelectionContext",
    "Selector",
    "Store",
    "StoreNotFoundError",
    "StoreWriteError",
    "UsageError",
    "__version__",
    "build_graph",
    "export",
    "export_selection",
    "extract",
    "import_arrays",
    "import_gradients",
    "load_graph",
    "merge",
    "open",
    "pull",
    "push",
    "report",
    "select",
    "verify",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use (PEP 562)."""
    if name in ("report", "select"):  # the room itself, which can be called: see gradstore/select/__init__.py
        return import_module(f"gradstore.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'gradstore' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
