r"""A ReLU teacher learned by 2-homogeneous units, from starts that see all directions and from starts that do not.

.. math:: f_*(x) = \tfrac1M\sum_{k\le M} a_k^*\,(\langle w_k^*, x\rangle)_+, \qquad
          \sigma_*(x;\theta) = a\,(\langle w, x\rangle)_+, \qquad \theta = (a, w) \in R^{1+d}, \quad x \sim N(0, I_d)

σ*(·; rθ) = r²σ*(·; θ), so that θ·∇Ψ = 2Ψ, and along the noiseless flow with ξ = 1

.. math:: \frac{d}{dt}\int|\theta|^2 d\rho = -4\int\Psi\,d\rho = 4\,E[(f_* - f)\,f], \qquad
          \frac{d}{dt}\bigl(a^2 - |w|^2\bigr) = 0 \text{ of every neuron.}

A measure matters through its directions θ/|θ| on S^d and the mass |θ|² on each. If the flow converges, and its start
had mass in all directions, its limit has the least risk; finitely many neurons follow it the longer the more they are.

Which hole stalls it? A neuron with a ≥ |w| keeps a² − |w|² ≥ 0 and so the sign of a: the cone {a ≥ |w|} is never left.
Its complement on S^d is the cap of 135° around −e_a. A start without it has f = Σ positive ReLUs for ever, and R is
never less than

.. math:: R_+ = \inf\Bigl\{ E\Bigl(f_* - \int (\langle w,x\rangle)_+\,\nu(dw)\Bigr)^2 : \nu \ge 0 \Bigr\},

which is positive where f* has a negative part that no positive ReLUs make. Less of a hole does not stall it: of a
neuron with 0 ≤ a < |w| the charge may change its sign, and a start without the half a < 0, a cap of 90°, learns.

Values marked (m) are remembered, not read off the paper.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from wflow.energies.network import DenseNetwork
from wflow.energies.pairs.arc_cosine import ArcCosineKernel
from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.kernel import KernelSum
from wflow.errors import InputError
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import System, system
from wflow.systems.shared.label_noise import AMOUNT, with_noise
from wflow.systems.shared.students import StudentNetwork
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

INVARIANT = 135.0
"""Degrees of the cap whose complement, a ≥ |w|, no neuron leaves."""


@system
class HomogeneousTeacher(System):
    r"""ReLU units of both layers on a ReLU teacher, inputs N(0, I_d).

    Teachers have a*_k = 1, −1, 1, … and w*_k uniform on the unit sphere. Students start at
    θ = κ (cos φ, sin φ · ŵ), ŵ uniform on S^{d−1} and the angle φ from e_a uniform on (0°, 180°), or from the gap on
    (0°, 180° − angle).

    >>> from wflow.systems import get
    >>> system = get("homogeneous-teacher", d=3, teachers=2)
    >>> planted = system.planted()
    >>> bool(abs(system.energy().prepare(planted.points()).field(planted.weights()).risk) < 1e-14)
    True
    """

    name = "homogeneous-teacher"
    title = "2-homogeneous ReLU units on a ReLU teacher, from all directions or with a gap"
    source = "Chizat & Bach, NeurIPS 2018, sections 3.2 and 4"
    parameters = (
        Parameter("d", 2, "dimension, x ~ N(0, I)", int, "2, 100 (m)", low=2),
        Parameter("teachers", 4, "neurons M of the teacher", int, "4, 20 (m)", low=1),
        Parameter(
            "support",
            "full",
            "directions of the start: all of them, or none in a cap around -e_a",
            str,
            choices=("full", "gap"),
        ),
        Parameter(
            "angle",
            INVARIANT,
            "degrees from -e_a to the rim of the gap's cap; from 135 on no neuron crosses a = 0",
            low=0,
            high=179,
        ),
        Parameter("kappa", 1.0, "students start with |theta| = kappa", low=0, open_low=True),
        Parameter("teacher_seed", 0, "of the teacher's weights", int, low=0),
        Parameter("seed", 0, "of the particles: the start of the network of that seed", int, low=0),
        AMOUNT,
    )
    measures = ("particles",)
    random_particles = True
    clock = 1.0
    t_end = 100.0
    t_eval = (0.0, 1.0, 3.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
    sgd = {"n_neurons": 100, "step_size": 0.02, "batch_size": 100}  # noqa: RUF012

    def check(self) -> None:
        if self.support == "full" and self.angle != INVARIANT:
            raise InputError(
                f"angle = {self.angle:g} with support = full: only a gap has an angle; add support=gap"
            )

    @cached_property
    def teacher(self) -> tuple[np.ndarray, np.ndarray]:
        """a*_k, shape (M,), and w*_k, shape (M, d)."""
        # The teacher labels the inputs; the stream is that purpose's.
        w = stream(self.teacher_seed, "labels").standard_normal((self.teachers, self.d))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        return np.where(np.arange(self.teachers) % 2 == 0, 1.0, -1.0), w

    def target(self, x: np.ndarray) -> np.ndarray:
        """f* at inputs (count, d), shape (count,)."""
        charges, w = self.teacher
        return np.asarray(np.maximum(x @ w.T, 0.0) @ charges / self.teachers)

    def planted(self) -> Particles:
        """The teacher as a measure on (a, w), whose risk is 0; ∫|θ|²dρ = 2."""
        charges, w = self.teacher
        return Particles(np.column_stack([charges, w]), names=self.coordinates())

    def energy(self) -> KernelEnergy:
        charges, w = self.teacher
        kernel = ArcCosineKernel(self.d)
        target = KernelSum(kernel, w, charges / self.teachers)
        return KernelEnergy(kernel, target, constant=target.square(), charge_name="a")

    def coordinates(self) -> tuple[str, ...]:
        """Names of θ = (a, w1, …, wd)."""
        return ("a", *(f"w{i + 1}" for i in range(self.d)))

    def start_from(self, kind: str, n: int | None) -> Measure:
        return Particles(self.draw(n or 200, self.seed), names=self.coordinates())

    def draw(self, n: int, seed: int) -> np.ndarray:
        """I.i.d. neurons (a, w), shape (n, 1 + d); fewer of them are a prefix of more."""
        from scipy.special import ndtr

        # Φ of a normal number is uniform, and one draw a neuron leaves fewer neurons a prefix of more.
        theta = stream(seed, "start").standard_normal((n, 1 + self.d))
        widest = math.pi if self.support == "full" else math.pi * (1 - self.angle / 180)
        polar = widest * ndtr(theta[:, 0])
        theta[:, 1:] *= (np.sin(polar) / np.linalg.norm(theta[:, 1:], axis=1))[:, None]
        theta[:, 0] = np.cos(polar)
        return np.asarray(self.kappa * theta)

    def network(self) -> DenseNetwork:
        return with_noise(StudentNetwork(self), self.label_noise)
