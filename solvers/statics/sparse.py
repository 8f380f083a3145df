r"""The risk minimised over all measures on a box, by few particles: Frank–Wolfe, fully corrective and sliding.

Each round (1) adds atoms at the lowest points of Ψ_λ, (2) finds the best weights of all atoms exactly, (3) lets the
atoms slide, with the weights always at their best: by the envelope theorem

.. math:: \phi(\theta_1,\dots,\theta_k) = \min_w F\Bigl(\sum_i w_i\delta_{\theta_i}\Bigr), \qquad
          \partial_{\theta_i}\phi = w_i\,\nabla\Psi_\lambda(\theta_i),

and (4) merges atoms that met and drops those without weight. It stops when the gap 2(∫Ψ_λ dρ − min Ψ_λ) reaches
the tolerance.

Sources: Bredies & Pikkarainen, ESAIM: COCV 19 (2013) 190; Denoyelle, Duval, Peyré & Soubies, Inverse Problems 36
(2020) 014001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from wflow.energies.base import Energy
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure, Particles
from wflow.solvers.statics.minimiser import Minimiser
from wflow.solvers.statics.objective import Objective
from wflow.solvers.statics.on_grid import minimise_at
from wflow.solvers.statics.search import Search, lower_bound
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_flag, non_negative
from wflow.tools.memory import check_held

NO_WEIGHT = 1e-9
"""Atoms that carry less are dropped."""
MET = 1e-3
"""Atoms closer than this share of the box are merged where that costs nothing."""
ADDED = 3
"""Atoms added a round, at the lowest minima of Ψ."""
SLIDES = 15
"""Steps of L-BFGS a round."""


def minimise_sparse(
    energy: Energy | GradientFlow,
    bounds: Any = None,
    *,
    starts: Any = None,
    ridge: float = 0.0,
    ridge_on: Sequence[str] | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 50,
    search: int | None = None,
    curvature: float | Callable[[float], float] | None = None,
    progress: bool = False,
) -> Minimiser:
    r"""The measure of least R + λ∫|θ|²dρ on a box, as few particles.

    Parameters
    ----------
    energy : an energy with the square loss, or a GradientFlow at temperature 0, whose ridge then counts
    bounds : the box, a finite pair (lo, hi) a coordinate; the energy's own by default, if they are finite
    starts : first atoms (m, D), or a measure; none are needed
    ridge, ridge_on : λ ≥ 0, and the names of the coordinates it acts on; all by default
    tolerance : of the gap, in the units of R; ``success`` says whether it was reached
    max_iterations : rounds
    search : starts an axis for the search of min Ψ_λ; by default 401 in one dimension, 81 in two, and 4096 in all
        (a Sobol sequence and the corners) beyond. The gap is relative to this search and to one twice as fine, which
        takes its place where it finds more, unless ``curvature`` is given. No search of more than 2²⁰ starts is made to
        check another: beyond, from 513 an axis in two dimensions, the gap is relative to this search alone
    curvature : a bound on |∇²Ψ_λ| in the box, or a function that gives one from R; the gap then rests on a proved
        lower bound of Ψ_λ (``scope`` says "bound"). √R·B + λ with B ≥ sup ‖∇²σ*(·; θ)‖ in L² always serves
    progress : whether to show the rounds as a bar

    Raises
    ------
    InputError
        for another loss, a box that is not finite, starts outside it, τ > 0, or an interaction that is not
        positive semidefinite

    >>> import wflow
    >>> energy = wflow.systems.get("isotropic-gaussians", d=40, delta=0.3).energy()
    >>> best = minimise_sparse(energy, [(0.0, 6.5)])
    >>> best.success, best.points.round(4).tolist(), round(best.risk, 6)
    (True, [[1.5247]], 0.190525)
    """
    objective = Objective(energy, ridge, ridge_on)
    tolerance = non_negative("tolerance", tolerance)
    rounds = check_count("max_iterations", max_iterations)
    box = _box(bounds, objective)
    if search is not None:
        check_held(
            "search", check_count("search", search), float(search) ** (len(box) - 1) * len(box)
        )
    look = Search(box, search)
    atoms = _starts(starts, box, objective)
    if atoms is None:
        atoms, _ = look.lowest(objective.around(np.zeros((1, box.shape[0])), np.zeros(1)))
    history: list[float] = []
    bar = _bar(rounds, progress)
    best: tuple[float, float, np.ndarray, np.ndarray] = (np.inf, 0.0, atoms, np.ones(1))
    for _ in range(rounds):
        atoms, weights = _correct(objective, atoms, box, tolerance, history[-1] if history else 1.0)
        psi = objective.at(atoms).value(weights)[2]
        mean, lowest = float(weights @ psi), float(psi.min())
        landscape = objective.around(atoms, weights)
        candidates, heights = look.lowest(landscape)
        level = min(float(heights[0]), lowest)
        if 2.0 * (mean - level) <= 0.5 * tolerance and (finer := look.finer()) is not None:
            candidates, heights = finer.lowest(landscape)
            level = min(float(heights[0]), level)
            if 2.0 * (mean - level) > 0.5 * tolerance:
                look = finer
        gap = max(0.0, 2.0 * (mean - level))
        history.append(gap)
        bar.update()
        bar.set_postfix_str(f"gap {gap:.2e}, {weights.size} atoms")
        if gap < best[0]:
            best = (gap, level, atoms, weights)
        if gap <= 0.5 * tolerance or _at_a_stop(history):
            break
        new = candidates[heights < mean - 0.1 * gap][:ADDED]
        atoms = np.concatenate([atoms, new]) if new.size else atoms
    bar.close()
    gap, level, atoms, weights = best
    risk, value, psi = objective.at(atoms).value(weights)
    if curvature is not None:
        limit = _curvature(curvature, risk)
        level = lower_bound(objective.around(atoms, weights), box, limit, level, 0.2 * tolerance)
        gap = max(0.0, 2.0 * (float(weights @ psi) - level))
    success = gap <= tolerance
    if success:
        message = f"gap below {tolerance:g}"
    else:
        message = f"{len(history)} rounds left the gap above {tolerance:g}"
    order = np.lexsort(atoms.T[::-1])
    return Minimiser(
        measure=Particles(atoms[order], weights[order], names=objective.energy.coordinates),
        risk=risk,
        objective=value,
        gap=gap,
        level=level,
        first_variation=psi[order],
        scope="search" if curvature is None else "bound",
        iterations=len(history),
        history=np.array(history),
        success=success,
        message=message,
        box=box,
        _objective=objective,
    )


def _correct(
    objective: Objective, atoms: np.ndarray, box: np.ndarray, tolerance: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Best weights, drop, slide, merge: the atoms of the next round."""
    precise = 1e-4 * tolerance
    weights = minimise_at(objective.at(atoms), precise).weights
    atoms = _slide(objective, atoms[weights > NO_WEIGHT], box, precise, scale)
    weights = minimise_at(objective.at(atoms), precise).weights
    atoms, weights = atoms[weights > NO_WEIGHT], weights[weights > NO_WEIGHT]
    atoms = _merge(objective, atoms, weights, box, tolerance)
    weights = minimise_at(objective.at(atoms), precise).weights
    kept = weights > NO_WEIGHT
    return atoms[kept], weights[kept] / weights[kept].sum()


