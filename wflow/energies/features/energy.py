r"""Energies from features at weighted nodes, the form that every risk of the sources takes.

.. math:: f_q = \int \sigma_*(x_q;\theta)\,\rho(d\theta), \quad r_q = \tfrac12\partial_f\ell(y_q, f_q), \quad
          \Psi(\theta) = \sum_q p_q\langle r_q, \sigma_*(x_q;\theta)\rangle.

It costs O(Qn), never O(n²); U is positive semidefinite by construction, so R is convex in ρ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from wflow.energies.arrays import as_masses, as_points, node_weights
from wflow.energies.base import Energy, Law, SameSpace
from wflow.energies.contracts import of_the_library
from wflow.energies.curvature import Curvature
from wflow.energies.evaluator import contractions
from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.energies.features.curvature import FeatureCurvature
from wflow.energies.features.losses import Loss, get_loss, right
from wflow.energies.features.output_nodes import OutputNodes
from wflow.energies.features.targets import as_targets, refuse_misfit
from wflow.errors import InputError
from wflow.tools.checks import check_flag, check_kind


class FeatureField:
    """Risk, first variation and its gradient at one measure."""

    def __init__(
        self, energy: FeatureEnergy, prepared: PreparedFeatures, prediction: np.ndarray
    ) -> None:
        self.energy = energy
        self.prediction = prediction
        self._prepared = prepared
        self._node_weights = energy.weighted(energy.loss.half_slope(energy.targets, prediction))

    @property
    def risk(self) -> float:
        return self.energy.risk_of(self.prediction)

    @property
    def accuracy(self) -> float:
        """The share of the nodes, by weight, whose class the network tells right."""
        return self.energy.accuracy_of(self.prediction)

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
    targets : (Q,) array y_q; or (Q, K) for networks of K outputs, whose neurons have charges a ∈ R^K
    weights : (Q,) array p_q ≥ 0, by default 1/Q
    loss : "square" |y − f|², "huber", "logistic" log(1 + e^{−yf}) with y = ±1, or "softmax", the cross-entropy
        −Σ_k y_k log softmax(f)_k of class probabilities in the rows of (Q, K), or of labels 0 … K−1, (Q,)
    charges, offset : whether θ has output weights a and an offset b; θ = (a, b, w) or (a1, …, aK, b, w) in this order
    features : any other :class:`FeatureMap`, in place of activation, nodes, charges and offset
    evaluator : who forms the sums over features: "auto", the features' own, or a name of
        :mod:`wflow.energies.evaluator`
    outputs : K where targets are labels that may not name all classes; else what the targets say
    accuracy : whether targets are classes, ±1 or the largest of a row, so that runs tell the share told right; by
        default those of the logistic and softmax losses are

    Raises
    ------
    InputError
        for NaN data, mismatched shapes, negative weights, an unknown name, a loss of another number of outputs, or an
        evaluator that does not serve these features

    Source: Mei, Montanari & Nguyen (2018), eqs. (3)–(7), in the convention of docs/conventions.md.

    >>> e = FeatureEnergy("tanh", [[-1.0], [1.0]], [-1.0, 1.0])
    >>> field = e.prepare(np.array([[0.5]])).field(np.ones(1))
    >>> bool(round(field.risk, 6) == round((1 - np.tanh(0.5)) ** 2, 6))
    True
    >>> e = FeatureEnergy("tanh", [[-1.0], [1.0]], [0, 2], loss="softmax", charges=True)
    >>> e.coordinates, round(e.prepare(np.zeros((1, 4))).field(np.ones(1)).risk, 4)
    (('a1', 'a2', 'a3', 'w'), 1.0986)
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
        outputs: int | None = None,
        accuracy: bool | None = None,
    ) -> None:
        self.loss = get_loss(loss)
        self.targets = as_targets(targets, self.loss, outputs)
        if features is None:
            if activation is None or nodes is None:
                raise InputError("FeatureEnergy needs an activation and nodes, or features=")
            count = self.targets[:1].size
            features = _neurons(activation, nodes, count, charges, offset)
        check_kind("features", features, FeatureMap, "give features of wflow.energies")
        refuse_misfit(self.targets, features.n_nodes, features.outputs)
        super().__init__(features)
        self.relu_units = features.relu_units and features.outputs == 1
        self.features: FeatureMap = features
        self.affine, self.outputs = self.loss.quadratic, features.outputs
        self._prepare = contractions(evaluator, features)
        self.evaluator = evaluator
        told = self.loss.classifies if accuracy is None else check_flag("accuracy", accuracy)
        self.scores = ("accuracy",) if told else ()
        self.weights = node_weights(weights, features.n_nodes)

    def prepare(self, points: np.ndarray) -> PreparedFeatureEnergy:
        return PreparedFeatureEnergy(self, as_points(points, self.dimension))

    @property
    def node_inputs(self) -> np.ndarray | None:
        return self.features.node_inputs

    def features_of(self, points: np.ndarray) -> PreparedFeatures:
        """The features of points (n, D), by the evaluator chosen."""
        return self._prepare(points)

    def risk_of(self, prediction: np.ndarray) -> float:
        """The risk of a network of the outputs f_q, (Q,) or (Q, K)."""
        return float(self.weights @ self.loss.value(self.targets, prediction))

    def accuracy_of(self, prediction: np.ndarray) -> float:
        """The share of the nodes, by weight, whose class these outputs tell right."""
        return float(self.weights @ right(self.targets, prediction) / self.weights.sum())

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """p_q times what belongs to the node q, (Q,) or (Q, K)."""
        shape = (-1, 1)[: values.ndim]
        return np.asarray(self.weights.reshape(shape) * values)

    def curvature(self, points: np.ndarray, weights: np.ndarray) -> Curvature:
        return FeatureCurvature(self, points, weights)

    @property
    def tested(self) -> bool:
        return super().tested and of_the_library(self.features)

    def why_not_affine(self) -> str:
        return f"loss '{self.loss.name}'"

    def diagonal(self, points: np.ndarray) -> np.ndarray:
        r"""U(θ_i, θ_i) = Σ_q p_q |σ*(x_q; θ_i)|², shape (n,)."""
        self._require_pairs()
        at, q = as_points(points, self.dimension), self.features.n_nodes
        n = at.shape[0]
        # A call costs some 40 µs whatever it does: Q calls for a node each, or n calls for a point each.
        one_output = self.outputs == 1
        if one_output and q * (4e-5 + 1e-9 * n * q) < n * (4e-5 + 1e-8 * q):
            prepared, out = self.features_of(at), np.zeros(n)
            for k in np.flatnonzero(self.weights):
                unit = np.zeros(q)
                unit[k] = 1.0
                out += self.weights[k] * prepared.potential(unit) ** 2
            return out
        rows = (self.features_of(one[None]).predict(np.ones(1)) for one in at)
        return np.array([self.weights @ (row**2).reshape(q, -1).sum(axis=1) for row in rows])

    def columns(self, points: np.ndarray) -> Callable[[int], np.ndarray]:
        r"""j ↦ U(θ_i, θ_j) = Σ_q p_q ⟨σ*(x_q; θ_i), σ*(x_q; θ_j)⟩: features once, then O(nQ) a column."""
        self._require_pairs()
        at = as_points(points, self.dimension)
        prepared = self.features_of(at)

        def column(j: int) -> np.ndarray:
            row = self.features_of(at[j : j + 1]).predict(np.ones(1))
            return prepared.potential(self.weighted(row))

        return column

    def predict(self, measure: Law, x: Any) -> np.ndarray:
        """f(x; ρ) = ∫σ*(x; θ)ρ(dθ) at inputs x (m, d), shape (m,) or (m, K); see :meth:`Energy.predict`.

        >>> from wflow.measures import Particles
        >>> FeatureEnergy("relu", [1.0], [0.0]).predict(Particles([1.0, 3.0]), [0.5, -1.0]).tolist()
        [1.0, 0.0]
        """
        points, weights = self.law(measure)
        return contractions(self.evaluator, self.features.at(x))(points).predict(weights)

    def by_outputs(self) -> FeatureEnergy:
        return self

    def on_nodes(self) -> FeatureEnergy:
        count = self.outputs
        if count == 1:
            return self
        if self.loss.outputs != "any":
            raise InputError(
                f"loss '{self.loss.name}' joins the {count} outputs of a node: what asks for outputs one by one takes "
                "loss = 'square'"
            )
        return FeatureEnergy(
            features=OutputNodes(self.features),
            targets=self.targets.ravel(),
            weights=np.repeat(self.weights, count),
            loss=self.loss,
        )

    def fingerprint(self) -> str:
        h = hashlib.sha256(self.features.fingerprint().encode())
        h.update(self.loss.name.encode())
        h.update(self.targets.tobytes())
        h.update(self.weights.tobytes())
        return h.hexdigest()

    def __repr__(self) -> str:
        return f"FeatureEnergy({self.features!r}, loss={self.loss.name!r})"


def _neurons(activation: Any, nodes: Any, outputs: int, charges: bool, offset: bool) -> FeatureMap:
    """The neurons of a network of so many outputs."""
    from wflow.energies.features.dense import DenseFeatures
    from wflow.energies.features.dense_outputs import DenseOutputs

    if outputs == 1:
        return DenseFeatures(activation, nodes, charges=charges, offset=offset)
    if not check_flag("charges", charges):
        raise InputError(
            f"targets of {outputs} columns without charges: the neurons of a network of {outputs} outputs have as many "
            "weights a; give charges=True"
        )
    return DenseOutputs(activation, nodes, outputs, offset=offset)
