r"""How the squared error of the 3-spin network falls with its width: free charges, fixed ones, random centres.

For each n and seed the particle flow starts from n i.i.d. units and runs up to a horizon T. There the error is that of
the mean-field limit at T, :math:`E(f-f_n)^2 = R(\rho_T) + O(1/n)`, and R(ρ_T) is not small: the flow creeps (it takes
T = 10⁵ and more), so that an error at fixed T says nothing about n. The claim is about t → ∞. From the flow's end the
same exact risk is therefore brought down further by L-BFGS with a fixed number of evaluations.

Baseline: the centres stay where they were drawn and the charges are optimal for them,
:math:`\min_c \|f\|^2 - 2\langle c, F\rangle + \langle c, Kc\rangle`. It shows what moving the centres is worth.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from wflow.energies import Energy, KernelEnergy
from wflow.errors import ComputationError, InputError, shown
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.run.solve import solve
from wflow.systems import System, get
from wflow.tools.checks import check_count, check_list, positive
from wflow.validation.training import Halt

KINDS = ("free", "fixed", "random centres", "free at T", "fixed at T", "SGD at T")
ROUNDS = 4
"""L-BFGS is started anew so often within its evaluations, with coordinates measured afresh."""
CUTOFF = 1e-13
"""Eigenvalues of K below this share of the largest are rounding and are left out of the baseline."""


@dataclass(frozen=True)
class ErrorAgainstN:
    """Squared errors E(f − f_n)² by kind, each of shape (sizes, seeds); NaN where nothing was computed.

    ``scale`` is ‖f‖², the error of the zero network; ``horizon`` is T, ``evaluations`` L-BFGS's allowance after it.
    """

    d: int
    kappa: float
    scale: float
    horizon: float
    evaluations: int
    neurons: np.ndarray
    errors: dict[str, np.ndarray]

    def mean(self, kind: str = "free") -> np.ndarray:
        """Mean over seeds relative to ‖f‖², shape (sizes,)."""
        return np.asarray(self._of(kind).mean(axis=1) / self.scale)

    def band(self, kind: str = "free") -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest over seeds relative to ‖f‖²."""
        e = self._of(kind) / self.scale
        return e.min(axis=1), e.max(axis=1)

    def envelope(self, kind: str = "free") -> float:
        """The smallest C with mean error ≤ C ‖f‖²/n at every n."""
        return float(np.nanmax(self.neurons * self.mean(kind)))

    def slope(self, kind: str = "free") -> tuple[float, float, float]:
        """Mean over seeds of the fitted exponent in n, with its 95% interval by Student's t; NaN with one seed.

        Raises
        ------
        InputError
            with fewer than two sizes
        """
        from scipy.stats import t as student

        e = self._of(kind)
        there = np.isfinite(e).all(axis=1)
        if there.sum() < 2:
            raise InputError(f"a slope of {shown(kind)} needs two sizes: give neurons=(n1, n2, …)")
        fits = np.polyfit(np.log(self.neurons[there]), np.log(e[there]), 1)[0]
        if fits.size < 2:
            return float(fits[0]), np.nan, np.nan
        reach = student.ppf(0.975, fits.size - 1) * fits.std(ddof=1) / np.sqrt(fits.size)
        return float(fits.mean()), float(fits.mean() - reach), float(fits.mean() + reach)

    def table(self) -> str:
        """Mean errors relative to ‖f‖², with slopes and envelopes."""
        head = f"d = {self.d}, kappa = {self.kappa:g}, T = {self.horizon:g}, then {self.evaluations} evaluations"
        lines = [
            f"3-spin, {head}; error/|f|^2, {self._of('free').shape[1]} seeds",
            f"{'n':>6}" + "".join(f"{k:>16}" for k in KINDS),
        ]
        means = {k: self.mean(k) for k in KINDS}
        for i, n in enumerate(self.neurons):
            lines.append(f"{n:6d}" + "".join(f"{means[k][i]:16.3e}" for k in KINDS))
        for kind in ("free", "fixed", "random centres"):
            if self.neurons.size > 1:
                fit, low, high = self.slope(kind)
                lines.append(
                    f"slope in n, {kind}: {fit:.2f} (95% {low:.2f} … {high:.2f}); "
                    f"error <= {self.envelope(kind):.3g} |f|^2/n"
                )
        return "\n".join(lines)

    def _of(self, kind: str) -> np.ndarray:
        if not isinstance(kind, str) or kind not in self.errors:
            raise InputError(f"kind {shown(kind)}: expected one of {', '.join(self.errors)}")
        return self.errors[kind]


