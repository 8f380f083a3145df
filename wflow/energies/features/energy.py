r"""Energies from features at weighted nodes, the form that every risk of the sources takes.

.. math:: f_q = \int \sigma_*(x_q;\theta)\,\rho(d\theta), \quad r_q = \tfrac12\partial_f\ell(y_q, f_q), \quad
          \Psi(\theta) = \sum_q p_q r_q\,\sigma_*(x_q;\theta).

It costs O(Qn), never O(n²); U is positive semidefinite by construction, so R is convex in ρ.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np

from wflow.energies.features.losses import Loss, get_loss
from wflow.errors import InputError


class PreparedFeatures(Protocol):
    """Features σ*(x_q; θ_i) of fixed points θ, contracted either way."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """Σ_i w_i σ*(x_q; θ_i), shape (Q,)."""

    def potential(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q c_q σ*(x_q; θ_i), shape (n,)."""

    def gradient(self, node_weights: np.ndarray) -> np.ndarray:
        """Σ_q c_q ∇_θ σ*(x_q; θ_i), shape (n, D)."""


class FeatureMap(Protocol):
    """A family of features σ*(x_q; θ) on Q nodes."""

    n_nodes: int
    dimension: int

    @property
    def coordinates(self) -> tuple[str, ...]: ...
    @property
    def bounds(self) -> np.ndarray: ...

    def prepare(self, points: np.ndarray) -> PreparedFeatures: ...

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray: ...

    def reference_drift(self, points: np.ndarray) -> np.ndarray: ...

    def refuse_temperature(self) -> str | None: ...

    def fingerprint(self) -> str: ...


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
        return self.energy.features.prepare(as_points(points, self.energy.dimension))


class PreparedFeatureEnergy:
    """A feature energy at fixed points."""

    def __init__(self, energy: FeatureEnergy, prepared: PreparedFeatures) -> None:
        self._energy = energy
        self._prepared = prepared

    def field(self, weights: np.ndarray) -> FeatureField:
        return FeatureField(self._energy, self._prepared, self._prepared.predict(weights))


class FeatureEnergy:
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

    Raises
    ------
    InputError
        for NaN data, mismatched shapes, negative weights or an unknown name

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
    ) -> None:
        if features is None:
            from wflow.energies.features.dense import DenseFeatures

            if activation is None or nodes is None:
                raise InputError("FeatureEnergy needs an activation and nodes, or features=")
            features = DenseFeatures(activation, nodes, charges=charges, offset=offset)
        self.features: FeatureMap = features
        self.loss = get_loss(loss)
        self.targets = as_vector("targets", targets, features.n_nodes)
        self.loss.check_targets(self.targets)
        if weights is None:
            weights = np.full(features.n_nodes, 1.0 / features.n_nodes)
        self.weights = as_vector("weights", weights, features.n_nodes)
        if self.weights.min() < 0:
            raise InputError(
                f"node weight {self.weights.min():g}: weights must not be negative; drop such nodes"
            )
        self.dimension = features.dimension
        self.coordinates = features.coordinates
        self.bounds = features.bounds

    def prepare(self, points: np.ndarray) -> PreparedFeatureEnergy:
        return PreparedFeatureEnergy(self, self.features.prepare(as_points(points, self.dimension)))

    def reference_log_volume(self, points: np.ndarray) -> np.ndarray:
        return self.features.reference_log_volume(points)

    def reference_drift(self, points: np.ndarray) -> np.ndarray:
        return self.features.reference_drift(points)

    def refuse_temperature(self) -> str | None:
        return self.features.refuse_temperature()

    def fingerprint(self) -> str:
        h = hashlib.sha256(self.features.fingerprint().encode())
        h.update(self.loss.name.encode())
        h.update(self.targets.tobytes())
        h.update(self.weights.tobytes())
        return h.hexdigest()

    def __repr__(self) -> str:
        return f"FeatureEnergy({self.features!r}, loss={self.loss.name!r})"


def as_points(points: Any, dimension: int) -> np.ndarray:
    """Check and return points as a C-ordered (n, D) float array.

    >>> as_points([1.0, 2.0], 1).shape
    (2, 1)
    """
    p = np.ascontiguousarray(points, dtype=np.float64)
    if p.ndim == 1 and dimension == 1:
        p = p[:, None]
    if p.ndim != 2 or p.shape[1] != dimension:
        raise InputError(f"points of shape {p.shape}: expected (n, {dimension}), one row a point")
    return p


def as_vector(name: str, values: Any, n: int) -> np.ndarray:
    """Check and return a finite (n,) float array."""
    if values is None:
        raise InputError(f"{name} missing: give an array of {n} numbers, one a node")
    try:
        v = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise InputError(f"{name} must be numbers: {e}") from None
    if v.shape != (n,):
        raise InputError(f"{name} of shape {v.shape}: expected ({n},), one entry a node")
    if not np.isfinite(v).all():
        bad = int(np.flatnonzero(~np.isfinite(v))[0])
        raise InputError(f"{name}[{bad}] is {v[bad]}: entries must be finite; clean the data first")
    v.setflags(write=False)
    return v


def digest(*parts: object) -> str:
    """SHA-256 over text and arrays, the fingerprint by which a resumed run knows its problem."""
    h = hashlib.sha256()
    for part in parts:
        h.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return h.hexdigest()
