r"""The Euler–Lagrange equation F = K G of wide networks with free charges.

.. math:: \int K(y, z)\,G(dz) = F(y), \qquad K(y,z) = \langle\varphi_y,\varphi_z\rangle, \quad
          F(y) = \langle f_*, \varphi_y\rangle

G is the signed law of the charges, G(dy) = ∫c ρ(dc, dy); the equation says that the risk
R = C − 2∫F dG + ∬K dG dG, C = ⟨f*, f*⟩, is stationary in it. K smooths, so that the equation is ill posed, and is
solved by least squares with a penalty on the density g of G = g(y)dy:

.. math:: \min_g R + \lambda\int g^2\,dy \quad\Longleftrightarrow\quad Kg + \lambda g = F.

Source: Rotskoff & Vanden-Eijnden, Comm. Pure Appl. Math. 75 (2022) 1889, section 2; for the choice of λ Hansen,
Rank-Deficient and Discrete Ill-Posed Problems (1998), chapter 7; for the corner of the L-curve Regińska,
SIAM J. Sci. Comput. 17 (1996) 740.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.measures import Particles
from wflow.measures.base import check_not_negative
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_function, non_negative, number

SMALLEST, LARGEST, COUNT = 1e-14, 1.0, 141
"""The L-curve's λ, relative to the largest eigenvalue of K."""


@dataclass(frozen=True, repr=False, eq=False)
class ChargeDensity:
    """A signed law of charges on points, and how well it solves F = K G.

    Attributes
    ----------
    points, charges : places (n, D) and charges G_j (n,), so that f = Σ G_j φ(·; y_j)
    cells : lengths, areas or volumes of the points (n,); G_j/cells_j is the density g
    ridge : λ, chosen or given, and ``rule`` how: "given", "L-curve" or "discrepancy"
    residual : (∫(KG − F)² dy)^{1/2}
    norm : (∫g² dy)^{1/2}
    total_variation : ∫|G(dy)|, the least box c_max that a probability with charges |c| ≤ c_max needs
    risk : R = C − 2∫F dG + ∬K dG dG, the squared L² error; NaN where C was not given
    curve : (m, 3) array of λ, residual, norm along the L-curve
    """

    points: np.ndarray
    charges: np.ndarray
    cells: np.ndarray
    ridge: float
    rule: str
    residual: float
    norm: float
    total_variation: float
    risk: float
    curve: np.ndarray = field(repr=False)

    @property
    def density(self) -> np.ndarray:
        """g at the points, charge per unit of volume."""
        return np.asarray(self.charges / self.cells)

    def to_particles(self, names: tuple[str, ...] | None = None) -> Particles:
        """A probability over θ = (c, y) with these charges: c = ±∫|G|, weights |G_j|/∫|G|."""
        total = self.total_variation
        if not total > 0:
            raise InputError("all charges are 0: a probability over (c, y) has no signs to carry")
        positions = np.column_stack([np.sign(self.charges) * total, self.points])
        kept = self.charges != 0
        weights = np.abs(self.charges[kept]) / total
        d = self.points.shape[1]
        default = ("c", "y") if d == 1 else ("c", *(f"y{i + 1}" for i in range(d)))
        return Particles(positions[kept], weights, names=names or default)

    def __repr__(self) -> str:
        risk = "" if math.isnan(self.risk) else f"risk={self.risk:.4g}, "
        return (
            f"ChargeDensity({risk}residual={self.residual:.3g}, norm={self.norm:.4g}, "
            f"total variation {self.total_variation:.6g}, {self.charges.size} points, "
            f"ridge={self.ridge:.3g} by {self.rule})"
        )