def _slide(
    objective: Objective, atoms: np.ndarray, box: np.ndarray, precise: float, scale: float
) -> np.ndarray:
    """L-BFGS on the positions inside the box, weights at their best for each trial."""
    width = np.where(np.ptp(box, axis=1) > 0, np.ptp(box, axis=1), 1.0)
    shape = atoms.shape

    def value(u: np.ndarray) -> tuple[float, np.ndarray]:
        points = np.clip(u.reshape(shape) * width, box[:, 0], box[:, 1])
        at = objective.at(points)
        weights = minimise_at(at, precise).weights
        slope = at.gradient(weights) + objective.flow.ridge_gradient(points)
        # In units of the last gap, the most that can be gained: L-BFGS stops on absolute changes.
        gradient = (weights[:, None] * slope * width).ravel()
        return 0.5 * at.value(weights)[1] / scale, gradient / scale

    sides = list(zip(box[:, 0] / width, box[:, 1] / width, strict=True)) * shape[0]
    options: Any = {"ftol": 1e-16, "gtol": 1e-14, "maxiter": SLIDES}
    done = minimize(
        value, (atoms / width).ravel(), jac=True, method="L-BFGS-B", bounds=sides, options=options
    )
    return np.clip(done.x.reshape(shape) * width, box[:, 0], box[:, 1])


