"""Networks of many layers in mean-field scaling, and the neuronal ensembles that are their limits."""

from wflow.layers import Ensemble, Flow, Units
from wflow.multilayer.coupling import coupled, distance
from wflow.multilayer.diversity import diversity
from wflow.multilayer.feature_flow import FeatureFlow, with_features
from wflow.multilayer.hypotheses import Hypotheses, WatchHypotheses, hypotheses
from wflow.multilayer.iid import iid_limit, iid_network, normal_atoms
from wflow.multilayer.independence import independence
from wflow.multilayer.starts import feature_regression, positions, types
from wflow.multilayer.train import sgd

__all__ = [
    "Ensemble",
    "FeatureFlow",
    "Flow",
    "Hypotheses",
    "Units",
    "WatchHypotheses",
    "coupled",
    "distance",
    "diversity",
    "feature_regression",
    "hypotheses",
    "iid_limit",
    "iid_network",
    "independence",
    "normal_atoms",
    "positions",
    "sgd",
    "types",
    "with_features",
]
