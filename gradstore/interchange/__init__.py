"""Brings vectors in from the files of other tools, and writes files that those tools read."""

from gradstore.interchange.exporting import EXPORTS, Exported, export
from gradstore.interchange.importer import import_arrays
from gradstore.interchange.importing import import_gradients
from gradstore.interchange.picks import export_selection
from gradstore.interchange.reading import IMPORTS, open_source
from gradstore.interchange.source import Source

__all__ = [
    "EXPORTS",
    "IMPORTS",
    "Exported",
    "Source",
    "export",
    "export_selection",
    "import_arrays",
    "import_gradients",
    "open_source",
]
