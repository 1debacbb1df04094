"""The optimizer's moments by parameter name, from the files that trainers write."""

from gradstore.checkpoint.optimizer.moments import (
    FactoredMoments,
    Moments,
    load_factored_moments,
    load_moments,
)

__all__ = ["FactoredMoments", "Moments", "load_factored_moments", "load_moments"]
