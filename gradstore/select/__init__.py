"""Choosing rows: selectors, what they see, and `select` itself.

The room can be called: ``gradstore.select(store, …)`` is `gradstore.select.select`.
"""

import sys
from types import ModuleType
from typing import Any

from gradstore.select import g2is
from gradstore.select.context import SelectionContext
from gradstore.select.excluded import excluded_rows
from gradstore.select.limits import Limits
from gradstore.select.picked import Picked
from gradstore.select.protocol import Selector
from gradstore.select.resolve import SelectorInfo, resolve, selectors
from gradstore.select.run import select
from gradstore.select.stability import stability
from gradstore.select.target import Target

__all__ = [
    "Limits",
    "Picked",
    "SelectionContext",
    "Selector",
    "SelectorInfo",
    "Target",
    "excluded_rows",
    "g2is",
    "resolve",
    "select",
    "selectors",
    "stability",
]


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Picked:
        return select(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
