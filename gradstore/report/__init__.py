"""A page and pictures of what a store holds.

The room can be called: ``gradstore.report(store, …)`` is `gradstore.report.report`.
"""

import sys
from types import ModuleType
from typing import Any

from gradstore.report.run import report

__all__ = ["report"]


class _CallableRoom(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return report(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
