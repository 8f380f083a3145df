r"""What stochastic gradients add to the flow, to first order in the step: scatter, and the shift of the mean.

SGD with step εξ and P samples a step has, for all its neurons at once,

.. math:: d\theta_i = -\xi\nabla\Psi_\lambda(\theta_i)\,dt + \xi\sqrt{\varepsilon/P}\,dM_i, \qquad
          \frac{d\langle M_i, M_j\rangle}{dt} = A_{ij} = \mathrm{Cov}_x\bigl(r\nabla\sigma_*(x;\theta_i),
          r\nabla\sigma_*(x;\theta_j)\bigr).

One sample moves every neuron: the noise is common to all, and does not average out over N. With J the tangent flow's
operator (:mod:`wflow.validation.tangent`), √(P/ε)(θ − flow) has the covariance of

.. math:: \dot\Sigma = J\Sigma + \Sigma J^{\mathsf T} + \xi^2 A, \qquad \Sigma = ZZ^{\mathsf T},

of which Z alone is kept: its columns go with the tangent flow, those of A's root
:math:`\sqrt{p_q}(r_q\nabla\sigma_{iq} - \nabla\Psi_i)` join them at every step, and directions that do not count are
dropped. The mean moves by ε m,

.. math:: \dot m = Jm - \tfrac12\frac{d}{dt}\dot\theta - \frac{\xi}{2P}\bigl(\nabla^2\nabla\Psi\bigr):\Sigma,

the first source being that of explicit steps (the modified equation of Euler's method), the second that of a curved
drift under the scatter; the risk gains ½∇²R : Σ/P besides. At finite N the fluctuations of order 1/N of the start
(:mod:`wflow.validation.fluctuations`) add to those of order ε/P, as they are independent.

Source: Mei, Montanari & Nguyen (2018), section 3; Rotskoff & Vanden-Eijnden (2022), section 4; Li, Tai & E, ICML 2017
(stochastic modified equations). Constants in the convention of docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies import Energy, FeatureEnergy
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.tools.checks import check_count, check_kind, check_place, non_negative, positive
from wflow.validation.expectation import Band, expected
from wflow.validation.fluctuations import Fluctuations
from wflow.validation.second_order import Sources
from wflow.validation.tangent import Moment, Path

NEGLIGIBLE = 1e-12
"""Least variance of a direction of the noise that is kept, as a share of the largest."""
REFINED = 4
"""Parts of a step of the flow: the noise joins at their ends."""


class SgdNoise:
    r"""Limits as ε → 0 of SGD around its flow, at T times on Q nodes with weights p_q and n particles.

    Attributes
    ----------
    t : times, (T,)
    risk : of the flow, (T,)
    output_variance : lim (ε/P)⁻¹ Σ_q p_q Var f_q, (T,)
    risk_variance : lim (ε/P)⁻¹ Var R, (T,)
    risk_bias : lim (E R − R)/ε, (T,), for the batch size asked for
    drift : lim (E θ_i − θ_i)/ε, (T, n, D)
    batch_size : P

    :func:`sgd_noise` makes them; ``path`` is the flow that they are formed along, and directions of less than
    ``negligible`` of the largest variance are left out.
    """

    def __init__(
        self,
        path: Path,
        batch_size: int,
        samples: FeatureEnergy,
        negligible: float = NEGLIGIBLE,
    ) -> None:
        self.t, self.batch_size = path.t, batch_size
        self._answers = list(_march(path, batch_size, samples, negligible))
        p = path.energy.weights
        self.risk = np.array([one.at.risk for one in self._answers])
        self.risk_bias = np.array([one.risk_bias for one in self._answers])
        self.drift = np.stack([one.mean for one in self._answers])
        self.output_variance = np.array([p @ (one.outputs**2).sum(axis=1) for one in self._answers])
        slopes = [2.0 * one.at.charges @ one.outputs for one in self._answers]
        self.risk_variance = np.array([float(slope @ slope) for slope in slopes])

    def covariance(self, k: int) -> np.ndarray:
        """lim (ε/P)⁻¹ Cov f on the nodes at time t[k], (Q, Q)."""
        g = self._answers[check_place("k", k, self.t.size)].outputs
        return np.asarray(g @ g.T)

    @property
    def series(self) -> dict[str, np.ndarray]:
        """What a unit of step size adds, by the names that bands have for it."""
        return {
            "step_bias": self.risk_bias,
            "step_risk_variance": self.risk_variance,
            "step_output_variance": self.output_variance,
        }

    def total(self, start: Fluctuations, n_neurons: int, step_size: float) -> Band:
        r"""What is expected of N neurons, drawn afresh and trained by SGD, where both are small.

        .. math:: E R \approx R + \frac{b_t}{N} + \varepsilon b'_t, \qquad
                  \mathrm{Var}\,R \approx \frac{v_t}{N} + \frac{w_t}{N^2} + \frac{\varepsilon}{P}v'_t,

        as :func:`wflow.validation.band` has it, and the first-order variances of the outputs: the draws of the start
        and those of the samples are independent.

        Raises
        ------
        InputError
            for what are no fluctuations, or at other times, and for sizes that are not positive
        """
        n, step = check_count("n_neurons", n_neurons), non_negative("step_size", step_size)
        check_kind("start", start, Fluctuations, "give what wflow.validation.fluctuations found")
        if not np.array_equal(start.t, self.t):
            raise InputError("the fluctuations are of other times: ask for both with one t_eval")
        return expected(self.t, start.risk, start.series | self.series, n, step, self.batch_size)

    def parameter_covariance(self, k: int) -> np.ndarray:
        """lim (ε/P)⁻¹ Cov of all θ at time t[k], (n, D, n, D)."""
        z = self._answers[check_place("k", k, self.t.size)].scatter
        return np.asarray(np.einsum("idk,jek->idje", z, z))


def sgd_noise(
    flow: GradientFlow,
    law: Measure,
    t_eval: Any,
    *,
    batch_size: int = 1,
    rtol: float = 1e-6,
    samples: Energy | None = None,
    negligible: float = NEGLIGIBLE,
) -> SgdNoise:
    r"""Predict how SGD scatters around its flow, and how far its mean lies from it, to first order in the step.

    .. math:: \mathrm{Cov}\,f \approx \frac{\varepsilon}{P}\,\Sigma^f_t, \qquad E R \approx R + \varepsilon\,b_t

    Parameters
    ----------
    flow : without noise and reaction
    law : the particles SGD starts from (then the answer is that of this network), or that stand for ρ₀
    t_eval : increasing times ≥ 0, t = kε
    batch_size : P samples a step, drawn with replacement
    rtol : of the run that chooses the steps
    samples : an energy of the same units whose nodes are what SGD draws, x_q with probability p_q: the flow's own
        unless given; ``system.sampled(4096)`` where the flow's are a quadrature or modes
    negligible : the least variance of a direction of the noise that is kept, as a share of the largest; with 1e-5 large
        networks take half the time, and variances move by some 1e-4 of themselves

    Raises
    ------
    InputError
        for noise or reaction, an energy that knows no outputs at nodes, units with a kink (relu), weights of nodes that
        are no probabilities, or samples of another state
    ComputationError
        when the flow of the law fails

    Source: Rotskoff & Vanden-Eijnden (2022), section 4, for the covariance common to all neurons.

    A linear neuron between two labels of one input goes on scattering, dη = −η dt + dW, where it fits best:

    >>> import numpy as np, wflow
    >>> energy = wflow.energies.FeatureEnergy("identity", [1.0, 1.0], [2.0, 4.0])
    >>> found = sgd_noise(wflow.GradientFlow(energy), wflow.Particles([3.0]), [0.0, 1.0])
    >>> bool(np.isclose(found.output_variance[1], 0.5 * (1 - np.exp(-2)), rtol=1e-3))
    True
    """
    path = Path(flow, law, t_eval, rtol, refined=REFINED)
    count = check_count("batch_size", batch_size)
    share = positive("negligible", negligible)
    source = path.energy if samples is None else drawn(samples, flow)
    return SgdNoise(path, count, source, share)


def drawn(samples: Energy, flow: GradientFlow) -> FeatureEnergy:
    """What SGD draws, checked against the flow's state."""
    check_kind("samples", samples, Energy, "give an energy on samples, system.sampled(4096) say")
    energy = samples.on_nodes()
    if tuple(energy.coordinates) != tuple(flow.energy.coordinates):
        raise InputError(
            f"samples of neurons ({', '.join(energy.coordinates)}): the flow's are "
            f"({', '.join(flow.energy.coordinates)}); give an energy of the same units"
        )
    if energy.loss.name != (loss := flow.energy.on_nodes().loss.name):
        raise InputError(
            f"samples under loss '{energy.loss.name}': the flow's is '{loss}'; give samples of the same risk"
        )
    return energy


