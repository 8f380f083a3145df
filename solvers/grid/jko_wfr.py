r"""Minimising movements of the Wasserstein–Fisher–Rao flow by splitting: transport by a movement, then exact reaction.

.. math:: \rho_{k+1/2} = \operatorname{argmin}_\rho\; F(\rho) + \frac{W_2^2(\rho,\rho_k)}{2\,\xi\,dt}, \qquad
          \rho_{k+1} = \mathcal R(dt)\,\rho_{k+1/2}

The first half is ``jko-linearised``. The second is birth–death, exact for a Ψ frozen over each of its parts: one part,
or as many as it takes for the free energy to fall. Both halves lower F, so the step does at every dt. First order.
Source: Gallouët & Monsaingeon, SIAM J. Math. Anal. 49 (2017) 1100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.solvers.grid.jko_linearised import JkoLinearised, JkoProblem
from wflow.solvers.grid.parts.problem import energy_rises
from wflow.solvers.grid.reaction import react
from wflow.solvers.method import Arrays, Step, register

HALVINGS = 10
AT_REST = 1e-9
"""Share of the mass below which what birth–death would change is left alone."""
SOLVED = ("residual", "gap", "newton_steps")


@register
@dataclass(frozen=True)
class JkoWfr(JkoLinearised):
    """A linearised minimising movement, then birth–death, with the fixed step ``step_size``."""

    name = "jko-wfr"
    reacts = True

    def step(self, problem: JkoProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        moved = super().step(problem, t, h, y, carry)
        if moved.status == "refused" or problem.flow.reaction_rate == 0:
            return moved
        solved = {k: moved.carry[k] for k in SOLVED}
        rho = moved.y["density"]
        new = react(problem, t, h, rho, moved.carry["potential"])
        change = float((np.abs(new - rho) * problem.volumes).sum())
        if change <= AT_REST * float(moved.carry["mass"]):
            return moved
        for k in range(HALVINGS):
            found = _reacted(problem, t, h, moved, 2**k)
            if found is not None:
                if energy_rises(carry, found.carry):
                    # At rest: what rounding adds in two halves is more than it may be in one step.
                    return moved
                return Step(found.y, found.carry | solved)
        why = "the free energy rises under birth-death"
        return Step.refused(y, carry, why, 0.5 * h)


def _reacted(problem: JkoProblem, t: float, h: float, start: Step, parts: int) -> Step | None:
    """Birth–death over h in equal parts; None where the free energy rises in one of them."""
    now, part = start, h / parts
    for k in range(parts):
        rho = now.y["density"]
        new = react(problem, t + k * part, part, rho, now.carry["potential"])
        after = problem.state(new)
        if energy_rises(now.carry, after):
            return None
        new, after = problem.settled(new, after)
        now = Step({"density": new}, after)
    return now
