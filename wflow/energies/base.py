r"""What every energy answers, and what it declares of itself.

An energy is prepared once for a set of points (a grid caches its features, particles work in blocks); given the
weights of these points it returns a :class:`Field` that knows the risk and the first variation

.. math:: R(\rho) = E\,\ell(y, f(x;\rho)), \qquad \Psi(\theta;\rho) = \tfrac12\,\frac{\delta R}{\delta\rho}(\theta).

A solver reads what an energy declares, ``affine`` and the like, and never its class: subclass :class:`Energy`, write
``dimension``, ``prepare`` and ``fingerprint``, and every solver serves it. What is not declared is not taken for
granted: Ψ may be any function of ρ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wflow.energies.arrays import answered, as_points, numbered
from wflow.energies.contracts import (
    of_the_library,
    refuse_open,
    refuse_wrong_slope,
    support,
    two_lots,
)
from wflow.energies.curvature import Curvature
from wflow.errors import InputError
from wflow.tools.checks import check_count, names_of
from wflow.tools.portable import Portable

if TYPE_CHECKING:
    from wflow.energies.features.energy import FeatureEnergy
    from wflow.measures import Measure


class Field(Protocol):
    """The energy's answer at one measure."""

    @property
    def risk(self) -> float: ...

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        """Ψ at the prepared points, or at ``points`` (n, D); shape (n,)."""

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        """∇Ψ at the prepared points, or at ``points``; shape (n, D)."""


class PreparedEnergy(Protocol):
    """An energy at fixed points; the weights may change. What depends on the points alone is formed once."""

    def field(self, weights: np.ndarray) -> Field: ...


class Units(Protocol):
    """σ*(x_q; θ) at inputs x, each of ``per_sample`` numbers in a row."""

    n_nodes: int
    per_sample: int

    def jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (n, Q) and slopes in θ (n, D, Q)."""


class Law(Protocol):
    """A measure as an energy sees it: weights at points."""

    def points(self) -> np.ndarray: ...

    def weights(self) -> np.ndarray: ...


class ParameterSpace(Portable, ABC):
    """Where θ lives: R^D, or what a reduction leaves of it.

    ``bounds`` (D, 2) is the domain (a radius is not negative); ``coordinates`` names the axes. Both, and what follows,
    are those of the whole R^D unless said otherwise. ``gathers_at_walls`` says that Ψ may have a slope at an end of the
    domain: then mass arrives there in finite time, and stays as an atom. ``relu_units`` says that neurons are
    a relu(⟨w, x⟩ [+ b]) with one output and θ = (a, [b,] w), of a kernel θ = w; ``node_inputs`` are the x of its nodes
    (Q, d), None where it knows none.
    """

    dimension: int
    gathers_at_walls: bool = False
    relu_units: bool = False

    @property
    def node_inputs(self) -> np.ndarray | None:
        """x at the nodes (Q, d), or None."""
        return None

    @cached_property
    def coordinates(self) -> tuple[str, ...]:
        d = self.dimension
        return ("x", "y", "z")[:d] if d <= 3 else numbered("x", d)

    @cached_property
    def bounds(self) -> np.ndarray:
        return np.tile([-np.inf, np.inf], (self.dimension, 1))

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        """log of the volume integrated out at each point (r^{d-1} for a radius); 0 in full space."""
        return np.zeros(points.shape[0])

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        """The gradient of ``reference_log_volume``, shape (n, D)."""
        return np.zeros_like(points)

    def refuse_temperature(self) -> str | None:
        """Why a positive temperature makes no sense here, or None."""
        return None

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of all that the answers depend on."""

    def refuse_without_names(self) -> None:
        """Refuse a dimension that is none, and names and bounds that are not one a coordinate."""
        check_count(f"dimension of {type(self).__name__}", getattr(self, "dimension", None))
        names_of("coordinates", self.coordinates)
        if len(self.coordinates) != self.dimension:
            raise InputError(
                f"{len(self.coordinates)} coordinate names for dimension {self.dimension}: give one a coordinate"
            )
        if self.bounds.shape != (self.dimension, 2):
            raise InputError(
                f"bounds of shape {self.bounds.shape}: give (lo, hi) for each of {self.dimension} coordinates"
            )


