r"""What N neurons drawn from ρ cost on average, exactly.

.. math:: R_N(\theta) = R_\# + \frac2N\sum_i V(\theta_i) + \frac1{N^2}\sum_{i,j}U(\theta_i,\theta_j)
          = R(\hat\rho_N), \qquad
          E R_N - R(\rho) = \frac1N\Bigl[\int U(\theta,\theta)\,d\rho - \iint U\,d\rho\,d\rho\Bigr]

for independent θ_i ~ ρ: the N diagonal terms of the double sum are the whole difference. At a minimiser ρ* it gives

.. math:: \inf R \le \inf R_N \le \inf R + \frac KN, \qquad K = \int U(\theta,\theta)\,d\rho_*.
"""

from __future__ import annotations

import numpy as np

from wflow.energies.base import Energy
from wflow.measures import Measure
from wflow.solvers.statics.objective import law_of, require_affine
from wflow.tools.checks import check_count


def expected_excess(energy: Energy, measure: Measure, n: int = 1) -> float:
    r"""The average excess risk of n independent neurons over their law.

    .. math:: E R_n - R(\rho) = \frac1n\Bigl[\int U(\theta,\theta)\,d\rho - \iint U\,d\rho\,d\rho\Bigr] \ge 0

    Parameters
    ----------
    energy : any energy with the square loss
    measure : ρ, of mass 1; the cells of a grid count as point masses at their centres
    n : number of neurons, at least 1; the default gives the bracket itself

    Raises
    ------
    InputError
        for another loss, a mass other than 1, another dimension than the energy's, or n < 1

    Source: Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, eq. (3) and proposition 1.

    >>> from wflow.energies import FeatureEnergy
    >>> from wflow.measures import Particles
    >>> energy = FeatureEnergy("identity", [1.0], [0.0])      # U(w, w') = ww'
    >>> expected_excess(energy, Particles([-1.0, 1.0]), n=4)  # a variance of 1, over 4
    0.25
    """
    n = check_count("n", n)
    require_affine(energy)
    points, weights = law_of(energy, measure)
    prepared = energy.prepare(points)
    nothing = prepared.field(np.zeros(weights.size)).first_variation()
    both = float(weights @ (np.asarray(prepared.field(weights).first_variation()) - nothing))
    return (float(weights @ energy.diagonal(points)) - both) / n


def expected_risk(energy: Energy, measure: Measure, n: int) -> float:
    r"""The average risk E R_n of n independent neurons θ_i ~ ρ, R(ρ) + ``expected_excess``, ρ the ``measure``.

    Parameters and refusals are those of :func:`expected_excess`.

    >>> from wflow.energies import FeatureEnergy
    >>> from wflow.measures import Particles
    >>> energy = FeatureEnergy("identity", [1.0], [3.0])      # R = (3 - mean)²
    >>> expected_risk(energy, Particles([-1.0, 1.0]), n=2)
    9.5
    """
    excess = expected_excess(energy, measure, n)
    return float(energy.prepare(measure.points()).field(measure.weights()).risk) + excess


def excess_bound(energy: Energy, minimiser: Measure) -> float:
    r"""K = ∫U(θ, θ)dρ* of a minimiser ρ*: inf R ≤ inf R_N ≤ inf R + K/N for every N.

    ``expected_excess(energy, ρ*, N)`` in place of K/N is sharper, since it takes ∬U dρ*dρ* off.

    Raises
    ------
    InputError
        for another loss, a mass other than 1, or another dimension than the energy's

    >>> from wflow.energies import FeatureEnergy
    >>> from wflow.measures import Particles
    >>> excess_bound(FeatureEnergy("identity", [1.0], [0.0]), Particles([-1.0, 1.0]))
    1.0
    """
    require_affine(energy)
    points, weights = law_of(energy, minimiser)
    return float(weights @ energy.diagonal(points))