def _merge(
    objective: Objective, atoms: np.ndarray, weights: np.ndarray, box: np.ndarray, tolerance: float
) -> np.ndarray:
    """Replace close pairs by their centres of mass, where 2F rises by less than a tenth of the tolerance."""
    width = np.where(np.ptp(box, axis=1) > 0, np.ptp(box, axis=1), 1.0)
    value = objective.at(atoms).value(weights)[1]
    while weights.size > 1:
        apart = np.abs((atoms[:, None] - atoms[None]) / width).max(axis=-1)
        apart[np.tril_indices(weights.size)] = np.inf
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        if apart[i, j] > MET:
            break
        both = weights[i] + weights[j]
        centre = (weights[i] * atoms[i] + weights[j] * atoms[j]) / both
        merged = np.concatenate([np.delete(atoms, [i, j], axis=0), centre[None]])
        masses = np.append(np.delete(weights, [i, j]), both)
        after = objective.at(merged).value(masses)[1]
        if after > value + 0.1 * tolerance:
            break
        atoms, weights, value = merged, masses, max(after, value)
    return atoms


def _at_a_stop(history: list[float]) -> bool:
    """Whether six rounds have gained nothing."""
    return len(history) > 6 and min(history[-6:]) >= 0.99 * min(history[:-6])


def _bar(rounds: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=rounds, disable=not check_flag("progress", progress), desc="minimise", unit="round"
    )


def _box(bounds: Any, objective: Objective) -> np.ndarray:
    """A finite box inside the energy's own bounds."""
    energy = objective.energy
    names, own = energy.coordinates, np.asarray(energy.bounds)
    if bounds is None and not np.isfinite(own).all():
        k = int(np.argmin(np.isfinite(own).all(axis=1)))
        raise InputError(
            f"the energy does not bound {names[k]}: pass bounds, a finite pair (lo, hi) a coordinate"
        )
    box = as_floats("bounds", own if bounds is None else bounds)
    box = box[None] if box.shape == (2,) else box
    if box.shape != (len(names), 2):
        raise InputError(
            f"bounds of shape {box.shape}: give a pair (lo, hi) for each of {', '.join(names)}"
        )
    for name, (lo, hi), (least, most) in zip(names, box, own, strict=True):
        if not (least <= lo <= hi <= most):
            raise InputError(
                f"bounds of {name} are ({lo:g}, {hi:g}): give lo <= hi inside [{least:g}, {most:g}]"
            )
    return box


def _starts(starts: Any, box: np.ndarray, objective: Objective) -> np.ndarray | None:
    if starts is None:
        return None
    given = starts.points() if isinstance(starts, Measure) else starts
    atoms = as_floats("starts", given)
    atoms = atoms[:, None] if atoms.ndim == 1 else atoms
    names = objective.energy.coordinates
    if atoms.ndim != 2 or atoms.shape[0] == 0 or atoms.shape[1] != len(names):
        raise InputError(f"starts of shape {atoms.shape}: expected (m, {len(names)})")
    outside = (atoms < box[:, 0]) | (atoms > box[:, 1])
    if outside.any():
        i, k = np.argwhere(outside)[0]
        raise InputError(
            f"start {i} has {names[k]} = {atoms[i, k]:g}, outside ({box[k, 0]:g}, {box[k, 1]:g}): "
            "widen the bounds or move it"
        )
    return atoms


def _curvature(curvature: float | Callable[[float], float], risk: float) -> float:
    """The bound M as a number; a risk of 0 may have been rounded below it."""
    value = curvature(max(risk, 0.0)) if callable(curvature) else curvature
    return non_negative("curvature", value)