def solve_euler_lagrange(
    kernel: Any,
    target: Any,
    points: Any,
    *,
    ridge: float | None = None,
    noise: float | None = None,
    cells: Any = None,
    constant: float | None = None,
) -> ChargeDensity:
    r"""The charges G with ∫K(y, z) G(dz) = F(y), by regularised least squares.

    .. math:: (K + \lambda)\,g = F, \qquad (Kg)(y) = \int K(y,z)\,g(z)\,dz

    Parameters
    ----------
    kernel : positive semidefinite K, an object with ``matrix(at, points)``, or a function of two broadcastable
        point arrays (…, D)
    target : F, an object with ``values(at)``, or a function of points (n, D)
    points : (n, D), (n,) for one coordinate, or a TensorGrid or GridDensity, whose cells then count
    ridge : λ ≥ 0 in the units of K times a volume; by default the corner of the L-curve
    noise : instead of ridge, the residual (∫(KG − F)²dy)^{1/2} to be reached (Morozov's discrepancy principle)
    cells : volumes of the points (n,); 1 each by default (G then has no density, and the norm is that of charges)
    constant : C = ⟨f*, f*⟩, with which the squared L² error is reported as the risk

    Raises
    ------
    InputError
        for shapes that disagree, both ridge and noise, a noise below what any λ reaches, or a kernel that is not
        symmetric positive semidefinite

    >>> gauss = lambda y, z: np.exp(-0.5 * ((y - z) ** 2).sum(axis=-1))
    >>> F = lambda y: gauss(y, np.array([0.0])) - gauss(y, np.array([2.0]))
    >>> G = solve_euler_lagrange(gauss, F, [-2.0, 0.0, 2.0], ridge=0.0, constant=2 - 2 * np.exp(-2.0))
    >>> bool(np.allclose(G.charges, [0, 1, -1])), bool(abs(G.risk) < 1e-12)
    (True, True)
    """
    if ridge is not None and noise is not None:
        raise InputError("ridge and noise both given: one sets the other; leave one out")
    at, volumes = _places(points, cells)
    matrix = _matrix(kernel, at)
    values = _values(target, at)
    root = np.sqrt(volumes)
    # In the unknowns √cell·g the operator is symmetric and sums are integrals.
    eigen, vectors = np.linalg.eigh(root[:, None] * matrix * root)
    if eigen[0] < -1e-10 * max(eigen[-1], 1e-300):
        raise InputError(
            f"the kernel has the eigenvalue {eigen[0]:.3g} beside {eigen[-1]:.3g}: it must be positive "
            "semidefinite"
        )
    eigen = np.maximum(eigen, 0.0)
    given = root * values
    parts = vectors.T @ given
    problem = _Spectrum(eigen, parts)
    curve = problem.curve()
    rule = "given"
    if noise is not None:
        ridge, rule = problem.at_discrepancy(non_negative("noise", noise)), "discrepancy"
    elif ridge is None:
        ridge, rule = problem.corner(curve), "L-curve"
    ridge = non_negative("ridge", ridge)
    u = problem.solution(ridge)
    charges = root * (vectors @ u)
    residual, norm = problem.residual_and_norm(ridge)
    risk = math.nan
    if constant is not None:
        risk = (
            number("constant", constant)
            - 2.0 * float(charges @ values)
            + float(charges @ matrix @ charges)
        )
    return ChargeDensity(
        points=at,
        charges=charges,
        cells=volumes,
        ridge=ridge,
        rule=rule,
        residual=residual,
        norm=norm,
        total_variation=float(np.abs(charges).sum()),
        risk=risk,
        curve=curve,
    )


