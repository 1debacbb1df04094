"""The store: gradients in Zarr, written so that a kill loses nothing, read by the manifest; docs/format.md."""

from gradstore.store.artifacts import Artifact, read_artifact, write_artifact
from gradstore.store.claim import Claim
from gradstore.store.create import check_comparable, create_store
from gradstore.store.dataset import Dataset
from gradstore.store.forecast import Forecast, forecast
from gradstore.store.importer import import_arrays
from gradstore.store.merge import MergeReport, merge
from gradstore.store.store import Store, open_store
from gradstore.store.verify import Problem, verify
from gradstore.store.writer import DatasetWriter

__all__ = [
    "Artifact",
    "Claim",
    "Dataset",
    "DatasetWriter",
    "Forecast",
    "MergeReport",
    "Problem",
    "Store",
    "check_comparable",
    "create_store",
    "forecast",
    "import_arrays",
    "merge",
    "open_store",
    "read_artifact",
    "verify",
    "write_artifact",
]
