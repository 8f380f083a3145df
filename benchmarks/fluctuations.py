"""Do networks scatter around the limit as the tangent flow says? Ratios of measured to predicted, with standard errors.

    python benchmarks/fluctuations.py [--networks 320] [--neurons 4000] [toy] [isotropic-gaussians] [gaussian-mixture]

Networks of N neurons are drawn from the law that the prediction stands for, which has atoms: neurons that start
together stay together, so that N costs nothing. They move by the classical Runge–Kutta method on a grid of their own.
Beside the plain ratio stands one with the square of the first-order answer as a control variate, whose mean is known:
what is left is of higher order in N^-1/2. Every ratio has its own standard error, from the scatter over networks: of
the plain one √(2/M) for M networks, if one direction in the outputs is all. How far the law itself stands for ρ₀ is
told by halving it. Last comes N·E(R_N − R), with the first-order answers of risk and outputs and their known means
taken out.
"""

from __future__ import annotations

import argparse

import numpy as np

import wflow
from wflow.validation import fluctuations

Case = tuple[wflow.GradientFlow, wflow.Particles, list[float], int]
"""The flow, the law, the times, and the steps between one time and the next."""
RADII, TAILS = 600, 0.2
"""Bins of A3's law, and the share of them that lie even in r, far into its tails."""


def toy() -> Case:
    """Tanh neurons with charges on a wave."""
    x, rng = np.linspace(-2.0, 2.0, 20), np.random.default_rng(3)
    energy = wflow.energies.FeatureEnergy("tanh", x, np.sin(2 * x), charges=True)
    law = wflow.Particles(rng.normal(size=(100, 2)), rng.dirichlet(np.full(100, 5.0)))
    return wflow.GradientFlow(energy), law, [0.0, 0.5, 1.0, 2.0, 3.0, 4.0], 20


def isotropic_gaussians() -> Case:
    """A3 at its published parameters, reduced to |w|, in bins whose ends are close in the tails as well.

    From t = 3 on the smallest neurons fall back to 0, one in ten by t = 10. Whoever starts at the parting matters most,
    and bins of equal mass are too wide there until it has reached the bulk.
    """
    from scipy.stats import chi

    system = wflow.systems.get("isotropic-gaussians")
    scale = system.start_radius() / np.sqrt(system.d)
    r = np.linspace(*scale * chi.ppf([1e-9, 1 - 1e-9], system.d), 20_001)
    mixed = (1 - TAILS) * chi.cdf(r / scale, system.d) + TAILS * (r - r[0]) / (r[-1] - r[0])
    ends = np.interp(np.linspace(mixed[0], mixed[-1], RADII + 1), mixed, r) / scale
    masses = np.diff(chi.cdf(ends, system.d))
    # E[χ_d; u < χ_d < v] = E χ_d · P(u < χ_{d+1} < v).
    means = scale * chi.mean(system.d) * np.diff(chi.cdf(ends, system.d + 1)) / masses
    law = wflow.Particles(means[:, None], masses / masses.sum(), names=("r",))
    return system.flow(), law, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 40


def gaussian_mixture() -> Case:
    """A6 from its good start: c ~ N(0, 1), y uniform on (-2, 2)."""
    system = wflow.systems.get("gaussian-mixture", evaluator="features")
    z, w = np.polynomial.hermite_e.hermegauss(16)
    u, v = np.polynomial.legendre.leggauss(28)
    at = np.stack(np.meshgrid(z, 2 * u, indexing="ij"), axis=-1).reshape(-1, 2)
    masses = np.outer(w, v).ravel()
    return system.flow(), wflow.Particles(at, masses / masses.sum()), [0.0, 1, 2, 4, 8, 16], 20


CASES = {"toy": toy, "isotropic-gaussians": isotropic_gaussians, "gaussian-mixture": gaussian_mixture}  # fmt: skip


def outputs(
    flow: wflow.GradientFlow,
    points: np.ndarray,
    masses: np.ndarray,
    times: list[float],
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """f_N (T, Q) and R_N (T,) of one network."""
    f, risk = [], []

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        return -flow.schedule(t) * flow.energy.prepare(x).field(masses).gradient()

    x = points.copy()
    for start, end in zip([0.0, *times[:-1]], times, strict=True):
        h = (end - start) / steps
        for k in range(steps if h > 0 else 0):
            t = start + k * h
            k1 = velocity(t, x)
            k2 = velocity(t + 0.5 * h, x + 0.5 * h * k1)
            k3 = velocity(t + 0.5 * h, x + 0.5 * h * k2)
            k4 = velocity(t + h, x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        field = flow.energy.prepare(x).field(masses)
        f.append(field.prediction)
        risk.append(field.risk)
    return np.array(f), np.array(risk)


def shown(values: np.ndarray) -> str:
    return "  ".join(f"{v:9.4g}" for v in np.atleast_1d(values))


def compare(name: str, networks: int, neurons: int, seed: int) -> None:
    flow, law, times, steps = CASES[name]()
    found = fluctuations(flow, law, times)
    p, points, weights = flow.energy.weights, law.points(), law.weights()
    limit, risk = outputs(flow, points, weights, times, steps)
    on_risk = found.risk_influence(points)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(neurons, weights, size=networks) / neurons
    linear = found.output_response(points, drawn)
    squares, gaps = [], []
    for masses in drawn:
        f, r = outputs(flow, points, masses, times, steps)
        squares.append(neurons * (f - limit) ** 2 @ p)
        gaps.append(r - risk)
    v, gap, luck, line = (
        np.array(squares),
        np.array(gaps),
        neurons * linear**2 @ p,
        drawn @ on_risk.T,
    )
    root = np.sqrt(networks)
    print(f"\n{name}: {networks} networks of {neurons} neurons, rank {found.rank}")
    print(f"{'t':34}", shown(found.t))
    print(f"{'output variance, predicted':34}", shown(found.output_variance))
    if name != "toy":  # its law is no quadrature
        print(f"{'  uncertain by the law, at most':34}", shown(found.law_error()))
    contracted = found.output_variance / found.resampling_variance
    print(f"{'  as a share of C_t':34}", shown(contracted))
    print(f"{'  measured / predicted':34}", shown(v.mean(0) / found.output_variance))
    print(f"{'  its standard error':34}", shown(v.std(0) / root / found.output_variance))
    print(f"{'  with the control':34}", shown(1 + (v - luck).mean(0) / found.output_variance))
    print(f"{'  its standard error':34}", shown((v - luck).std(0) / root / found.output_variance))
    scale, raw = found.risk_variance, neurons * (gap - gap.mean(0)) ** 2
    rest = raw - neurons * line**2
    print(f"{'risk variance, predicted':34}", shown(scale))
    print(f"{'  measured / predicted':34}", shown(raw.mean(0) / scale))
    print(f"{'  its standard error':34}", shown(raw.std(0) / root / scale))
    print(f"{'  with the control':34}", shown(1 + rest.mean(0) / scale))
    print(f"{'  its standard error':34}", shown(rest.std(0) / root / scale))
    # For the square loss R_N − R is its first-order answer and Σ p g², and what the flow's curvature adds.
    left = neurons * (gap - line) - (luck - found.output_variance)
    print(f"{'N E(R_N - R), predicted':34}", shown(found.bias))
    print(f"{'  measured':34}", shown(left.mean(0)))
    print(f"{'  its standard error':34}", shown(left.std(0) / root))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--networks", type=int, default=320)
    parser.add_argument("--neurons", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.cases:
        compare(name, asked.networks, asked.neurons, asked.seed)


if __name__ == "__main__":
    main()
