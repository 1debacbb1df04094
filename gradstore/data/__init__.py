"""Rows of a data file, their conversations, and the tokens that a model learns from them."""

from __future__ import annotations

from gradstore.data.encode import ChatTokenizer
from gradstore.data.formats import FORMATS
from gradstore.data.load import DataFile, load_rows
from gradstore.data.show import show

__all__ = ["FORMATS", "ChatTokenizer", "DataFile", "load_rows", "show"]
