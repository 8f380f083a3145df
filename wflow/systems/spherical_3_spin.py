r"""A random cubic polynomial on a sphere, learnt by bumps or sigmoids that carry charges.

.. math:: f_*(x) = \frac1d\sum_{ijk} a_{ijk}x_i x_j x_k, \quad a_{ijk} \sim N(0,1), \quad
          x \sim \mathrm{Unif}\,S^{d-1}(\sqrt d), \qquad \sigma_*(x;(c,y)) = c\,\varphi(x;y)

with bumps φ = e^{−κ|x−y|²/2}, whose risk is known in closed form (:mod:`wflow.energies.pairs.sphere`), or sigmoids
φ = 1/(1 + e^{−⟨w,x⟩−b}), whose risk is a mean over sampled nodes. Free charges may change sign, and with it the
direction in which a unit is drawn; fixed ones leave the flow in a bad stationary state.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy, get_activation
from wflow.energies.base import Energy
from wflow.energies.features.rbf import RbfFeatures
from wflow.energies.network import NetworkModel
from wflow.energies.pairs.sphere import CubicForm, SphereRbfKernel, SphereRbfTarget
from wflow.errors import InputError
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import EVALUATOR, System, system
from wflow.systems.shared.data import LIMIT_SEED
from wflow.systems.shared.label_noise import AMOUNT, with_noise
from wflow.systems.shared.sphere import frames, on_sphere
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream


@system
class SphericalThreeSpin(System):
    r"""f = d⁻¹ Σ a_ijk x_i x_j x_k on S^{d−1}(√d), a ~ N(0, 1); bumps or sigmoids with free or fixed charges.

    Start: bumps have y uniform on the sphere and c ~ N(0, 1); sigmoids w ~ N(0, I/d), b = 0, c ~ N(0, 1). Time is
    the source's, whose loss is ½E(f − f_n)². With κ = 5/d it is slow: K(y, y) is 0.014 on the sphere of d = 5 and
    3e-4 on that of d = 25, and charges of some 10² to 10⁴ have to grow: method "implicit" is for it.

    Sigmoids: the risk is a mean over ``nodes`` points, orthonormal frames turned at random with their opposites.
    Means of cubic polynomials are exact on them; the risk of a network that has not seen them has a relative standard
    error of about 2/√nodes, 1% by default. A trained one fits the nodes too: its risk elsewhere is higher, for n = 32
    in d = 10 by 5% of itself at t = 300 and 11% at t = 1000 (by 19% at t = 300 on 8192 nodes). Raise ``nodes`` with
    n(d + 2) and t. SGD draws fresh points and does not fit them.
    """

    name = "spherical-3-spin"
    title = "spherical 3-spin target, bumps or sigmoids with charges"
    source = "Rotskoff & Vanden-Eijnden (2018), arXiv:1805.00915, Section 5"
    parameters = (
        Parameter("d", 10, "dimension, x on the sphere of radius sqrt(d)", int, "5 to 25", low=2),
        Parameter(
            "unit",
            "rbf",
            "exp(-kappa |x-y|^2/2) or a sigmoid of <w,x> + b",
            str,
            "rbf, sigmoid",
            choices=("rbf", "sigmoid"),
        ),
        Parameter(
            "charges",
            "free",
            "charges c that learn, or stay as they were drawn",
            str,
            "free, fixed",
            choices=("free", "fixed"),
        ),
        Parameter(
            "kappa",
            0.0,
            "width of bumps, |x-y| ~ kappa^(-1/2); 0 is 5/d",
            low=0,
            published="5/d (m)",
        ),
        Parameter("target_seed", 0, "seed of the couplings a", int, low=0),
        Parameter("seed", LIMIT_SEED, "of the particles: the start of that network", int, low=0),
        Parameter("nodes", 32768, "sigmoids: points of the sphere that carry the risk", int, low=2),
        AMOUNT,
        EVALUATOR,
    )
    measures = ("particles",)
    random_particles = True
    clock = 1.0
    t_end = 1000.0
    t_eval = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    # A batch of P = n² samples, as published; Euler's steps are stable up to about 0.6 until t = 1000.
    sgd = {"n_neurons": 64, "step_size": 0.25, "batch_size": 4096}  # noqa: RUF012

    def check(self) -> None:
        if self.unit == "rbf" and self.evaluator != "auto":
            raise InputError(
                f"evaluator = '{self.evaluator}' with unit = 'rbf', whose risk is a closed kernel without features: "
                "leave it, or take unit = 'sigmoid'"
            )

    def width(self) -> float:
        """κ."""
        return float(self.kappa) or 5.0 / self.d

    def form(self) -> CubicForm:
        """The target."""
        # Couplings label the inputs; the stream is that purpose's, apart from those of networks.
        return CubicForm(stream(self.target_seed, "labels").standard_normal((self.d,) * 3))

    def energy(self) -> Energy:
        form = self.form()
        if self.unit == "rbf":
            from wflow.energies.pairs.closed import KernelEnergy

            return KernelEnergy(
                SphereRbfKernel(self.d, self.width()),
                SphereRbfTarget(form, self.width()),
                charges=True,
                constant=form.square_norm(),
                charge_name="c",
            )
        x = math.sqrt(self.d) * frames(self.d, -(-self.nodes // 2))
        return FeatureEnergy(
            "sigmoid", x, form.values(x), charges=True, offset=True, evaluator=self.evaluator
        )

    def coordinates(self) -> tuple[str, ...]:
        """Names of θ: (c, y1, …) or (a, b, w1, …)."""
        head = ("c", "y") if self.unit == "rbf" else ("a", "b", "w")
        return (*head[:-1], *(f"{head[-1]}{i + 1}" for i in range(self.d)))

    def frozen(self) -> tuple[str, ...]:
        """Coordinates that do not learn."""
        return self.coordinates()[:1] if self.charges == "fixed" else ()

    def start_from(self, kind: str, n: int | None) -> Measure:
        return Particles(self.draw(n or 256, self.seed), names=self.coordinates())

    def draw(self, n: int, seed: int) -> np.ndarray:
        """I.i.d. units, shape (n, D)."""
        rng = stream(seed, "start")
        charge = rng.standard_normal((n, 1))
        direction = rng.standard_normal((n, self.d))
        if self.unit == "sigmoid":
            return np.concatenate([charge, np.zeros((n, 1)), direction / math.sqrt(self.d)], axis=1)
        return np.concatenate([charge, on_sphere(direction)], axis=1)

    def network(self) -> NetworkModel:
        network = RbfNetwork(self) if self.unit == "rbf" else SigmoidNetwork(self)
        return with_noise(network, self.label_noise)


class SphereNetwork:
    """What both networks share: samples uniform on the sphere with their targets, start, risk."""

    charges = True
    loss = "square"

    def __init__(self, system: SphericalThreeSpin) -> None:
        self._system = system
        self._form = system.form()
        self.input_dimension = int(system.d)

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = on_sphere(stream(seed, "inputs", first).standard_normal((count, self.input_dimension)))
        return x, self._form.values(x)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        return self._system.draw(n_neurons, seed)

    def risk_energy(self) -> Energy:
        return self._system.energy()

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return neurons


class RbfNetwork(SphereNetwork):
    """Bumps c exp(−κ|x − y|²/2)."""

    offset = False

    def features(self, x: np.ndarray) -> RbfFeatures:
        """The bumps' features of a batch of inputs (count, d)."""
        return RbfFeatures(x, kappa=self._system.width(), charges=True, charge_name="c")


class SigmoidNetwork(SphereNetwork):
    """Neurons a/(1 + exp(−⟨w, x⟩ − b))."""

    offset = True

    def __init__(self, system: SphericalThreeSpin) -> None:
        super().__init__(system)
        self.activation: Any = get_activation("sigmoid")
