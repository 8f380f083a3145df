"""Statics: the risk minimised over measures, certified; Gibbs states; what N neurons cost on average; F = K G."""

from wflow.solvers.statics.continuation import Continuation, continue_in_temperature
from wflow.solvers.statics.euler_lagrange import ChargeDensity, solve_euler_lagrange
from wflow.solvers.statics.finite_size import excess_bound, expected_excess, expected_risk
from wflow.solvers.statics.gibbs import GibbsState, gibbs_gap, solve_gibbs
from wflow.solvers.statics.minimiser import Minimiser
from wflow.solvers.statics.on_grid import duality_gap, minimise_on_grid
from wflow.solvers.statics.sparse import minimise_sparse

__all__ = [
    "ChargeDensity",
    "Continuation",
    "GibbsState",
    "Minimiser",
    "continue_in_temperature",
    "duality_gap",
    "excess_bound",
    "expected_excess",
    "expected_risk",
    "gibbs_gap",
    "minimise_on_grid",
    "minimise_sparse",
    "solve_euler_lagrange",
    "solve_gibbs",
]
