r"""The observed order of a method: halve the mesh and the step, and see by how much the error falls."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.method import AnyMethod, Tolerance, get_method
from wflow.tools.checks import check_count, check_list, positive
from wflow.validation.exact import Exact


@dataclass(frozen=True)
class Orders:
    """A convergence table: cells an axis and steps of each run, its error, and the orders between runs.

    Attributes
    ----------
    method : its name
    norm, against : what ``errors`` are measured in, and from what
    cells, steps : of each run
    errors, h : one a run, (n,)
    """

    method: str
    norm: str
    against: str
    cells: tuple[int, ...]
    steps: tuple[int, ...]
    errors: np.ndarray
    h: np.ndarray
    """The mesh where it changes, else the step."""

    @property
    def orders(self) -> np.ndarray:
        """log(e₁/e₂)/log(h₁/h₂) of neighbouring runs."""
        ratios = np.log(self.errors[:-1] / self.errors[1:])
        return np.asarray(ratios / np.log(self.h[:-1] / self.h[1:]))

    def __str__(self) -> str:
        lines = [f"{self.method}, {self.norm} error against {self.against}"]
        lines.append(f"{'cells':>8} {'steps':>8} {'error':>10} {'order':>6}")
        orders = ["", *(f"{o:.2f}" for o in self.orders)]
        for n, k, e, o in zip(self.cells, self.steps, self.errors, orders, strict=True):
            lines.append(f"{n:8d} {k:8d} {e:10.2e} {o:>6}")
        return "\n".join(lines)


def observed_orders(
    method: str | AnyMethod,
    exact: Exact,
    t_end: float,
    *,
    cells: int | Sequence[int],
    steps: int | Sequence[int],
    against: str = "exact",
    norm: str = "L1",
    method_options: Mapping[str, Any] | None = None,
) -> Orders:
    r"""The table of errors of a grid method as the mesh or the step, or both, are refined.

    .. math:: e = \sum_i |\rho_i - \bar\rho_i|\,|\text{cell}_i| \approx C h^p

    Parameters
    ----------
    method : a name of ``wflow.solvers.methods()`` or a method object, for grids
    exact : a flow with its solution, such as :class:`~wflow.validation.exact.GaussianWell`
    t_end : where the solutions are compared; the run starts at 0
    cells, steps : of each run, an axis and in time; one number stands for all runs
    against : "exact", or "finest": the run with 8 times the steps of the last, which shows the order in time alone
    norm : "L1" of the densities, or "W1", the distance that mass has to be moved, on one axis
    method_options : options of the method by name

    Returns
    -------
    Orders

    Raises
    ------
    InputError
        for a method that does not act on grids, sequences of different lengths, and a step that the method refuses

    >>> from wflow.validation.exact import GaussianWell
    >>> well = GaussianWell(temperature=0.5, half_width=5.0)
    >>> table = observed_orders("scharfetter-gummel", well, 0.5, cells=(40, 80, 160), steps=(40, 80, 160))
    >>> bool(table.orders.min() > 1.9)
    True
    """
    chosen = get_method(method, method_options)
    if chosen.acts_on != "grid":
        raise InputError(
            f"method '{chosen.name}' acts on {chosen.acts_on}: orders are measured on grids"
        )
    for part in ("flow", "law"):
        if not callable(getattr(exact, part, None)):
            raise InputError(
                f"exact is a {type(exact).__name__} without {part}: give a GaussianWell, say"
            )
    flow = exact.flow()
    alone = not exact.transport
    if (flow.reaction_rate > 0 and not chosen.reacts) or alone != (chosen.name == "reaction"):
        raise InputError(
            f"method '{chosen.name}' solves another equation than this flow's, reaction_rate = "
            f"{flow.reaction_rate:g}{', transport off' if alone else ''}: its error would not fall"
        )
    if not isinstance(against, str) or against not in ("exact", "finest"):
        raise InputError(f"against = {shown(against)}: must be 'exact' or 'finest'")
    norms = ("L1", "W1") if exact.dimension == 1 else ("L1",)
    if not isinstance(norm, str) or norm not in norms:
        raise InputError(
            f"norm = {shown(norm)} on {exact.dimension} axes: must be 'L1', or 'W1' on one"
        )
    positive("t_end", t_end)
    n, k, fineness = _pairs(cells, steps)
    runs = list(zip(n, k, strict=True))
    ends = [march(chosen, flow, exact.law(0.0, c), t_end, s) for c, s in runs]
    if against == "exact":
        truths = [exact.law(t_end, c) for c in n]
    else:
        if len(set(n)) > 1:
            raise InputError(
                "against = 'finest' compares runs on one mesh: give one number of cells"
            )
        truths = [march(chosen, flow, exact.law(0.0, n[-1]), t_end, 8 * k[-1])] * len(n)
    errors = [distance(end, truth, norm) for end, truth in zip(ends, truths, strict=True)]
    return Orders(
        chosen.name,
        norm,
        "the exact solution" if against == "exact" else "the same with 8 times the steps",
        n,
        k,
        np.array(errors),
        1.0 / np.array(fineness),
    )


def march(
    method: AnyMethod, flow: GradientFlow, start: GridDensity, t_end: float, steps: int
) -> GridDensity:
    """``steps`` equal steps from 0 to ``t_end`` without error control."""
    problem = method.prepare(flow, start, Tolerance(1e12, 1.0), 0)
    y, h = problem.initial, t_end / steps
    carry = method.init(problem, 0.0, y)
    for j in range(steps):
        step = method.step(problem, j * h, h, y, carry)
        if step.status == "refused":
            raise InputError(
                f"method '{method.name}' refuses the step {h:g} at t = {j * h:g} ({step.reason}; "
                f"the limit there is {step.limit:g}): take more steps"
            )
        y, carry = step.y, step.carry
    return start.with_density(problem.fields(y)["density"])


def distance(one: GridDensity, other: GridDensity, norm: str) -> float:
    """∫|ρ − σ| ("L1"), or ∫|their distribution functions' difference| dx, which is W₁ on a line ("W1")."""
    if norm == "L1":
        return float((np.abs(one.density - other.density) * other.volumes).sum())
    apart = np.cumsum(one.weights() - other.weights())
    return float(np.abs(apart) @ other.widths[0])


def _pairs(
    cells: int | Sequence[int], steps: int | Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Both as tuples of one length, and the one that is refined: cells where they differ, steps otherwise."""
    n, k = _counts("cells", cells), _counts("steps", steps)
    runs = max(len(n), len(k))
    if {len(n), len(k)} - {1, runs} or runs < 2:
        raise InputError(
            f"{len(n)} numbers of cells and {len(k)} of steps: give two or more, as many of both or one of one"
        )
    n, k = n * (runs // len(n)), k * (runs // len(k))
    fineness = n if len(set(n)) > 1 else k
    if any(b <= a for a, b in itertools.pairwise(fineness)):
        raise InputError(f"cells {n} and steps {k}: each run must be finer than the one before")
    return n, k, fineness


def _counts(name: str, given: int | Sequence[int]) -> tuple[int, ...]:
    """Whole numbers of at least 1."""
    one = isinstance(given, int | float | str | np.number)
    return tuple(
        check_count(name, n) for n in ([given] if one else check_list(name, given, "whole numbers"))
    )
