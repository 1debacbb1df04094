"""The store: gradients in Zarr, written so that a kill loses nothing, read by the manifest; docs/format.md."""

from gradstore.store.artifacts import Artifact, read_artifact, write_artifact
from gradstore.store.dataset import Dataset
from gradstore.store.forecast import Forecast, forecast
from gradstore.store.importer import import_arrays
from gradstore.store.store import Store, create_store, open_store
from gradstore.store.verify import Problem, verify
from gradstore.store.writer import DatasetWriter

__all__ = [
    "Artifact",
    "Dataset",
    "DatasetWriter",
    "Forecast",
    "Problem",
    "Store",
    "create_store",
    "forecast",
    "import_arrays",
    "open_store",
    "read_artifact",
    "verify",
    "write_artifact",
]
