"""G2IS: instructions chosen by walking over the mixed gradient graph."""

from gradstore.select.g2is.core import Core, mean_and_components, principal_components
from gradstore.select.g2is.result import WalkResult
from gradstore.select.g2is.robust import target_walk
from gradstore.select.g2is.selector import G2IS
from gradstore.select.g2is.walk import gradient_walk

__all__ = [
    "G2IS",
    "Core",
    "WalkResult",
    "gradient_walk",
    "mean_and_components",
    "principal_components",
    "target_walk",
]