def error_against_n(
    d: int = 10,
    *,
    neurons: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
    seeds: int = 3,
    kappa: float = 0.0,
    target_seed: int = 0,
    horizon: float = 1000.0,
    evaluations: int = 1000,
    sgd_neurons: Sequence[int] = (16, 32),
    rtol: float = 1e-3,
    workers: int | None = None,
) -> ErrorAgainstN:
    """Squared errors of bumps on the spherical 3-spin target over widths and seeds.

    Parameters
    ----------
    d, kappa, target_seed : of the system ``spherical-3-spin``; κ = 0 is 5/d
    neurons : widths n
    seeds : networks a width
    horizon : T, where the flow ends and the descent takes over
    evaluations : of risk and gradient, allowed to L-BFGS
    sgd_neurons : widths at which online SGD with batches of n² runs up to T beside the flow
    rtol : of the flow's adaptive steps
    workers : threads, by default one a core; results do not depend on it

    Raises
    ------
    InputError
        for sizes that are not positive
    ComputationError
        when a flow or a network fails

    Source: Rotskoff & Vanden-Eijnden (2018), Section 5.

    >>> error_against_n(5, neurons=[8], seeds=2, horizon=10.0, evaluations=50, sgd_neurons=()).neurons
    array([8])
    """
    sizes = sorted({check_count("neurons", n) for n in check_list("neurons", neurons, "widths")})
    if not sizes:
        raise InputError("neurons is empty: give widths such as (16, 64, 256)")
    check_count("seeds", seeds)
    check_count("evaluations", evaluations)
    positive("horizon", horizon)
    threads = check_count("workers", os.cpu_count() or 1 if workers is None else workers)
    common = {"d": d, "kappa": kappa, "target_seed": target_seed}
    systems = {c: get("spherical-3-spin", charges=c, **common) for c in ("free", "fixed")}
    energy, form = systems["free"].energy(), systems["free"].form()
    bumps = cast("KernelEnergy", energy)
    errors = {k: np.full((len(sizes), seeds), np.nan) for k in KINDS}
    halt = Halt()

    def one(job: tuple[str, int, int]) -> None:
        kind, n, s = job
        where = (sizes.index(n), s)
        if kind == "random centres":
            errors[kind][where] = optimal_charges(bumps, systems["free"].draw(n, s)[:, 1:])
        elif kind == "SGD at T":
            errors[kind][where] = trained(systems["free"], n, s, horizon, halt)
        else:
            system = systems[kind]
            start = Particles(system.draw(n, s), names=system.coordinates())
            ends = (0.0, horizon)
            flow = solve(
                system.flow(), start, ends, t_eval=ends, rtol=rtol, atol=1e-6, trackers=[halt]
            )
            if not flow.success:
                raise ComputationError(f"the flow of {n} units failed: {flow.message}")
            errors[f"{kind} at T"][where] = flow.risk[-1]
            points = flow.measures[-1].points()
            errors[kind][where] = descend(energy, points, evaluations, kind == "fixed", halt)[0]

    jobs = [(k, n, s) for k in KINDS[:3] for n in sizes for s in range(seeds)]
    jobs += [("SGD at T", n, s) for n in sgd_neurons if n in sizes for s in range(seeds)]
    jobs.sort(key=lambda job: -job[1])
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(one, jobs))
        except BaseException:
            # Ctrl-C, or one job that failed: the pool waits for its threads, so end them first.
            halt.asked = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return ErrorAgainstN(
        d=int(d),
        kappa=systems["free"].width(),
        scale=form.square_norm(),
        horizon=float(horizon),
        evaluations=evaluations,
        neurons=np.array(sizes),
        errors=errors,
    )


def descend(
    energy: Energy,
    points: np.ndarray,
    evaluations: int,
    fixed_charges: bool = False,
    halt: Halt | None = None,
) -> tuple[float, np.ndarray]:
    """Risk and units after L-BFGS on the risk of equally weighted units (c, y), started in ROUNDS rounds.

    Charges grow by orders of magnitude more than centres: a round measures each in its size at the round's start.
    """
    from scipy.optimize import minimize

    search: Any = minimize
    n = points.shape[0]
    weights = np.full(n, 1.0 / n)
    theta = points.copy()
    mobile = slice(int(fixed_charges), None)
    unit = energy.prepare(theta).field(weights).risk
    allowed = -(-evaluations // ROUNDS)
    options = {"maxfun": allowed, "maxiter": allowed, "maxcor": 20, "ftol": 0, "gtol": 0}
    risk = unit
    for _ in range(ROUNDS):
        size = np.full(theta.shape[1], np.sqrt((theta[:, 1:] ** 2).mean()))
        size[0] = np.sqrt((theta[:, 0] ** 2).mean())
        size = size[mobile]

        def risk_and_gradient(v: np.ndarray, size: np.ndarray = size) -> tuple[float, np.ndarray]:
            if halt is not None and halt.asked:
                raise ComputationError("the descent was halted: another run failed")
            theta[:, mobile] = v.reshape(n, -1) * size
            field = energy.prepare(theta).field(weights)
            slope = 2.0 / n * field.gradient()[:, mobile] * size
            return field.risk / unit, slope.ravel() / unit

        start = (theta[:, mobile] / size).ravel()
        best = search(risk_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        theta[:, mobile] = best.x.reshape(n, -1) * size
        risk = float(best.fun * unit)
    return risk, theta


def optimal_charges(energy: KernelEnergy, centres: np.ndarray) -> float:
    """Squared error of bumps at given centres with the charges that are best for them."""
    pull = energy.target.values(centres)
    size, vectors = np.linalg.eigh(energy.kernel.matrix(centres, centres))
    kept = size > CUTOFF * size[-1]
    return float(energy.constant - ((pull @ vectors[:, kept]) ** 2 / size[kept]).sum())


def trained(system: System, n: int, seed: int, horizon: float, halt: Halt) -> float:
    """Squared error after online SGD up to T with batches of n² samples, as published."""
    step = float(system.sgd["step_size"])
    run = sgd(
        system,
        n_neurons=n,
        step_size=step,
        n_steps=max(1, round(horizon / step)),
        batch_size=n * n,
        seed=seed,
        t_eval=[0.0, max(1, round(horizon / step)) * step],
        trackers=[halt],
    )
    if not run.success:
        raise ComputationError(f"SGD of {n} units failed: {run.message}")
    return float(run.risk[-1])
