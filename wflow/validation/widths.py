r"""How the squared error of the 3-spin network falls with its width, by its own flow and by SGD.

For each n and seed the particle flow starts from n i.i.d. units and runs to a horizon T. Its error

.. math:: E(f-f_n)^2 = R(\rho_T) + O(1/n)

is that of the mean-field limit at T as long as the limit has not learnt the target: the flow creeps, and an error at a
short T says nothing about n. An implicit method takes it to T = 10⁶, where the limit interpolates or nearly does; no
other descent helps it. How far it has come by then, the errors at earlier times show.

SGD ends where the flow's time is short, in units P: with batches of n it scatters around its flow by O(1/P) = O(1/n),
and a quench, batches of n² from some time on, takes that out of what decays after it. Measured is the squared distance
of both networks, :math:`E(f_{SGD}-f_{flow})^2`.

Baseline of bumps: the centres stay where they were drawn and the charges are optimal for them,
:math:`\min_c \|f\|^2 - 2\langle c, F\rangle + \langle c, Kc\rangle`. It shows what moving the centres is worth.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np

from wflow.energies import KernelEnergy
from wflow.errors import ComputationError, InputError, shown
from wflow.kernels.parallel import one_blas_thread
from wflow.measures import Measure, Particles
from wflow.networks import sgd
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.systems import System
from wflow.systems.shared.sphere import frames
from wflow.systems.spherical_3_spin import SphericalThreeSpin
from wflow.tools.checks import check_count, check_list, positive
from wflow.validation.training import Halt, check_seeds
from wflow.validation.verdicts import FEWEST_SIZES

__all__ = ["ErrorAgainstN", "error_against_n"]

KINDS = ("free", "fixed", "random centres")
TRAINED = ("SGD", "quenched SGD")
CUTOFF = 1e-13
"""Eigenvalues of K below this share of the largest are rounding and are left out of the baseline."""
FRESH = 1 << 14
"""Points of the sphere that networks are compared at, none of them seen in training."""
FAR = 0.5
"""Above this share of |f|² a flow's error is the limit's, and its slope says nothing about 1/n."""
QUENCH = 0.8
"""The share of SGD's time after which its batches have n² samples."""


