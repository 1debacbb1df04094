"""The store: gradients in Zarr, written so that a kill loses nothing, read by the manifest; docs/format.md."""

from gradstore.store.artefacts import Artefact, read_artefact, told_before, write_artefact
from gradstore.store.attachment import (
    ADAPTER_FILES,
    carries_adapter,
    embed_adapter,
    names_base,
    unpack_adapter,
)
from gradstore.store.claim import Claim
from gradstore.store.create import check_comparable, create_store
from gradstore.store.dataset import Dataset
from gradstore.store.downloads import download_note
from gradstore.store.forecast import Forecast, forecast
from gradstore.store.overlay import new_store
from gradstore.store.store import Store, open_store
from gradstore.store.writer import DatasetWriter

__all__ = [
    "ADAPTER_FILES",
    "Artefact",
    "Claim",
    "Dataset",
    "DatasetWriter",
    "Forecast",
    "Store",
    "carries_adapter",
    "check_comparable",
    "create_store",
    "download_note",
    "embed_adapter",
    "forecast",
    "names_base",
    "new_store",
    "open_store",
    "read_artefact",
    "told_before",
    "unpack_adapter",
    "write_artefact",
]