class SameSpace(ParameterSpace):
    """The space of another object, taken over: what is made of features has theirs."""

    def __init__(self, space: ParameterSpace) -> None:
        self._space = space
        self.dimension = space.dimension
        self.coordinates = space.coordinates
        self.bounds = space.bounds
        self.gathers_at_walls = space.gathers_at_walls

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        return self._space.reference_log_volume(points)

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        return self._space.reference_drift(points)

    def refuse_temperature(self) -> str | None:
        return self._space.refuse_temperature()


class Energy(ParameterSpace):
    r"""The risk as a functional of a measure on R^D, with what solvers may rely on.

    Attributes
    ----------
    affine : Ψ is affine in ρ, i.e. R is quadratic:
        :math:`R = R_\# + 2\int V\,d\rho + \iint U\,d\rho\,d\rho`, :math:`\Psi = V + \int U(\cdot,\theta')\,d\rho`
    interacts : Ψ depends on ρ; False where Ψ = V at every ρ
    needs_density : it is a functional of a density, prepared for the centres of a uniform grid with two cells or more
        an axis, which alone it reads volumes from
    local_stiffness : κ where Ψ(θ; ρ) = V(θ) + κρ(θ) is all; 0 otherwise
    evaluator : the name of who evaluates it, for the files of runs; no part of the fingerprint
    outputs : of the network, K
    scores : numbers that a field tells beside the risk, by the names of its attributes ("accuracy"); runs report them

    >>> class Mean(Energy):                                # R = E (2 − f)² with f = ∫θ dρ
    ...     dimension, affine = 1, True
    ...     def prepare(self, points): return MeanAt(points[:, 0])
    ...     def fingerprint(self): return "mean"
    >>> class MeanAt:
    ...     def __init__(self, x): self.x = x
    ...     def field(self, weights): return MeanField(self.x, 2 - weights @ self.x)
    >>> class MeanField:
    ...     def __init__(self, x, left): self.x, self.left, self.risk = x, left, left**2
    ...     def first_variation(self, points=None): return -self.left * (self.x if points is None else points[:, 0])
    ...     def gradient(self, points=None): return np.full((len(self.x if points is None else points), 1), -self.left)
    >>> Mean().diagonal(np.array([[3.0]]))                 # U(θ, θ') = θθ'
    array([9.])
    """

    affine: bool = False
    interacts: bool = True
    needs_density: bool = False
    local_stiffness: float = 0.0
    evaluator: str = "auto"
    outputs: int = 1
    scores: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, points: np.ndarray) -> PreparedEnergy:
        """The energy at fixed points (n, D)."""

    def check(self, start: Measure) -> None:
        """Hold the answers against one another at a few points of a start; a run does so once, before it steps.

        The gradient, where particles follow it, against differences of the first variation (what comes with the
        library is not asked again), and the first variation where an axis of the grid closes on itself.

        Raises
        ------
        InputError
            where they contradict one another
        """
        rings, gradients = start.rings, start.density is None and not self.tested
        if self.needs_density or not (rings or gradients):
            return
        names = self.coordinates
        at, law = two_lots(support(start, self.dimension), self.bounds)
        n = len(law)

        def answers(x: np.ndarray, what: str, shape: tuple[int, ...]) -> np.ndarray:
            # At points without mass beside the law they are those anywhere.
            masses = np.concatenate([np.full(n, start.mass / n), np.zeros(len(x))])
            try:
                field = self.prepare(np.concatenate([law, x])).field(masses)
                whole = (n + len(x), *shape[1:])
                return answered(what, getattr(field, what)(), whole)[n:]
            except Exception:  # noqa: BLE001  the run itself says what is wrong
                return np.full(shape, np.nan)

        def psi(x: np.ndarray) -> np.ndarray:
            return answers(x, "first_variation", x.shape[:1])

        def slope(x: np.ndarray) -> np.ndarray:
            return answers(x, "gradient", x.shape)

        refuse_open("the energy's first_variation", psi, at, rings, names)
        if gradients:
            refuse_wrong_slope("the energy's gradient", psi, slope, at, self.bounds, names)

    @property
    def tested(self) -> bool:
        """Whether the library's own tests hold the gradient against differences."""
        return of_the_library(self)

    def curvature(self, points: np.ndarray, weights: np.ndarray) -> Curvature:
        """How ∇Ψ changes as points (n, D) with weights (n,) move; differenced where nothing better is known."""
        return Curvature(self, points, weights)

    def why_not_affine(self) -> str:
        """The beginning of a line that refuses an energy that is not affine."""
        return f"{self!r} does not declare affine, a Psi that is affine in the measure"

    def diagonal(self, points: np.ndarray) -> np.ndarray:
        """U(θ_i, θ_i) of an affine energy, shape (n,).

        Raises
        ------
        InputError
            for an energy that is not affine, or needs a density
        """
        self._require_pairs()
        out = []
        for one in as_points(points, self.dimension)[:, None]:
            prepared = self.prepare(one)
            psi, v = (prepared.field(np.array([m])).first_variation()[0] for m in (1.0, 0.0))
            out.append(psi - v)
        return np.array(out)

    def columns(self, points: np.ndarray) -> Callable[[int], np.ndarray]:
        """j ↦ U(θ_i, θ_j) for all i, of an affine energy at fixed points.

        Raises
        ------
        InputError
            for an energy that is not affine, or needs a density
        """
        self._require_pairs()
        at = as_points(points, self.dimension)
        v = np.array(self.prepare(at).field(np.zeros(at.shape[0])).first_variation())

        def column(j: int) -> np.ndarray:
            one = self.prepare(at[j : j + 1]).field(np.ones(1))
            return np.asarray(one.first_variation(at) - v)

        return column

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        r"""The network's output at inputs x (m, d), or (m,) for d = 1.

        .. math:: f(x;\rho) = \int \sigma_*(x;\theta)\,\rho(d\theta)

        Returns
        -------
        array of shape (m,), or (m, K) for a network of K outputs

        Raises
        ------
        InputError
            for an energy that does not know σ*, and for inputs of another dimension
        """
        raise InputError(
            f"{type(self).__name__} has no predict: it knows the risk of a measure, not the network's inputs x"
        )

    def by_outputs(self) -> FeatureEnergy:
        """The same energy, as one that sees of a measure the outputs f alone, which its parts add up to.

        Raises
        ------
        InputError
            for an energy that sees pairs of neurons, a density, or does not say
        """
        raise InputError(
            f"{type(self).__name__} knows no outputs that parts of a measure add up to: give a FeatureEnergy "
            "(evaluator = 'features' in a system that has both)"
        )

    def on_nodes(self) -> FeatureEnergy:
        """The same risk as features at weighted nodes, for who needs the network's outputs at each of them.

        Raises
        ------
        InputError
            for an energy that knows no nodes
        """
        raise InputError(
            f"{type(self).__name__} knows no outputs at nodes: give a FeatureEnergy (evaluator = 'features' in a "
            "system that has both)"
        )

    def units_at(self, x: Any = None) -> Units:
        """σ* with its slopes in θ at inputs x (m, d), at the nodes by default.

        Raises
        ------
        InputError
            for an energy that does not know σ*, or knows no nodes, and for inputs of another dimension
        """
        features = self.on_nodes().features
        return features if x is None else features.at(x)

    def law(self, measure: Law) -> tuple[np.ndarray, np.ndarray]:
        """Points and weights of a measure on this energy's space, checked."""
        if not all(callable(getattr(measure, part, None)) for part in ("points", "weights")):
            raise InputError(
                f"measure is a {type(measure).__name__}: give a wflow.GridDensity or wflow.Particles"
            )
        return as_points(measure.points(), self.dimension), np.asarray(measure.weights())

    def _require_pairs(self) -> None:
        if self.needs_density:
            raise InputError(
                f"{type(self).__name__} is a functional of a density, without a U between points: give an energy "
                "of features or pairs"
            )
        if not self.affine:
            raise InputError(f"{self.why_not_affine()}: there is no U(theta, theta')")