@dataclass(frozen=True)
class ErrorAgainstN:
    """Squared errors by kind, each of shape (sizes, seeds); NaN where nothing was computed.

    ``d`` and ``unit`` say of which 3-spin system, ``neurons`` are the sizes. ``scale`` is ‖f‖², the error of the zero
    network; ``horizon`` is T; ``course`` (times, sizes, seeds) holds the errors with free charges at ``times``. "SGD"
    and "quenched SGD" are squared distances from the flow of one start.
    """

    d: int
    unit: str
    scale: float
    horizon: float
    neurons: np.ndarray
    times: np.ndarray
    course: np.ndarray
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

        The interval is over starts of networks: all of them learn one target, and other targets are not counted.

        Raises
        ------
        InputError
            with fewer than three sizes
        """
        from scipy.stats import t as student

        e = self._of(kind)
        there = np.isfinite(e).all(axis=1)
        if there.sum() < FEWEST_SIZES:
            raise InputError(
                f"a slope of {shown(kind)} needs at least three sizes, two carry no line: give neurons=(n1, n2, n3, …)"
            )
        fits = np.polyfit(np.log(self.neurons[there]), np.log(e[there]), 1)[0]
        if fits.size < 2:
            return float(fits[0]), np.nan, np.nan
        reach = student.ppf(0.975, fits.size - 1) * fits.std(ddof=1) / np.sqrt(fits.size)
        return float(fits.mean()), float(fits.mean() - reach), float(fits.mean() + reach)

    def findings(self) -> list[str]:
        """The error of the widest network of each kind, with the slope where there are three widths to fit.

        Of flows it is said where even the widest is far from the target at the horizon.
        """
        found = []
        for kind, each in self.errors.items():
            widths = self.neurons[np.isfinite(each).all(axis=1)]
            if widths.size == 0:
                continue
            last = self.mean(kind)[list(self.neurons).index(widths[-1])]
            line = f"{self.unit}, d = {self.d}, {kind}: {last:.2e} |f|^2 at n = {widths[-1]}"
            if widths.size >= FEWEST_SIZES:
                fit, low, high = self.slope(kind)
                line += f", error ~ n^{fit:.2f} (95% over starts {low:.2f} … {high:.2f})"
            if kind == "free" and last > FAR:
                line += f"; no width is near the target at t = {self.horizon:g} yet"
            found.append(line)
        return found

    def table(self) -> str:
        """Mean errors relative to ‖f‖², with slopes."""
        seeds = self._of("free").shape[1]
        lines = [
            f"3-spin, {self.unit}, d = {self.d}, T = {self.horizon:g}; error/|f|^2, {seeds} seeds",
            f"{'n':>6}" + "".join(f"{k:>16}" for k in self.errors),
        ]
        means = [self.mean(k) for k in self.errors]
        for i, n in enumerate(self.neurons):
            lines.append(f"{n:6d}" + "".join(f"{m[i]:16.3e}" for m in means))
        return "\n".join([*lines, *self.findings()])

    def _of(self, kind: str) -> np.ndarray:
        if not isinstance(kind, str) or kind not in self.errors:
            raise InputError(f"kind {shown(kind)}: expected one of {', '.join(self.errors)}")
        return self.errors[kind]


def error_against_n(
    d: int = 10,
    *,
    unit: str = "rbf",
    neurons: Sequence[int] = (16, 32, 64),
    seeds: int = 5,
    kappa: float = 0.0,
    target_seed: int = 0,
    nodes: int = 4096,
    horizon: float = 1e6,
    times: Sequence[float] = (),
    sgd_neurons: Sequence[int] = (),
    sgd_horizon: float = 1000.0,
    rtol: float = 0.1,
    workers: int | None = None,
) -> ErrorAgainstN:
    """Squared errors of networks on the spherical 3-spin target over widths and seeds.

    Parameters
    ----------
    d, unit, kappa, target_seed, nodes : of the system ``spherical-3-spin``; κ = 0 is 5/d, nodes are of sigmoids, whose
        errors are measured on others
    neurons : widths n; the flow of 256 bumps takes a minute or two to 10⁶
    seeds : networks a width
    horizon : T, where the flow ends
    times : earlier times at which its error is kept
    sgd_neurons : widths at which online SGD runs up to ``sgd_horizon`` beside the flow
    rtol : of positions in the flow's adaptive steps; the error at the end hangs less on it, by some 1% at 0.1
    workers : threads, by default one a core; results do not depend on it

    Raises
    ------
    InputError
        for sizes that are not positive
    ComputationError
        when a flow or a network fails

    Source: Rotskoff & Vanden-Eijnden (2018), Section 5.

    >>> error_against_n(5, neurons=[8], seeds=2, horizon=10.0).mean("fixed") > 0.9
    array([ True])
    """
    sizes = sorted({check_count("neurons", n) for n in check_list("neurons", neurons, "widths")})
    if not sizes:
        raise InputError("neurons is empty: give widths such as (16, 64, 256)")
    check_seeds(seeds)
    ends = (positive("horizon", horizon), positive("sgd_horizon", sgd_horizon))
    threads = check_count("workers", os.cpu_count() or 1 if workers is None else workers)
    common = {"d": d, "unit": unit, "kappa": kappa, "target_seed": target_seed, "nodes": nodes}
    systems = {c: SphericalThreeSpin(charges=c, **common) for c in ("free", "fixed")}
    free = systems["free"]
    kinds = [*(KINDS if unit == "rbf" else KINDS[:2]), *(TRAINED if sgd_neurons else ())]
    errors = {k: np.full((len(sizes), seeds), np.nan) for k in kinds}
    course = np.full((len(times), len(sizes), seeds), np.nan)
    halt = Halt()

    def one(kind: str, n: int, s: int) -> None:
        where = (sizes.index(n), s)
        if kind == "random centres":
            bumps = cast("KernelEnergy", free.energy())
            errors[kind][where] = optimal_charges(bumps, free.draw(n, s)[:, 1:])
        elif kind == "SGD":
            flow = flowed(free, n, s, (ends[1],), min(rtol, 1e-2), halt).measures[-1]
            errors["SGD"][where] = gap(free, trained(free, n, s, ends[1], n, halt), flow)
            batches = [(0.0, n), (QUENCH * ends[1], n * n)]
            errors["quenched SGD"][where] = gap(
                free, trained(free, n, s, ends[1], batches, halt), flow
            )
        else:
            run = flowed(systems[kind], n, s, (*times, ends[0]), rtol, halt)
            *earlier, errors[kind][where] = (error(free, m) for m in run.measures)
            if kind == "free":
                course[(slice(None), *where)] = earlier

    jobs = [(k, n, s) for k in kinds[:3] if k in KINDS for n in sizes for s in range(seeds)]
    jobs += [("SGD", n, s) for n in sgd_neurons if n in sizes for s in range(seeds)]
    jobs.sort(key=lambda job: -job[1])
    side_by_side([partial(one, *job) for job in jobs], threads, halt)
    return ErrorAgainstN(
        d=int(d),
        unit=unit,
        scale=free.form().square_norm(),
        horizon=ends[0],
        neurons=np.array(sizes),
        times=np.array(times, dtype=np.float64),
        course=course,
        errors=errors,
    )


def side_by_side(jobs: Sequence[Callable[[], None]], threads: int, halt: Halt) -> None:
    """All jobs in threads of their own, one BLAS thread each."""
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(job) for job in jobs]
        try:
            for job in waiting:
                job.result()
        except BaseException:
            # Ctrl-C, or one job that failed: the pool waits for its threads, so end them first.
            halt.asked = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def flowed(
    system: System, n: int, seed: int, times: Sequence[float], rtol: float, halt: Halt | None = None
) -> Solution:
    """The flow of n units, saved at ``times``, at the last of which it ends."""
    start = Particles(system.draw(n, seed), names=system.coordinates())
    watchers = [] if halt is None else [halt]
    asked: dict[str, Any] = {"method": "implicit", "rtol": rtol, "atol": 1e-6, "trackers": watchers}
    run = solve(system.flow(), start, (0.0, times[-1]), t_eval=times, **asked)
    if not run.success:
        raise ComputationError(f"the flow of {n} units failed: {run.message}")
    return run


@cache
def fresh(d: int) -> np.ndarray:
    """Points of the sphere that are no nodes of the system, (FRESH, d)."""
    # Frames come in one order, and nodes are the first ones with their opposites.
    return np.asarray(math.sqrt(d) * frames(d, 2 * FRESH)[FRESH : 2 * FRESH])


def error(system: SphericalThreeSpin, network: Measure) -> float:
    """E(f − f_n)²: exact for bumps, on fresh points for sigmoids."""
    if system.unit == "rbf":
        return float(system.energy().prepare(network.points()).field(network.weights()).risk)
    x = fresh(system.d)
    return float(np.mean((system.energy().predict(network, x) - system.form().values(x)) ** 2))


def gap(system: SphericalThreeSpin, one: Measure, other: Measure) -> float:
    """E(f − g)² of two networks, on fresh points."""
    energy, x = system.energy(), fresh(system.d)
    return float(np.mean((energy.predict(one, x) - energy.predict(other, x)) ** 2))


def optimal_charges(energy: KernelEnergy, centres: np.ndarray) -> float:
    """Squared error of bumps at given centres with the charges that are best for them."""
    pull = energy.target.values(centres)
    size, vectors = np.linalg.eigh(energy.kernel.matrix(centres, centres))
    kept = size > CUTOFF * size[-1]
    return float(energy.constant - ((pull @ vectors[:, kept]) ** 2 / size[kept]).sum())


def trained(system: System, n: int, seed: int, horizon: float, batches: Any, halt: Halt) -> Measure:
    """The network after online SGD up to a horizon."""
    step = float(system.sgd["step_size"])
    count = max(1, round(horizon / step))
    run = sgd(
        system,
        n_neurons=n,
        step_size=step,
        n_steps=count,
        batch_size=batches,
        seed=seed,
        t_eval=[0.0, count * step],
        trackers=[halt],
    )
    if not run.success:
        raise ComputationError(f"SGD of {n} units failed: {run.message}")
    last: Measure = run.measures[-1]
    return last
