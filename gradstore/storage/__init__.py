"""Where bytes lie: folders on a disk, in a bucket or on a web server, all asked in the same way."""

from gradstore.storage.folder import Entry, Folder, Lock
from gradstore.storage.local import LocalFolder
from gradstore.storage.location import Location, open_folder, same_place, storage_options
from gradstore.storage.redaction import plain

__all__ = [
    "Entry",
    "Folder",
    "LocalFolder",
    "Location",
    "Lock",
    "open_folder",
    "plain",
    "same_place",
    "storage_options",
]
