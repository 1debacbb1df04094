"""Whether a store is what its manifests say, whether its numbers can be, and how what is broken is mended."""

from gradstore.inspection.doctor import Diagnosis, Finding, diagnose
from gradstore.inspection.findings import Problem
from gradstore.inspection.repair import Repair, repair
from gradstore.inspection.verify import verify

__all__ = ["Diagnosis", "Finding", "Problem", "Repair", "diagnose", "repair", "verify"]
