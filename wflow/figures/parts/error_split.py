r"""One dimension, where every minimiser is certified: what the error of a trained network is made of.

.. math:: \|f_t - f_*\| \le \underbrace{\|f_\lambda - f_*\|}_{\text{penalty}}
          + \underbrace{\|\hat f_\lambda - f_\lambda\|}_{\text{samples}}
          + \underbrace{\|f_t - \hat f_\lambda\|}_{\text{training}}

f_λ minimises ½R + λ‖f‖₁ over the population, :math:`\hat f_\lambda` over L samples with noise, and f_t is a flow with
the ridge λ at time t. What n neurons drawn from the minimiser's law miss of it stands beside them, exactly.
"""

from __future__ import annotations

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.run.solve import solve
from wflow.solvers.statics import expected_excess
from wflow.spaces import VariationFit, penalised

TERMS = ("whole", "penalty", "samples", "neurons", "training", "seen", "certificate")
"""Squares of distances in L²: f_t to f*, f_λ to f*, f̂_λ to f_λ, n = √L neurons to f̂_λ, f_t to f̂_λ everywhere and at the
samples, and what the certificate says that this is at most."""
NOISE = 0.3
STUDENTS = 64
PLACES = np.linspace(-1.0, 1.0, 2002)[:-1] + 1.0 / 2001
"""Midpoints that stand for the uniform law on (−1, 1)."""


def target(x: np.ndarray) -> np.ndarray:
    """f* = 2|x| − 1, (m,) at x (m,)."""
    return np.asarray(2 * np.abs(x) - 1)


def penalty(samples: int) -> float:
    """λ = s/10 L^{−1/2}, s the noise."""
    return 0.1 * NOISE / float(np.sqrt(samples))


def of_population(samples: int, nodes: int) -> VariationFit:
    """f_λ on evenly spaced nodes."""
    x = (np.arange(nodes) + 0.5) * 2 / nodes - 1
    return penalised(x, target(x), penalty(samples), tolerance=1e-4)


def certified(value: float, fit: VariationFit) -> float:
    """The most that the mean of (f − f̂)² at the samples can be of an f whose ½R + λ‖f‖ is no more than ``value``.

    ½R is a square in f there, so that half the mean of (f − f°)² is no more than the excess of f over the minimiser f°,
    and f̂ is as far from f° as its gap allows.
    """
    return float(
        (np.sqrt(2.0 * max(value - fit.lower, 0.0)) + np.sqrt(2.0 * max(fit.gap, 0.0))) ** 2
    )


def split(samples: int, seed: int, best: VariationFit, t_end: float) -> np.ndarray:
    """The squares of TERMS, (7,), of one draw of samples."""
    rng = np.random.default_rng([samples, seed])
    x = rng.uniform(-1.0, 1.0, samples)
    y, lam = target(x) + NOISE * rng.standard_normal(samples), penalty(samples)
    fit = penalised(x, y, lam, tolerance=1e-7)
    energy = FeatureEnergy("relu", x, y, charges=True, offset=True)
    start = Particles(rng.standard_normal((STUDENTS, 3)), names=energy.coordinates)
    flow = GradientFlow(energy, ridge=lam)
    run = solve(flow, start, (0.0, t_end), t_eval=[0.0, t_end], rtol=1e-2)
    trained = energy.predict(run.measures[-1], PLACES)
    whole, direct, least = target(PLACES), fit.predict(PLACES), best.predict(PLACES)
    there = FeatureEnergy("relu", PLACES, whole, charges=True, offset=True)
    bound = certified(run.free_energy[-1], fit)
    seen = float(((energy.predict(run.measures[-1], x) - fit.predict(x)) ** 2).mean())
    apart = [(whole, trained), (whole, least), (least, direct)]
    terms = [float(((a - b) ** 2).mean()) for a, b in apart]
    neurons = expected_excess(there, fit.to_particles(), max(1, round(samples**0.5)))
    return np.array([*terms, neurons, float(((trained - direct) ** 2).mean()), seen, bound])
