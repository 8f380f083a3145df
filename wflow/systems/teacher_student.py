r"""A student network of ReLU neurons learns a teacher of a few such neurons, on inputs uniform on the unit sphere.

.. math:: f_*(x) = m\sum_{k\le M} a_k^*\,(\langle w_k^*, x\rangle)_+, \qquad
          \sigma_*(x;(a,w)) = g\,a\,(\langle w, x\rangle)_+, \qquad R(\rho) = E\Bigl(f_* - \int\sigma_*\,d\rho\Bigr)^2

The mean-field average has g = 1 and m = 1/M: f = (1/n) Σ, f* = (1/M) Σ. The plain sums of the source, f = Σ_{i≤n} and
f* = Σ_{k≤M}, have g = n and m = 1. Their gradient descent is the flow of this R slowed down by n,

.. math:: \dot\theta = E(f_* - f)\,\nabla\bigl(a(\langle w,x\rangle)_+\bigr)
          = \tfrac1n E(f_* - f)\,\nabla\sigma_* = -\tfrac1n\nabla\Psi,

so this system's clock is 1/n there, and a step h of descent on the whole of (f* − f)², as the source's, is 2h of it.
Seen as averages, the same paths have target f*/n, n times the speed, and R less by n². A ReLU takes g into its inputs,
g relu(⟨w, x⟩) = relu(⟨w, gx⟩): the network sees them on the sphere of radius g.

All means are arc-cosine kernels, K(w, w') = E relu relu (:class:`wflow.energies.pairs.arc_cosine.ArcCosineKernel`).
As a relu is homogeneous of degree one, the flow without ridge and noise conserves a_i² − |w_i|² of every neuron.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from wflow.energies.network import DenseNetwork
from wflow.energies.pairs.arc_cosine import ArcCosineKernel
from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.kernel import KernelSum
from wflow.equation import Schedule
from wflow.measures import Measure, Particles
from wflow.systems.catalogue import System, system
from wflow.systems.shared.label_noise import AMOUNT, with_noise
from wflow.systems.shared.students import StudentNetwork
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream


@system
class TeacherStudentSystem(System):
    r"""ReLU students of a ReLU teacher, x uniform on S^{d−1}, online batches of 100.

    By default lengths are chosen so that ⟨w, x⟩ = O(1): students start with a ~ N(0, 1) and w ~ N(0, κ² I); teachers
    have a*_k = 1, −1, 1, … and w*_k uniform on the sphere of radius √d.

    ``start="published"`` is that of the source's code, with plain sums unless averages are asked for: students have
    a ~ U(±1/√n) and w ~ N(0, I/n), teachers a* ~ U(±1/√M) and w* uniform on the sphere of radius 1/|a*|. Its 1e5 steps
    of 0.02 end at t = 4000; its births and deaths have α = 50, and 0.5 where neurons that die are drawn anew.

    >>> from wflow.systems import get
    >>> system = get("teacher-student", d=5, teachers=3)
    >>> energy, planted = system.energy(), system.planted()
    >>> field = energy.prepare(planted.points()).field(planted.weights())
    >>> bool(abs(field.risk) < 1e-14)
    True
    """

    name = "teacher-student"
    title = "ReLU students of a ReLU teacher, inputs uniform on the unit sphere"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML 2019, Section 5"
    parameters = (
        Parameter("d", 50, "dimension, x on the unit sphere of R^d", int, "50", low=2),
        Parameter("teachers", 10, "neurons M of the teacher", int, "10", low=1),
        Parameter(
            "neurons", 50, "neurons n of a student; the g of the plain sum", int, "50", low=1
        ),
        Parameter(
            "start",
            "normal",
            "laws of students and teachers: lengths of order 1, or those of the source's code",
            str,
            published="published",
            choices=("normal", "published"),
        ),
        Parameter(
            "scaling",
            "auto",
            "averages 1/n and 1/M, or plain sums; auto: sums from the published start, averages otherwise",
            str,
            published="sum",
            choices=("auto", "mean-field", "sum"),
        ),
        Parameter(
            "kappa",
            1.0,
            "the normal start: students have w ~ N(0, kappa^2 I)",
            low=0,
            open_low=True,
        ),
        Parameter("teacher_seed", 0, "of the teacher's weights", int, low=0),
        Parameter("seed", 0, "of the particles: the start of the network of that seed", int, low=0),
        AMOUNT,
    )
    measures = ("particles",)
    random_particles = True
    ridge_on = ("a",)
    clock = 1.0
    t_end = 1000.0
    t_eval = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 200.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0)
    sgd = {"n_neurons": 50, "step_size": 0.05, "batch_size": 100}  # noqa: RUF012

    @property
    def sums(self) -> bool:
        """Whether outputs are plain sums."""
        if self.scaling == "auto":
            return bool(self.start == "published")
        return bool(self.scaling == "sum")

    @property
    def gain(self) -> float:
        """g, by which a neuron's output is multiplied before the average over neurons."""
        return float(self.neurons) if self.sums else 1.0

    def schedule(self) -> Schedule:
        """1/g: descent on the plain sum is the flow slowed down by n."""
        return 1.0 / self.gain

    @cached_property
    def teacher(self) -> tuple[np.ndarray, np.ndarray]:
        """m a*_k, shape (M,), and w*_k, shape (M, d)."""
        # The teacher labels the inputs; the stream is that purpose's.
        rng = stream(self.teacher_seed, "labels")
        w = rng.standard_normal((self.teachers, self.d))
        charges, length = np.where(np.arange(self.teachers) % 2 == 0, 1.0, -1.0), math.sqrt(self.d)
        if self.start == "published":
            charges = rng.uniform(-1.0, 1.0, self.teachers) / math.sqrt(self.teachers)
            length = 1.0 / np.abs(charges)[:, None]
        w *= length / np.linalg.norm(w, axis=1, keepdims=True)
        return (charges if self.sums else charges / self.teachers), w

    def target(self, x: np.ndarray) -> np.ndarray:
        """f* at inputs (count, d), shape (count,)."""
        charges, w = self.teacher
        return np.asarray(np.maximum(x @ w.T, 0.0) @ charges)

    def planted(self) -> Particles:
        """The teacher as a measure on (a, w), whose risk is 0."""
        charges, w = self.teacher
        a = charges * self.teachers / self.gain
        return Particles(np.column_stack([a, w]), names=self.coordinates())

    def energy(self) -> KernelEnergy:
        # In units g relu the teacher has charges m a*/g.
        charges, w = self.teacher
        kernel = ReluKernel(self.d, self.gain)
        target = KernelSum(kernel, w, charges / self.gain)
        return KernelEnergy(kernel, target, constant=target.square(), charge_name="a")

    def coordinates(self) -> tuple[str, ...]:
        """Names of θ = (a, w1, …, wd)."""
        return ("a", *(f"w{i + 1}" for i in range(self.d)))

    def start_from(self, kind: str, n: int | None) -> Measure:
        return Particles(self.draw(n or self.neurons, self.seed), names=self.coordinates())

    def draw(self, n: int, seed: int) -> np.ndarray:
        """I.i.d. neurons (a, w), shape (n, 1 + d); fewer of them are a prefix of more."""
        from scipy.special import ndtr

        theta = stream(seed, "start").standard_normal((n, 1 + self.d))
        if self.start == "published":
            # Φ of a normal number is uniform: fewer neurons stay a prefix of more.
            theta[:, 0] = (2 * ndtr(theta[:, 0]) - 1) / math.sqrt(self.neurons)
            theta[:, 1:] /= math.sqrt(self.neurons)
        else:
            theta[:, 1:] *= self.kappa
        return theta

    def base_law(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """a = 0, and w ~ N(0, I/n²) as published or, for the normal start, its own w ~ N(0, κ² I)."""
        spread = 1.0 / self.neurons if self.start == "published" else self.kappa
        return np.column_stack([np.zeros(n), spread * rng.standard_normal((n, self.d))])

    def network(self) -> DenseNetwork:
        return with_noise(TeacherStudentNetwork(self), self.label_noise)


class TeacherStudentNetwork(StudentNetwork):
    """Neurons a relu(⟨w, gx⟩) on fresh x; with plain sums and N ≠ n neurons, f = (n/N) Σ_{i≤N}."""

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = self.inputs(seed, first, count)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return self._system.gain * x, self._system.target(x)


class ReluKernel(ArcCosineKernel):
    """E relu(⟨w, x⟩) relu(⟨w', x⟩) for x uniform on the sphere of a given radius."""

    def __init__(self, dimension: int, radius: float) -> None:
        super().__init__(dimension, inputs="unit-sphere")
        self.factor *= radius**2