@dataclass(frozen=True)
class _Spectrum:
    """Tikhonov solutions s/(s + λ) · parts/s from eigenvalues s of K and the parts of F along its eigenvectors."""

    eigen: np.ndarray
    parts: np.ndarray

    def solution(self, ridge: float) -> np.ndarray:
        """u = parts/(s + λ); λ = 0 leaves out eigenvalues that are rounding (the least-norm solution)."""
        bottom = self.eigen + ridge
        kept = bottom > self.eigen.size * np.finfo(float).eps * self.eigen[-1]
        return np.where(kept, self.parts / np.where(kept, bottom, 1.0), 0.0)

    def residual_and_norm(self, ridge: float) -> tuple[float, float]:
        u = self.solution(ridge)
        left = self.eigen * u - self.parts
        return float(np.linalg.norm(left)), float(np.linalg.norm(u))

    def curve(self) -> np.ndarray:
        top = max(float(self.eigen[-1]), 1e-300)
        ridges = top * np.geomspace(SMALLEST, LARGEST, COUNT)
        return np.array([(r, *self.residual_and_norm(float(r))) for r in ridges])

    def corner(self, curve: np.ndarray) -> float:
        """λ where residual · norm has a minimum, i.e. where (log residual, log norm) falls with slope −1.

        At λ → ∞ the product vanishes with the norm, so that an end of the curve is no corner; data that K
        reaches without noise have none, and get the smallest λ.
        """
        product = curve[:, 1] * curve[:, 2]
        inner = product[1:-1]
        corners = np.flatnonzero((inner < product[:-2]) & (inner <= product[2:])) + 1
        if corners.size == 0:
            return float(curve[0, 0])
        return float(curve[corners[int(np.argmin(product[corners]))], 0])

    def at_discrepancy(self, noise: float) -> float:
        """λ whose residual is ``noise``: the residual grows with λ, from what K cannot reach to |F|."""
        from scipy.optimize import brentq

        least, most = self.residual_and_norm(0.0)[0], float(np.linalg.norm(self.parts))
        if not least < noise < most:
            raise InputError(
                f"noise = {noise:g}: the residual lies between {least:.3g} (no ridge) and {most:.3g} (no "
                "charges); choose between them"
            )
        low, high = -80.0, 40.0
        top = math.log(float(self.eigen[-1]))

        def beyond(log_ridge: float) -> float:
            return math.log(self.residual_and_norm(math.exp(log_ridge + top))[0] / noise)

        if beyond(low) > 0:
            raise ComputationError(f"no ridge above rounding reaches the residual {noise:g}")
        return math.exp(float(brentq(beyond, low, high, xtol=1e-12)) + top)


def _places(points: Any, cells: Any) -> tuple[np.ndarray, np.ndarray]:
    grid = getattr(points, "grid", points)
    if hasattr(grid, "volumes"):
        if cells is not None:
            raise InputError("cells beside a grid: the grid has its own; leave cells out")
        return np.array(grid.points), np.array(grid.volumes).ravel()
    at = as_floats("points", points)
    at = at[:, None] if at.ndim == 1 else at
    if at.ndim != 2 or at.size == 0:
        raise InputError(f"points of shape {at.shape}: expected (n, D), one row a point")
    volumes = np.ones(at.shape[0]) if cells is None else as_floats("cells", cells)
    if volumes.shape != at.shape[:1]:
        raise InputError(f"cells of shape {volumes.shape}: expected ({at.shape[0]},), one a point")
    check_not_negative("cells", volumes, "give volumes")
    if not volumes.min() > 0:
        raise InputError("a cell has volume 0: leave its point out")
    return at, volumes


def _matrix(kernel: Any, at: np.ndarray) -> np.ndarray:
    if hasattr(kernel, "matrix"):
        matrix = as_floats("K", kernel.matrix(at, at))
    else:
        f = check_function("kernel", kernel, "two arrays of points (…, D)")
        matrix = as_floats("K", f(at[:, None], at[None]))
    n = at.shape[0]
    if matrix.shape != (n, n):
        raise InputError(f"K has shape {matrix.shape}: points (n, 1, D) and (1, n, D) give (n, n)")
    if float(np.abs(matrix - matrix.T).max()) > 1e-10 * float(np.abs(matrix).max()):
        raise InputError("K(y, z) differs from K(z, y): the kernel must be symmetric")
    return matrix


def _values(target: Callable[[np.ndarray], Any] | Any, at: np.ndarray) -> np.ndarray:
    f = target if isinstance(target, dict) else getattr(target, "values", target)
    values = as_floats("F", check_function("target", f, "points (n, D)")(at))
    if values.shape != at.shape[:1]:
        raise InputError(f"F has shape {values.shape}: give one value a point, ({at.shape[0]},)")
    return values
