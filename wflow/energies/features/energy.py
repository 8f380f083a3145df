r"""Energies from features at weighted nodes, the form that every risk of the sources takes.

.. math:: f_q = \int \sigma_*(x_q;\theta)\,\rho(d\theta), \quad r_q = \tfrac12\partial_f\ell(y_q, f_q), \quad
          \Psi(\theta) = \sum_q p_q r_q\,\sigma_*(x_q;\theta).

It costs O(Qn), never O(n²); U is positive semidefinite by construction, so R is convex in ρ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from wflow.energies.arrays import as_masses, as_points, as_vector
from wflow.energies.base import Energy, Law, SameSpace
from wflow.energies.contracts import of_the_library
from wflow.energies.evaluator import contractions
from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.energies.features.losses import Loss, get_loss
from wflow.errors import InputError
from wflow.tools.checks import check_kind


class FeatureField:
    """Risk, first variation and its gradient at one measure."""

    def __init__(
        self, energy: FeatureEnergy, prepared: PreparedFeatures, prediction: np.ndarray
    ) -> None:
        self.energy = energy
        self.prediction = prediction
        self._prepared = prepared
        self._node_weights = energy.weights * energy.loss.half_slope(energy.targets, prediction)

    @property
    def risk(self) -> float:
        e = self.energy
        return float(e.weights @ e.loss.value(e.targets, self.prediction))

    def first_variation(self, points: np.ndarray | None = None) -> np.ndarray:
        return self._at(points).potential(self._node_weights)

    def gradient(self, points: np.ndarray | None = None) -> np.ndarray:
        return self._at(points).gradient(self._node_weights)

    def _at(self, points: np.ndarray | None) -> PreparedFeatures:
        if points is None:
            return self._prepared
        return self.energy.features_of(as_points(points, self.energy.dimension))


class PreparedFeatureEnergy:
    """A feature energy at fixed points."""

    def __init__(self, energy: FeatureEnergy, points: np.ndarray) -> None:
        self._energy, self._n = energy, len(points)
        self._prepared = energy.features_of(points)

    def field(self, weights: np.ndarray) -> FeatureField:
        prediction = self._prepared.predict(as_masses(weights, self._n))
        return FeatureField(self._energy, self._prepared, prediction)


class FeatureEnergy(SameSpace, Energy):
    r"""The risk of a wide network on weighted nodes.

    .. math:: R(\rho) = \sum_q p_q\,\ell\bigl(y_q, \textstyle\int \sigma_*(x_q;\theta)\rho(d\theta)\bigr), \quad
              \sigma_*(x;\theta) = [a]\,\sigma(\langle w, x\rangle [+ b])

    Parameters
    ----------
    activation : name, :class:`Activation`, or a pair (value, derivative) of scalar functions
    nodes : (Q, d) array of inputs x_q (or (Q,) for d = 1)
    targets : (Q,) array y_q
    weights : (Q,) array p_q ≥ 0, by default 1/Q
    loss : "square" (y − f)² or "logistic" log(1 + e^{−yf}) with y = ±1
    charges, offset : whether θ has an output weight a and an offset b; θ = (a, b, w) in this order
    features : any other :class:`FeatureMap`, in place of activation, nodes, charges and offset
    evaluator : who forms the sums over features: "auto", the features' own, or a name of
        :mod:`wflow.energies.evaluator`

    Raises
    ------
    InputError
        for NaN data, mismatched shapes, negative weights, an unknown name, or an evaluator that does not serve these
        features

    Source: Mei, Montanari & Nguyen (2018), eqs. (3)–(7), in the convention of docs/conventions.md.

    >>> e = FeatureEnergy("tanh", [[-1.0], [1.0]], [-1.0, 1.0])
    >>> field = e.prepare(np.array([[0.5]])).field(np.ones(1))
    >>> bool(round(field.risk, 6) == round((1 - np.tanh(0.5)) ** 2, 6))
    True
    """

    def __init__(
        self,
        activation: Any = None,
        nodes: Any = None,
        targets: Any = None,
        weights: Any = None,
        loss: str | Loss = "square",
        *,
        charges: bool = False,
        offset: bool = False,
        features: FeatureMap | None = None,
        evaluator: str = "auto",
    ) -> None:
        if features is None:
            from wflow.energies.features.dense import DenseFeatures

            if activation is None or nodes is None:
                raise InputError("FeatureEnergy needs an activation and nodes, or features=")
            features = DenseFeatures(activation, nodes, charges=charges, offset=offset)
        check_kind("features", features, FeatureMap, "give features of wflow.energies")
        super().__init__(features)
        self.features: FeatureMap = features
        self.loss = get_loss(loss)
        self.affine = self.loss.quadratic
        self._prepare = contractions(evaluator, features)
        self.evaluator = evaluator
        self.targets = as_vector("targets", targets, features.n_nodes)
        self.loss.check_targets(self.targets)
        if weights is None:
            weights = np.full(features.n_nodes, 1.0 / features.n_nodes)
        self.weights = as_vector("weights", weights, features.n_nodes)
        if self.weights.min() < 0:
            raise InputError(
                f"node weight {self.weights.min():g}: weights must not be negative; drop such nodes"
            )

    def prepare(self, points: np.ndarray) -> PreparedFeatureEnergy:
        return PreparedFeatureEnergy(self, as_points(points, self.dimension))

    def features_of(self, points: np.ndarray) -> PreparedFeatures:
        """The features of points (n, D), by the evaluator chosen."""
        return self._prepare(points)

    @property
    def tested(self) -> bool:
        return super().tested and of_the_library(self.features)

    def why_not_affine(self) -> str:
        return f"loss '{self.loss.name}'"

    def diagonal(self, points: np.ndarray) -> np.ndarray:
        r"""U(θ_i, θ_i) = Σ_q p_q σ*(x_q; θ_i)², shape (n,)."""
        self._require_pairs()
        at, q = as_points(points, self.dimension), self.features.n_nodes
        n = at.shape[0]
        # A call costs some 40 µs whatever it does: Q calls for a node each, or n calls for a point each.
        if q * (4e-5 + 1e-9 * n * q) < n * (4e-5 + 1e-8 * q):
            prepared, out = self.features_of(at), np.zeros(n)
            for k in np.flatnonzero(self.weights):
                unit = np.zeros(q)
                unit[k] = 1.0
                out += self.weights[k] * prepared.potential(unit) ** 2
            return out
        rows = (self.features_of(one[None]).predict(np.ones(1)) for one in at)
        return np.array([self.weights @ row**2 for row in rows])

    def columns(self, points: np.ndarray) -> Callable[[int], np.ndarray]:
        r"""j ↦ U(θ_i, θ_j) = Σ_q p_q σ*(x_q; θ_i) σ*(x_q; θ_j): features once, then O(nQ) a column."""
        self._require_pairs()
        at = as_points(points, self.dimension)
        prepared = self.features_of(at)

        def column(j: int) -> np.ndarray:
            row = self.features_of(at[j : j + 1]).predict(np.ones(1))
            return prepared.potential(self.weights * row)

        return column

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ∫σ*(x; θ)ρ(dθ) at inputs x (m, d), shape (m,); see :meth:`Energy.predict`.

        >>> from wflow.measures import Particles
        >>> FeatureEnergy("relu", [1.0], [0.0]).predict(Particles([1.0, 3.0]), [0.5, -1.0]).tolist()
        [1.0, 0.0]
        """
        points, weights = self.law(measure)
        return contractions(self.evaluator, self.features.at(x))(points).predict(weights)

    def fingerprint(self) -> str:
        h = hashlib.sha256(self.features.fingerprint().encode())
        h.update(self.loss.name.encode())
        h.update(self.targets.tobytes())
        h.update(self.weights.tobytes())
        return h.hexdigest()

    def __repr__(self) -> str:
        return f"FeatureEnergy({self.features!r}, loss={self.loss.name!r})"