def probabilities(samples: FeatureEnergy) -> np.ndarray:
    """p_q of the samples, each of which may be several nodes."""
    p = np.asarray(samples.weights[:: samples.features.per_sample])
    if abs(float(p.sum()) - 1.0) > 1e-8:
        raise InputError(
            f"the weights of the nodes sum to {p.sum():g}: SGD draws node q with probability p_q; give weights of sum "
            "1, or samples=system.sampled(4096), what it draws"
        )
    return p


def _root(at: Moment, samples: FeatureEnergy) -> np.ndarray:
    """√p_q (r_q∇σ*(x_q; θ_i) − ∇Ψ_i) on the coordinates that move, times ξ, a column a sample q; (n, D, samples)."""
    p, slopes, residual = probabilities(samples), at.slopes, at.residual
    if samples is not at.path.energy:
        values, slopes = samples.features.jacobian(at.points)
        residual = samples.loss.half_slope(samples.targets, at.path.weights @ values)
    n, d, _ = slopes.shape
    each = (slopes * residual).reshape(n, d, p.size, -1).sum(axis=3)
    each -= (each @ p)[:, :, None]
    return np.asarray(at.xi * at.path.flow.mobile[:, None] * each * np.sqrt(p))


def _joined(z: np.ndarray, more: np.ndarray, negligible: float) -> np.ndarray:
    """Columns Z with Z Zᵀ that of both, as few as count."""
    n, d, _ = z.shape
    both = np.concatenate([z, more], axis=2).reshape(n * d, -1)
    flat = both.shape[0] <= both.shape[1]
    sizes, axes = np.linalg.eigh(both @ both.T if flat else both.T @ both)
    kept = sizes > negligible * sizes[-1]
    found = axes[:, kept] * np.sqrt(sizes[kept]) if flat else both @ axes[:, kept]
    return np.asarray(found).reshape(n, d, -1)


