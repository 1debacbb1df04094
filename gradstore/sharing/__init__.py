"""Stores for others: cards, copies, joins, conversions and removal; docs/sharing.md."""

from gradstore.sharing.card import write_card
from gradstore.sharing.convert import ConvertReport, convert
from gradstore.sharing.merge import MergeReport, merge
from gradstore.sharing.remove import Removal, remove
from gradstore.sharing.transfer import TransferReport, pull, push

__all__ = [
    "ConvertReport",
    "MergeReport",
    "Removal",
    "TransferReport",
    "convert",
    "merge",
    "pull",
    "push",
    "remove",
    "write_card",
]
