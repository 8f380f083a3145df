r"""Clusters in a plane that two classes share, told apart by ReLU networks under the logistic loss.

.. math:: x = (1, x_1, x_2, x_3, \dots, x_{d-1}), \qquad (x_1, x_2) = c_{pq} + \Delta U(\cos\varphi, \sin\varphi),
          \qquad \Delta = \frac1{3k - 1}

with k² centres :math:`c_{pq} = \Delta(1 + 3(p, q)) - \tfrac12`, p, q = 0 … k − 1, U uniform on (0, 1), φ on the circle
and all other coordinates on (−½, ½). ⌊k²/2⌋ clusters, drawn at random, are labelled −1 and the others +1. Points of
different clusters are Δ apart or more, and coordinates from x₃ on say nothing of the label.

Units :math:`a\langle w, x\rangle_+` are homogeneous of degree 2 in θ = (a, w). Directions of such networks go to
large margins (:mod:`wflow.spaces`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from wflow.systems.catalogue import EVALUATOR, system
from wflow.systems.shared.data import LIMIT_SEED, DataNetwork, DataSystem, Samples
from wflow.systems.shared.label_noise import LABEL_NOISE
from wflow.tools.memory import check_held
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream


@system
class Clusters(DataSystem):
    """Neurons a relu(⟨w, x⟩) on k² clusters, logistic loss; d counts the constant coordinate.

    One ``data_seed`` draws the labels of the clusters, then the samples, and apart from them the test points: fewer
    samples, or test points, are a prefix of more.

    >>> from wflow.systems import get
    >>> clusters = get("clusters", k=4, d=3, samples=6)
    >>> x, y = clusters.data()
    >>> x.shape, x[:, 0].tolist(), int((clusters.labels() < 0).sum())
    ((6, 3), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 8)
    """

    name = "clusters"
    title = "k x k clusters of two classes in a plane, ReLU network, logistic loss"
    source = "Chizat & Bach, arXiv:2002.04486, Section 5"
    parameters = (
        Parameter("k", 3, "k^2 clusters", int, "3; 4 in the picture", low=2),
        Parameter(
            "d", 15, "coordinates, the constant and the plane among them", int, "5 ... 25", low=3
        ),
        Parameter("samples", 256, "points to train on", int, "32 ... 512", low=1),
        Parameter(
            "test", 4000, "fresh points, whose risk is the series test_risk", int, "4000", low=0
        ),
        Parameter(
            "bias",
            "yes",
            "whether inputs have the constant coordinate; without it they are one shorter",
            str,
            choices=("yes", "no"),
        ),
        Parameter(
            "data_seed", 0, "of the clusters' labels, the samples and the test points", int, low=0
        ),
        Parameter("seed", LIMIT_SEED, "of the particles: the start of that network", int, low=0),
        Parameter(
            "kappa",
            1.0,
            "start: a ~ N(0, 1), w ~ N(0, kappa^2 I)",
            published="1",
            low=0,
            open_low=True,
        ),
        *LABEL_NOISE,
        EVALUATOR,
    )
    activation = "relu"
    loss = "logistic"
    offset = False
    clock = 2.0  # the source's flow follows the gradient of R, ours that of R/2
    t_end = 50.0
    sgd = {"n_neurons": 400, "step_size": 1e-2, "batch_size": 1}  # noqa: RUF012

    @property
    def spacing(self) -> float:
        """Δ, the radius of a cluster; centres are 3Δ apart."""
        return 1.0 / float(3 * self.k - 1)

    def centres(self) -> np.ndarray:
        """Centres in the plane, (k², 2), row by row of x₁."""
        at = self.spacing * (1.0 + 3.0 * np.arange(self.k)) - 0.5
        return np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2)

    def labels(self) -> np.ndarray:
        """Label of each cluster, (k²,)."""
        count = self.k**2
        signs = np.ones(count)
        signs[stream(self.data_seed, "labels").permutation(count)[: count // 2]] = -1.0
        return signs

    def check(self) -> None:
        for name in ("samples", "test"):
            check_held(name, self.values[name], 2 * self.d)
        check_held("k", self.k, 8 * self.k)

    def read(self) -> Samples:
        return self.draw(self.samples, "inputs")

    def draw(self, count: int, purpose: str = "inputs") -> Samples:
        """Points (count, d) and their labels (count,), of one stream each."""
        rng = stream(self.data_seed, purpose)
        # One row of uniform numbers a point, so that fewer points are a prefix of more.
        u = rng.random((count, self.d))
        where = (u[:, 0] * self.k**2).astype(int)
        angle = 2 * np.pi * u[:, 1]
        around = (self.spacing * u[:, 2])[:, None] * np.stack(
            [np.cos(angle), np.sin(angle)], axis=1
        )
        x = np.concatenate([self.centres()[where] + around, u[:, 3:] - 0.5], axis=1)
        if self.bias == "yes":
            x = np.concatenate([np.ones((count, 1)), x], axis=1)
        return x, self.labels()[where]

    def scales(self) -> bool:
        return False

    @cached_property
    def _parts(self) -> tuple[Samples, Samples | None]:
        return self.read(), self.draw(self.test, "split") if self.test else None

    def network(self) -> ClusterNetwork:
        return ClusterNetwork(self)


class ClusterNetwork(DataNetwork):
    """Neurons a relu(⟨w, x⟩) on the samples, from w ~ N(0, κ² I)."""

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        theta = stream(seed, "start").standard_normal((n_neurons, 1 + self.input_dimension))
        theta[:, 1:] *= self._system.kappa
        return theta
