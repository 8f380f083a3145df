"""The limit as networks are held against it: its risk, its law, its output, at the saved times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from wflow.energies.base import Energy, Field
from wflow.energies.network import NetworkModel
from wflow.measures import (
    Measure,
    Particles,
    bounded_lipschitz,
    sliced_wasserstein_2,
    wasserstein_2,
)
from wflow.measures.lipschitz import equal_masses
from wflow.results.solution import Solution

PROJECTIONS = 32
"""Directions of the sliced distance: its root mean square over them is off by some percent, the same for all N."""

ATOMS, MOST_ATOMS = 400, 800
"""Equal masses that the law is cut into in several coordinates: with twice as many, distances move by some percent."""


class Reference:
    """A solution of the limit, and the energy it was solved with.

    Parameters
    ----------
    solution : on a grid or as particles
    energy : of its flow
    model : the network, whose neurons come reduced to the space of the flow, shape (N, D), unless said otherwise
    frames : of the solution that count, by default all
    """

    def __init__(
        self,
        solution: Solution,
        energy: Energy,
        model: NetworkModel,
        frames: Sequence[int] | None = None,
    ) -> None:
        frames = range(solution.t.size) if frames is None else frames
        self.risk = np.array([solution.risk[k] for k in frames])
        self.laws: list[Measure] = [solution.measures[k] for k in frames]
        self.dimension = int(self.laws[0].dimension)
        self.energy, self.model = energy, model

    @cached_property
    def _fields(self) -> list[tuple[Field, float]]:
        """The energy at each law, and ∫Ψ dρ there."""
        found = []
        for law in self.laws:
            field = self.energy.prepare(law.points()).field(law.weights())
            found.append((field, float(law.weights() @ field.first_variation())))
        return found

    def excess(self, k: int, neurons: np.ndarray) -> float:
        r"""N times the excess risk of N independent neurons at time k, from those of a wide network in full space.

        .. math:: \int U(\theta,\theta)\,d\rho - \iint U\,d\rho\,d\rho = E_\rho\lVert\sigma_* - f\rVert^2

        NaN where Ψ is not affine in ρ.
        """
        if not self.energy.affine:
            return np.nan
        law = self.laws[k]
        nothing = self.energy.prepare(law.points()).field(np.zeros(law.weights().size))
        both = self._fields[k][1] - float(law.weights() @ nothing.first_variation())
        return float(self.network_energy.diagonal(neurons).mean()) - both

    @cached_property
    def network_energy(self) -> Energy:
        """The population risk of a network in full space."""
        return self.model.risk_energy()

    def output(self, k: int, neurons: np.ndarray, risk: float) -> float:
        r"""How far the output is from the limit's at time k, squared; NaN where Ψ is not affine in ρ.

        .. math:: E_x (f_N - f)^2 = R(\rho_N) - R(\rho) - 2\int\Psi(\cdot;\rho)\,d(\rho_N - \rho)

        The symmetry that reduces the limit makes its Ψ a function of reduced neurons; ``risk`` is the network's own.
        """
        if not self.energy.affine:
            return np.nan
        field, mean = self._fields[k]
        pull = float(np.mean(field.first_variation(neurons))) - mean
        return float(risk - field.risk - 2.0 * pull)

    def transport(self, k: int, neurons: np.ndarray) -> float:
        """W2 of the neurons to the law, sliced in several dimensions."""
        law = self.laws[k]
        if self.dimension == 1:
            return wasserstein_2(Particles(neurons), law)
        return sliced_wasserstein_2(Particles(neurons), law, n_projections=PROJECTIONS)

    def lipschitz(self, k: int, neurons: np.ndarray) -> float:
        """The bounded-Lipschitz distance of the neurons to the law; NaN for many neurons of several coordinates.

        In several coordinates the law is cut into ATOMS equal masses or more, as many as the neurons divide.
        """
        if self.dimension == 1:
            return bounded_lipschitz(Particles(neurons), self.laws[k])
        count = len(neurons) * -(-ATOMS // len(neurons))
        if count > MOST_ATOMS:
            return np.nan
        if (k, count) not in self._cuts:
            self._cuts[k, count] = Particles(equal_masses(self.laws[k], count)[0])
        return bounded_lipschitz(Particles(neurons), self._cuts[k, count])

    @cached_property
    def _cuts(self) -> dict[tuple[int, int], Particles]:
        """Laws in equal masses, by time and number."""
        return {}


class Pooled(Reference):
    """All networks of one width together, from their reduced neurons (S, T, N, D): what stands for a sampled limit."""

    def __init__(self, networks: np.ndarray, like: Reference) -> None:
        self.energy, self.model, self.dimension = like.energy, like.model, like.dimension
        self.laws = [Particles(np.concatenate(one)) for one in networks.swapaxes(0, 1)]
        fields = (self.energy.prepare(law.points()).field(law.weights()) for law in self.laws)
        self.risk = np.array([field.risk for field in fields])


def output_scatter(energy: Energy, networks: np.ndarray) -> np.ndarray:
    r"""Half the squared distances of outputs within pairs of networks (S, N, D), a variance each; shape (S // 2,).

    .. math:: \tfrac12 E_x(f_a - f_b)^2 = R(\rho_a) + R(\rho_b) - 2R\bigl(\tfrac12(\rho_a + \rho_b)\bigr)

    for a quadratic R; NaN for any other.
    """
    s = len(networks)
    if not energy.affine:
        return np.full(s // 2, np.nan)

    def risk(neurons: np.ndarray) -> float:
        return energy.prepare(neurons).field(np.full(len(neurons), 1.0 / len(neurons))).risk

    return np.array(
        [
            risk(a) + risk(b) - 2.0 * risk(np.concatenate([a, b]))
            for a, b in zip(networks[0 : s - 1 : 2], networks[1::2], strict=True)
        ]
    )
