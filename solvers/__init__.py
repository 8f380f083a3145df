"""How a flow is advanced: one short file a method."""

from wflow.solvers.method import (
    Method,
    Problem,
    Step,
    Tolerance,
    choose_method,
    get_method,
    methods,
    register,
)

__all__ = [
    "Method",
    "Problem",
    "Step",
    "Tolerance",
    "choose_method",
    "get_method",
    "methods",
    "register",
]