@dataclass(frozen=True)
class Answer:
    """What is known at a time asked for: the flow, Z (n, D, r), its outputs g (Q, r), m (n, D), the risk's bias."""

    at: Moment
    scatter: np.ndarray
    outputs: np.ndarray
    mean: np.ndarray
    risk_bias: float


def _march(
    path: Path, batch_size: int, samples: FeatureEnergy, negligible: float
) -> Iterator[Answer]:
    """The answers at the times asked for; what the noise and the steps add joins at nodes, by the trapezoidal rule."""
    n, d = path.points[0].shape
    steps = np.concatenate([[0.0], np.diff(path.grid), [0.0]])
    z, m = np.zeros((n, d, 0)), np.zeros((n, d))
    for k in range(path.grid.size):
        node = path.node(k)
        before, after = 0.5 * steps[k], 0.5 * steps[k + 1]
        root, velocity = _root(node, samples), node.velocity
        if k == 0:
            m = 0.5 * velocity
        here = _joined(z, np.sqrt(before) * root, negligible) if before > 0 else z
        g = node.moved(here)
        # m = n − ½θ̇ with ṅ = Jn − ½Jθ̇ + …, which asks for no derivative of ξ.
        found = Sources(node, np.zeros((n, g.shape[1])), here, g)
        bent = 0.5 / batch_size * found.outputs
        source = node.push(-0.5 * velocity[:, :, None], bent[:, None])[0][:, :, 0]
        source -= 0.5 / batch_size * node.xi * path.flow.mobile * found.drift
        m = m + before * source
        if k in path.at:
            mean = m - 0.5 * velocity
            f = node.moved(mean[:, :, None])[:, 0] + bent
            bias = float(node.pull @ found.squares / batch_size + 2.0 * node.charges @ f)
            yield Answer(node, here, g, mean, bias)
        if k + 1 == path.grid.size:
            return
        m = m + after * source
        z = _joined(here, np.sqrt(after) * root, negligible)
        columns = np.concatenate([z, m[:, :, None]], axis=2)
        columns = path.carried(k, node, columns)
        z, m = columns[:, :, :-1], columns[:, :, -1]
