r"""What two laws differ by, seen through the network: the same outputs from different laws.

.. math:: \|f - f'\|^2 = \iint U\,d\mu\,d\mu = \sum_k s_k\,p_k^2, \qquad \mu = \rho - \rho', \quad
          p_k = \int v_k\,d\mu, \qquad \int U(\cdot,\theta')\,v_k(\theta')\,\pi(d\theta') = s_k v_k

with π = ½(ρ + ρ') and v_k orthonormal in L²(π). Where the outputs agree, μ has no part along the modes of large s_k:
all of it lies in the null space of μ ↦ ∫σ*dμ, as solutions of F = KG differ by null vectors of K.
Source: Rotskoff & Vanden-Eijnden, Comm. Pure Appl. Math. 75 (2022) 1889, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.energies.base import Energy
from wflow.errors import InputError
from wflow.measures import Measure
from wflow.solvers.statics.objective import require_affine
from wflow.tools.checks import check_kind, check_place
from wflow.tools.memory import check_held


@dataclass(frozen=True, repr=False, eq=False)
class NullSpace:
    """The difference of two laws along the modes of the map to outputs.

    Attributes
    ----------
    outputs : ‖f − f'‖, in the norm of the risk
    eigenvalues : s_k (m,), the largest first; m is the number of atoms of both laws with mass
    parts : p_k (m,); Σp_k² = ∫(dμ/dπ)²dπ, 4 for laws without common atoms
    """

    outputs: float
    eigenvalues: np.ndarray
    parts: np.ndarray

    @property
    def norm(self) -> float:
        """(∫(dμ/dπ)²dπ)^{1/2}: 0 for equal laws, 2 for laws on different atoms."""
        return float(np.linalg.norm(self.parts))

    def hidden(self, k: int) -> float:
        """The share of Σp² that lies outside of the k leading modes.

        Raises
        ------
        InputError
            for a k that is no number of modes
        """
        k = check_place("k", k, len(self.parts) + 1)
        whole = self.norm**2
        return float((self.parts[k:] ** 2).sum() / whole) if whole > 0 else 0.0

    def __repr__(self) -> str:
        return (
            f"NullSpace(outputs apart by {self.outputs:.3g}, laws by {self.norm:.3g}, "
            f"{len(self.parts)} modes of {self.eigenvalues[0]:.3g} and less)"
        )


def null_space(energy: Energy, measure: Measure, other: Measure) -> NullSpace:
    """The difference of two laws of equal mass, along the modes of the map from laws to outputs.

    Parameters
    ----------
    energy : with the square loss, whose U(θ, θ') = ⟨σ*(θ), σ*(θ')⟩ is the map's square
    measure, other : two laws; grids count as atoms at their centres

    Raises
    ------
    InputError
        for another loss, laws on another space, or masses that differ

    >>> import wflow
    >>> system = wflow.systems.get("isotropic-gaussians", d=float("inf"))
    >>> one, two = (wflow.Particles(x, names=("r",)) for x in ([[1.0], [2.0]], [[1.0], [3.0]]))
    >>> found = null_space(system.energy(), one, two)
    >>> int((found.eigenvalues > 1e-12).sum()), round(found.norm, 6)      # two classes, two outputs
    (2, 1.414214)
    """
    check_kind("energy", energy, Energy, "pass a wflow.energies.Energy, flow.energy say")
    require_affine(energy)
    laws = []
    for name, law in (("measure", measure), ("other", other)):
        check_kind(name, law, Measure, "pass a wflow.GridDensity or wflow.Particles")
        laws.append(energy.law(law))
    masses = [w.sum() for _, w in laws]
    if not (masses[0] > 0 and abs(masses[0] - masses[1]) <= 1e-9 * masses[0]):
        raise InputError(
            f"the laws have masses {masses[0]:.9g} and {masses[1]:.9g}: give two of the same, above 0"
        )
    x = np.concatenate([points for points, _ in laws])
    at, place = np.unique(x, axis=0, return_inverse=True)
    signed, pooled = np.zeros(len(at)), np.zeros(len(at))
    weights = np.concatenate([w for _, w in laws])
    signs = np.repeat([1.0, -1.0], [len(w) for _, w in laws])
    np.add.at(signed, place.ravel(), signs * weights)
    np.add.at(pooled, place.ravel(), 0.5 * weights)
    kept = pooled > 0
    at, signed, root = np.ascontiguousarray(at[kept]), signed[kept], np.sqrt(pooled[kept])
    check_held("atoms of both laws", len(at), len(at))
    column = energy.columns(at)
    matrix = np.stack([column(j) for j in range(len(at))])
    matrix = 0.5 * root[:, None] * (matrix + matrix.T) * root
    values, vectors = np.linalg.eigh(matrix)
    parts = vectors.T @ (signed / root)
    # By the field itself: eigenvalues below rounding would add up.
    field, none = (energy.prepare(at).field(q).first_variation() for q in (signed, 0.0 * signed))
    outputs = float(np.sqrt(max(0.0, signed @ (field - none))))
    return NullSpace(outputs, np.maximum(values[::-1], 0.0), parts[::-1])
