"""Statics: least risks, certified; Gibbs states; N neurons on average; F = K G; stability and critical parameters."""

from wflow.solvers.statics.continuation import Continuation, continue_in_temperature
from wflow.solvers.statics.critical import Bracket, critical
from wflow.solvers.statics.euler_lagrange import ChargeDensity, solve_euler_lagrange
from wflow.solvers.statics.finite_size import excess_bound, expected_excess, expected_risk
from wflow.solvers.statics.gibbs import GibbsState, gibbs_gap, solve_gibbs
from wflow.solvers.statics.minimiser import Minimiser
from wflow.solvers.statics.null_space import NullSpace, null_space
from wflow.solvers.statics.on_grid import duality_gap, minimise_on_grid
from wflow.solvers.statics.sparse import minimise_sparse
from wflow.solvers.statics.stability import Spectrum, stability

__all__ = [
    "Bracket",
    "ChargeDensity",
    "Continuation",
    "GibbsState",
    "Minimiser",
    "NullSpace",
    "Spectrum",
    "continue_in_temperature",
    "critical",
    "duality_gap",
    "excess_bound",
    "expected_excess",
    "expected_risk",
    "gibbs_gap",
    "minimise_on_grid",
    "minimise_sparse",
    "null_space",
    "solve_euler_lagrange",
    "solve_gibbs",
    "stability",
]
