r"""What every energy answers.

An energy is prepared once for a set of points (a grid caches its features, particles work in blocks); given the
weights of these points it returns a :class:`Field` that knows the risk and the first variation

.. math:: R(\rho) = E\,\ell(y, f(x;\rho)), \qquad \Psi(\theta;\rho) = \tfrac12\,\frac{\delta R}{\delta\rho}(\theta).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


class Field(Protocol):
    """The energy's answer at one measure."""

    @property
    def risk(self) -> float: ...

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        """Ψ at the prepared points, or at ``points`` (n, D); shape (n,)."""

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        """∇Ψ at the prepared points, or at ``points``; shape (n, D)."""


class PreparedEnergy(Protocol):
    """An energy at fixed points; the weights may change."""

    def field(self, weights: np.ndarray) -> Field: ...


@runtime_checkable
class Energy(Protocol):
    """The risk as a functional of a measure on R^D.

    ``bounds`` (D, 2) is the domain of the state (a radius is not negative); ``coordinates`` names its axes.
    """

    dimension: int
    coordinates: tuple[str, ...]
    bounds: np.ndarray

    def prepare(self, points: np.ndarray) -> PreparedEnergy: ...

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        """log of the volume integrated out at each point (r^{d-1} for a radius); 0 in full space."""

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        """The gradient of ``reference_log_volume``, shape (n, D)."""

    def refuse_temperature(self) -> str | None:
        """Why a positive temperature makes no sense here, or None."""

    def fingerprint(self) -> str:
        """A digest of all that the energy depends on."""
