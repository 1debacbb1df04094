"""Model + batch -> per-example gradients -> direction -> projection -> store."""

from gradstore.gradients.extract import extract
from gradstore.gradients.plan import Plan, plan, show
from gradstore.gradients.projection import Projector, make_projector
from gradstore.gradients.report import ExtractReport

__all__ = ["ExtractReport", "Plan", "Projector", "extract", "make_projector", "plan", "show"]
