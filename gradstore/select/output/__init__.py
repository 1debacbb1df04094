"""A choice as files: its rows, its scores, and the record that repeats it."""

from gradstore.select.output.record import read_record, record_of, replay, write_record
from gradstore.select.output.rows import FORMATS, write_rows
from gradstore.select.output.scores import score_table, write_scores

__all__ = [
    "FORMATS",
    "read_record",
    "record_of",
    "replay",
    "score_table",
    "write_record",
    "write_rows",
    "write_scores",
]
