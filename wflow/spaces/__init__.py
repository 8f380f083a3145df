"""The function spaces behind mean-field and lazy training: F₁ of variation norm, F₂ of its kernel."""

from wflow.spaces.margins import Margin, max_margin
from wflow.spaces.moments import moment_bound
from wflow.spaces.norms import BarronNorm, barron_norm, least_norm
from wflow.spaces.penalised import VariationFit, penalised
from wflow.spaces.ridge import RidgeFit, random_features, ridge_fit
from wflow.spaces.trained import Trained, trained_margin

__all__ = [
    "BarronNorm",
    "Margin",
    "RidgeFit",
    "Trained",
    "VariationFit",
    "barron_norm",
    "least_norm",
    "max_margin",
    "moment_bound",
    "penalised",
    "random_features",
    "ridge_fit",
    "trained_margin",
]
