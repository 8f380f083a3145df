r"""What splittings into {transport with diffusion} 𝒯 and {birth–death} ℛ share: the parts, and an embedded error.

Drift and diffusion stay together (apart they break the no-flux wall). The embedded error compares the product with
the sum of what the parts do by themselves,

.. math:: \mathcal C(h)\rho - \bigl[\mathcal R_0(h)\rho + (\mathcal T(h)\sigma - \sigma)\bigr],

σ what 𝒯 started from and ℛ₀ the reaction with Ψ of the start: first order, hence a difference of O(h²) that is 0
where one of the parts does nothing and Ψ does not change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.grid.reaction import frozen_reaction, react
from wflow.solvers.method import Arrays, Step, Tolerance, get_method, in_halves


@dataclass(frozen=True)
class OperatorSplitting(GridMethod[GridProblem]):
    """A product of flows of the parts; ``transport`` names the grid method for drift and diffusion.

    "auto" is ``muscl`` at τ = 0 and ``scharfetter-gummel`` above.
    """

    transport: str = "auto"

    error_order = 2
    reacts = True
    preserves = frozenset({"mass", "positive", "energy"})

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GridProblem:
        part = self.part(flow)
        if flow.temperature == 0:
            part = part.within(tolerance)
        problem = part.prepare(flow, measure, tolerance, seed)
        if not isinstance(problem, GridProblem):
            raise InputError(
                f"transport = '{self.transport}' on 1 axis moves cells of its own, and births need the grid's: "
                "use 'jko-linearised'"
            )
        problem.transport = part
        return problem

    def part(self, flow: GradientFlow) -> GridMethod[Any]:
        """The method of 𝒯."""
        name = self.transport
        if name == "auto":
            name = "scharfetter-gummel" if flow.temperature > 0 else "muscl"
        chosen = get_method(name)
        if not isinstance(chosen, GridMethod) or chosen.reacts:
            raise InputError(
                f"transport = '{name}': name a method for drift and diffusion of densities on a grid, "
                "such as 'muscl' or 'scharfetter-gummel'"
            )
        return chosen

    def first_step(self, problem: GridProblem, t: float, y: Arrays, carry: Arrays) -> float:
        part = problem.transport
        return min(1e-3, part.first_step(problem, t, y, part.init(problem, t, y)))

    def transported(self, problem: GridProblem, t: float, h: float, start: np.ndarray) -> Step:
        """𝒯(h) from ``start``; a part without an error of its own is halved to have one."""
        part, y = problem.transport, {"density": start}
        carry = part.init(problem, t, y)
        whole = part.step(problem, t, h, y, carry)
        if not part.control(problem).fixed or whole.status == "refused":
            return whole
        halves = in_halves(partial(part.step, problem), t, h, y, carry)
        if halves.status == "refused":
            return halves
        apart = halves.y["density"] - whole.y["density"]
        return replace(halves, error=problem.error(apart * problem.volumes))

    def reacted(
        self, problem: GridProblem, t: float, h: float, rho: np.ndarray, carry: Arrays
    ) -> np.ndarray:
        """ℛ(h) from ``rho``, whose Ψ may stand in the carry."""
        psi = carry["potential"] if "potential" in carry else problem.potential(rho)[0]
        return react(problem, t, h, rho, psi)

    def finished(
        self,
        problem: GridProblem,
        h: float,
        before: tuple[Arrays, Arrays],
        transport: tuple[np.ndarray, Step],
        new: np.ndarray,
        clock: float,
    ) -> Step:
        """The step to ``new`` from the state ``before``, unless F rose; ``transport``: σ and what 𝒯 made of it."""
        (y, carry), (start, moved) = before, transport
        after = problem.state(new)
        alone = frozen_reaction(problem, clock, y["density"], carry["potential"])
        apart = alone + (moved.y["density"] - start)
        split = problem.error((new - apart) * problem.volumes)
        return problem.accept(h, y, carry, new, after, error=moved.error + split, limit=moved.limit)
