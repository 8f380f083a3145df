r"""The equation as data.

.. math::
   F(\rho) = \tfrac12 R(\rho) + \tfrac\lambda2\int|\theta|^2 d\rho + \tau\int\rho\log\rho, \qquad
   \Phi = \Psi + \tfrac\lambda2|\theta|^2 + \tau\log\rho,

   \partial_t\rho = \xi(t)\bigl[\nabla\cdot(\rho\nabla\Phi) - \alpha(\Phi - \textstyle\int\Phi\,d\rho)\rho\bigr].

A :class:`GradientFlow` advances nothing; ``wflow.solve`` does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wflow.energies.base import Energy
from wflow.equation import Equation, Schedule, check_observations
from wflow.errors import InputError, shown
from wflow.measures import Measure
from wflow.measures.base import refuse_another_order
from wflow.tools.checks import check_kind, names_of, non_negative
from wflow.tools.fingerprint import of_function

BaseLaw = Callable[[int, np.random.Generator], np.ndarray]


class GradientFlow(Equation):
    """A Wasserstein, McKean–Vlasov or Wasserstein–Fisher–Rao gradient flow.

    Parameters
    ----------
    energy : a FeatureEnergy, a PairEnergy, or any other :class:`wflow.energies.Energy`
    temperature : τ ≥ 0, the noise
    ridge : λ ≥ 0, weight decay
    ridge_on : names of the coordinates that decay; all by default
    frozen : names of the coordinates that do not move (output weights that are not trained, say)
    reaction_rate : α ≥ 0, birth–death
    schedule : ξ > 0, a number or a function of time
    observations : further energies by the name of a series, which ends in ``_risk``: their risk is reported with every
        frame and moves nothing; that of held-out data, say. What energies score (the accuracy of classes) is reported
        beside it: ``accuracy``, and ``test_accuracy`` of ``test_risk``

    Raises
    ------
    InputError
        for a negative or non-finite constant, for τ > 0 where the energy refuses it (d = ∞), and for observations of
        other names or of another dimension

    Source: Mei, Montanari & Nguyen (2018) and Rotskoff, Jelassi, Bruna & Vanden-Eijnden (2019), in one convention;
    docs/conventions.md maps their constants to it.

    >>> from wflow.energies import PairEnergy
    >>> GradientFlow(PairEnergy(lambda x: x[..., 0] ** 2), temperature=0.1)
    GradientFlow(PairEnergy(dimension=1, interaction=False), temperature=0.1)
    """

    run = "flow"

    def __init__(
        self,
        energy: Energy,
        *,
        temperature: float = 0.0,
        ridge: float = 0.0,
        ridge_on: Sequence[str] | None = None,
        frozen: Sequence[str] = (),
        reaction_rate: float = 0.0,
        schedule: Schedule = 1.0,
        observations: Mapping[str, Energy] | None = None,
    ) -> None:
        if not isinstance(energy, Energy):
            raise InputError(
                f"energy is a {type(energy).__name__}: pass a wflow.energies.FeatureEnergy or PairEnergy, or a "
                "subclass of wflow.energies.Energy"
            )
        energy.refuse_without_names()
        self.energy = energy
        self.temperature = non_negative("temperature", temperature)
        self.ridge = non_negative("ridge", ridge)
        self.reaction_rate = non_negative("reaction_rate", reaction_rate)
        if self.temperature > 0 and (why := energy.refuse_temperature()):
            raise InputError(f"{why}; choose a finite d or temperature = 0")
        super().__init__(schedule)
        self.observations: dict[str, Energy] = check_observations(
            observations,
            lambda other: isinstance(other, Energy) and other.dimension == energy.dimension,
            f"an energy of {energy.dimension} coordinates",
        )
        self.base_law: BaseLaw | None = None
        """Where a system's particles are born anew: n positions (n, D) from a generator; none for a user's own."""
        everything = energy.coordinates
        self.ridge_mask = _mask(
            "ridge_on", everything if ridge_on is None else ridge_on, everything
        )
        self.mobile = 1.0 - _mask("frozen", frozen, everything)
        """1 for the coordinates that move, 0 for those that are frozen, shape (D,)."""
        if self.temperature > 0 and not self.mobile.all():
            raise InputError(
                f"frozen {', '.join(names_of('frozen', frozen))} with temperature {self.temperature:g}: noise "
                "would move them; choose temperature = 0"
            )

    @property
    def predictor(self) -> Energy:
        """The energy."""
        return self.energy

    def refuse_start(self, what: str, start: Any) -> None:
        """Refuse what is no measure, or one of coordinates in another order."""
        check_kind(what, start, Measure, "pass a wflow.GridDensity or wflow.Particles")
        refuse_another_order(what, start.names, self.energy.coordinates)

    def check(self, start: Measure) -> None:
        """Refuse a measure that one of the energies cannot do with."""
        for energy in (self.energy, *self.observations.values()):
            energy.check(start)

    def refuse_method(self, name: str, reacts: bool) -> None:
        """Refuse a method without birth-death where there is some."""
        if self.reaction_rate > 0 and not reacts:
            raise InputError(
                f"method '{name}' has no birth-death and reaction_rate = {self.reaction_rate:g}: use a "
                "grid with 'strang', particles with 'birth-death' or noiseless 'runge-kutta', or reaction_rate = 0"
            )

    def constants(self) -> dict[str, Any]:
        """The evaluator, τ, λ and α."""
        return {
            "evaluator": self.energy.evaluator,
            "temperature": self.temperature,
            "ridge": self.ridge,
            "reaction_rate": self.reaction_rate,
        }

    def ridge_potential(self, points: np.ndarray) -> np.ndarray:
        """(λ/2)|θ|² over the decaying coordinates, shape (n,)."""
        if self.ridge == 0.0:
            return np.zeros(points.shape[0])
        return np.asarray(0.5 * self.ridge * (points**2 @ self.ridge_mask))

    def ridge_gradient(self, points: np.ndarray) -> np.ndarray | float:
        """λθ on the decaying coordinates."""
        return self.ridge * self.ridge_mask * points if self.ridge else 0.0

    def free_energy(self, measure: Measure) -> float:
        """F(ρ) of a measure; NaN for particles at τ > 0, which have no entropy.

        Raises
        ------
        InputError
            when the measure's dimension is not the energy's
        """
        check_kind("measure", measure, Measure, "give a wflow.GridDensity or wflow.Particles")
        points, weights = measure.points(), measure.weights()
        risk = self.energy.prepare(points).field(weights).risk
        value = 0.5 * risk + float(weights @ self.ridge_potential(points))
        if self.temperature == 0.0:
            return value
        if measure.density is None:
            return math.nan
        volume = self.energy.reference_log_volume(points)
        return value + self.temperature * entropy(weights, measure.density.ravel(), volume)

    def observe(self, points: np.ndarray, weights: np.ndarray) -> dict[str, float]:
        """The risk of every observation, and what energies score, at points (n, D) with weights (n,)."""
        found: dict[str, float] = {}
        own = {"risk": self.energy} if self.energy.scores else {}
        for name, energy in (own | self.observations).items():
            field: Any = energy.prepare(points).field(weights)
            found |= {name: float(field.risk)} if name in self.observations else {}
            for score in energy.scores:
                found[name.removesuffix("risk") + score] = float(getattr(field, score))
        return found

    def fingerprint(self) -> str:
        """A digest of the whole equation and of what is observed."""
        h = hashlib.sha256(_digest(self.energy).encode())
        constants = (self.temperature, self.ridge, tuple(self.ridge_mask), self.reaction_rate)
        h.update(repr(constants).encode())
        if not self.mobile.all():
            h.update(self.mobile.tobytes())
        s = self._schedule
        h.update((of_function(s) if callable(s) else repr(s)).encode())
        for name, energy in sorted(self.observations.items()):
            h.update(f"{name} {_digest(energy)}".encode())
        return h.hexdigest()[:24]

    def __repr__(self) -> str:
        shown = {
            "temperature": self.temperature,
            "ridge": self.ridge,
            "reaction_rate": self.reaction_rate,
        }
        tail = "".join(f", {k}={v:g}" for k, v in shown.items() if v)
        return f"GradientFlow({self.energy!r}{tail})"


def _mask(what: str, names: Sequence[str], coordinates: Sequence[str]) -> np.ndarray:
    """1 where a coordinate is named, 0 elsewhere."""
    chosen = set(names_of(what, names))
    if wrong := sorted(chosen - set(coordinates)):
        raise InputError(f"{what} names '{wrong[0]}': the coordinates are {', '.join(coordinates)}")
    return np.array([float(c in chosen) for c in coordinates])


def _digest(energy: Energy) -> str:
    digest: object = energy.fingerprint()
    if not isinstance(digest, str):
        raise InputError(
            f"fingerprint of {type(energy).__name__} is {shown(digest)}: return a text"
        )
    return digest


def entropy(masses: np.ndarray, density: np.ndarray, log_volume: np.ndarray) -> float:
    """∫ ρ (log ρ − log vol) over cells, 0 log 0 = 0."""
    inside = density > 0
    return float(masses[inside] @ (np.log(density[inside]) - log_volume[inside]))
