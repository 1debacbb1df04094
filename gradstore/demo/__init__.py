"""A whole selection in two minutes: generated rows, a model made on the spot, and every public step."""

from gradstore.demo.result import DemoResult, SkillCount
from gradstore.demo.run import Scale, run_demo

__all__ = ["DemoResult", "Scale", "SkillCount", "run_demo"]
