"""The store: gradients in Zarr, written so that a kill loses nothing, read by the manifest; docs/format.md."""

from gradstore.store.artifacts import Artifact, read_artifact, write_artifact
from gradstore.store.attachment import ADAPTER_FILES, carries_adapter, embed_adapter, unpack_adapter
from gradstore.store.card import write_card
from gradstore.store.claim import Claim
from gradstore.store.convert import ConvertReport, convert
from gradstore.store.create import check_comparable, create_store
from gradstore.store.dataset import Dataset
from gradstore.store.downloads import download_note
from gradstore.store.forecast import Forecast, forecast
from gradstore.store.importer import import_arrays
from gradstore.store.merge import MergeReport, merge
from gradstore.store.overlay import new_store
from gradstore.store.remove import Removal, remove
from gradstore.store.store import Store, open_store
from gradstore.store.transfer import TransferReport, pull, push
from gradstore.store.verify import Problem, verify
from gradstore.store.writer import DatasetWriter

__all__ = [
    "ADAPTER_FILES",
    "Artifact",
    "Claim",
    "ConvertReport",
    "Dataset",
    "DatasetWriter",
    "Forecast",
    "MergeReport",
    "Problem",
    "Removal",
    "Store",
    "TransferReport",
    "carries_adapter",
    "check_comparable",
    "convert",
    "create_store",
    "download_note",
    "embed_adapter",
    "forecast",
    "import_arrays",
    "merge",
    "new_store",
    "open_store",
    "pull",
    "push",
    "read_artifact",
    "remove",
    "unpack_adapter",
    "verify",
    "write_artifact",
    "write_card",
]
