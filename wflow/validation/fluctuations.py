r"""How far finite networks scatter around their limit, to first order, and how far their mean is off, to second.

N neurons drawn from ρ₀ have :math:`\rho_N - \rho_0 = N^{-1/2}\nu`, and what they become is the tangent flow's answer
(:mod:`wflow.validation.tangent`). With the influence function of one more neuron that starts at θ,
:math:`\mathrm{IF}_t(\theta) = \tfrac{d}{de}\big|_0 f(\cdot;\rho_t)` from :math:`(1-e)\rho_0 + e\,\delta_\theta`,

.. math:: \sqrt N(f_N - f) \to N(0, \Sigma_t), \quad \Sigma_t = \int \mathrm{IF}_t\mathrm{IF}_t^{\mathsf T}d\rho_0,
          \qquad N\,E(R_N - R) \to \tfrac12\int \tfrac{d^2}{de^2}\Big|_0 R(\rho_t)\,\rho_0(d\theta).

Without interaction IF would be :math:`\sigma_*(\cdot;\Theta_t(\theta)) - f_t`, whose covariance C_t is that of networks
resampled from ρ_t; training contracts it.

Source: Chen, Rotskoff, Bruna & Vanden-Eijnden, NeurIPS 2020; Rotskoff & Vanden-Eijnden, CPAM 75 (2022), section 3.3.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from wflow.energies.arrays import as_points
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure, Particles
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_flag, check_place, check_seed
from wflow.validation.directions import Directions
from wflow.validation.second_order import biases, square_variance
from wflow.validation.tangent import Influence, Moment, Path

ATOMS = 256
"""Up to so many particles, each is a change of the law by itself; more are compressed."""
SMALLEST = 1e-10
"""Least variance of the paths of features along a direction that counts, as a share of the largest."""


class Fluctuations:
    r"""Limits of the fluctuations of N particles around their flow, at T times on Q nodes with weights p_q.

    Attributes
    ----------
    t : times, (T,)
    output : f, the limit's outputs, (T, Q)
    risk : R, (T,)
    output_variance : lim N·E Σ_q p_q (f_N − f)²_q, (T,)
    resampling_variance : the same of networks resampled from ρ_t, Σ_q p_q Var σ*(x_q; θ), (T,)
    risk_variance : lim N·Var R_N, (T,)
    square_variance : lim N²·Var Σ_q p_q s_q (f_N − f)²_q with s = ½ℓ'', of the risk's second order, (T,)
    rank : changes of the law that were followed
    missed : largest share of ``resampling_variance`` that they leave out

    :func:`fluctuations` makes them; ``path`` is the flow that they are formed along.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.t = path.t
        self._changes, self.missed = _changes(path)
        self.rank = self._changes.shape[1]
        answers, outputs, risks, slopes, resampled, squares = [], [], [], [], [], []
        p = path.energy.weights
        for k, (node, g) in enumerate(path.forward(self._direct, self.rank)):
            if k in path.at:
                answers.append(g)
                outputs.append(node.output)
                risks.append(node.risk)
                slopes.append(2.0 * node.charges)
                squares.append(square_variance(node.pull, g))
                resampled.append(path.weights @ (node.values - node.output) ** 2 @ p)
        self._answers = np.stack(answers)
        self.output, self.risk = np.stack(outputs), np.array(risks)
        self._risk_slopes = np.stack(slopes)
        self.resampling_variance = np.array(resampled)
        self.output_variance = np.einsum("q,tqm->t", p, self._answers**2)
        on_risk = np.einsum("tq,tqm->tm", self._risk_slopes, self._answers)
        self.risk_variance = (on_risk**2).sum(axis=1)
        self.square_variance = np.array(squares)

    def _direct(self, moment: Moment) -> np.ndarray:
        return np.asarray((moment.values - moment.output).T @ self._changes)

    def covariance(self, k: int) -> np.ndarray:
        """Σ_t at time t[k]: the covariance of √N(f_N − f) on the nodes, (Q, Q)."""
        g = self._answers[check_place("k", k, self.t.size)]
        return np.asarray(g @ g.T)

    def law_error(self, sample: bool = False, seed: int = 0) -> np.ndarray:
        r"""The share of ``output_variance`` that is uncertain since the law only stands for ρ₀, (T,): by halving it.

        A quadrature is halved by merging neighbours, and the answers differ by more than what is left of the error; a
        sample is cut in two at random, and half of their difference is an estimate, of one degree of freedom, of the
        standard error. Where a flow parts neurons, late answers ask for a finer law on either side of the parting.

        Parameters
        ----------
        sample : whether the law is a sample of ρ₀ drawn at random, not a quadrature
        seed : of the cut

        Raises
        ------
        InputError
            for a law of fewer than 4 particles, of which half is no law

        >>> import numpy as np, wflow
        >>> flow = wflow.GradientFlow(wflow.energies.FeatureEnergy("identity", [1.0], [3.0]))
        >>> fluctuations(flow, wflow.Particles(np.linspace(-1, 1, 20)), [1.0]).law_error().round(4)
        array([0.0075])
        """
        check_flag("sample", sample)
        points, weights = self._path.points[0], self._path.weights
        whole = np.maximum(self.output_variance, 1e-300)
        if weights.size < 4:
            raise InputError(
                f"the law has {weights.size} particles: its error is told by halving it; give 4 or more"
            )
        if sample:
            order = np.random.default_rng(check_seed(seed)).permutation(weights.size)
            halves = [self._variance(points[k], weights[k]) for k in (order[::2], order[1::2])]
            return np.asarray(np.abs(halves[0] - halves[1]) / (2 * whole))
        pairs = _neighbours(points / np.maximum(points.std(axis=0), 1e-300))
        first = np.arange(0, weights.size, 2)
        masses = np.add.reduceat(weights[pairs], first)
        moments = np.add.reduceat(weights[pairs, None] * points[pairs], first)
        halved = self._variance(moments / np.maximum(masses, 1e-300)[:, None], masses)
        return np.asarray(np.abs(halved - self.output_variance) / whole)

    def _variance(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """``output_variance`` of another law."""
        path = self._path
        law = Particles(points, weights / weights.sum())
        return np.asarray(Fluctuations(Path(path.flow, law, path.t, path.rtol)).output_variance)

    @cached_property
    def _biases(self) -> tuple[np.ndarray, np.ndarray]:
        own = self._changes - np.outer(self._path.weights, self._changes.sum(axis=0))
        return biases(self._path, own)

    @property
    def bias(self) -> np.ndarray:
        """lim N·E(R_N − R), (T,); formed when first asked for."""
        return self._biases[1]

    @property
    def output_bias(self) -> np.ndarray:
        """lim N·E(f_N − f) on the nodes, (T, Q)."""
        return self._biases[0]

    @property
    def series(self) -> dict[str, np.ndarray]:
        """What the chance of the start does, by the names that bands have for it."""
        names = ("risk_variance", "square_variance", "output_variance", "bias")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def directions(self) -> Directions:
        """The same for networks in full space around a radial limit, their ``bias`` included.

        Raises
        ------
        InputError
            where the state is not the radius of neurons in 4 or more dimensions
        """
        return Directions(self._path)

    @cached_property
    def _risk_influence(self) -> Influence:
        return self._path.backward(self._risk_slopes)

    def risk_influence(self, points: Any) -> np.ndarray:
        """d/de of R_t for one more neuron started at each of the points θ (m, D), of mean 0 under the law, (T, m).

        The mean over a network's own start predicts R_N − R to first order: a control variate with expectation 0.
        """
        return self._risk_influence(self._starts(points))

    def output_influence(self, points: Any) -> np.ndarray:
        """IF_t(θ) on the nodes for neurons started at points θ (m, D), (T, m, Q)."""
        points = self._starts(points)
        return self._answer_to(points, np.eye(points.shape[0]))

    def output_response(self, points: Any, shares: Any = None) -> np.ndarray:
        """f_N − f on the nodes to first order for neurons started at points (N, D): their mean IF_t, (T, Q).

        ``shares`` (M, N) are weights of M networks that start from the same points, whose answers are (M, T, Q).
        """
        points = self._starts(points)
        if len(points) == 0:
            raise InputError(
                f"points of shape {points.shape}: give the start of at least one neuron"
            )
        count = points.shape[0]
        if shares is None:
            return self._answer_to(points, np.full((count, 1), 1.0 / count))[:, 0]
        given = as_floats("shares", shares)
        if given.ndim != 2 or given.shape[1] != count:
            raise InputError(
                f"shares of shape {given.shape} for {count} points: give (M, {count}), a row a network"
            )
        return self._answer_to(points, given.T).swapaxes(0, 1)

    def _starts(self, points: Any) -> np.ndarray:
        return as_points(as_floats("points", points), self._path.flow.energy.dimension)

    def _answer_to(self, points: np.ndarray, change: np.ndarray) -> np.ndarray:
        """The answers to changes Σ_i c_ik (δ_{θ_i} − ρ₀), (T, k, Q)."""
        path, law = self._path, self._path.weights.size

        def direct(at: Moment) -> np.ndarray:
            return np.asarray((at.values[law:] - at.output).T @ change)

        answers = path.beside(points).forward(direct, change.shape[1])
        return np.stack([g.T for k, (_, g) in enumerate(answers) if k in path.at])


def fluctuations(
    flow: GradientFlow, law: Measure, t_eval: Any, *, rtol: float = 1e-6
) -> Fluctuations:
    r"""Predict how N particles drawn from a law scatter around their limit, and how far their mean risk lies from it.

    .. math:: \dot\theta_i = -\xi\nabla\Psi_\lambda(\theta_i;\rho_N), \quad \theta_i(0) \sim \rho_0, \qquad
              f_N \approx f + N^{-1/2}\,N(0, \Sigma_t), \quad E R_N \approx R + b_t/N

    Parameters
    ----------
    flow : without noise and reaction; features at nodes
    law : weighted particles of mass 1 that stand for ρ₀, a quadrature or a large sample
    t_eval : increasing times ≥ 0
    rtol : of the run that chooses the steps

    Raises
    ------
    InputError
        for noise or reaction, an energy that knows no outputs at nodes, units with a kink (relu), or a law of another
        mass
    ComputationError
        when the flow of the law fails

    Source: Chen, Rotskoff, Bruna & Vanden-Eijnden, NeurIPS 2020, theorem 3.1.

    Linear neurons forget how they were drawn as their mean forgets its start, Σ_t = e^{−2t}Σ_0:

    >>> import numpy as np, wflow
    >>> energy = wflow.energies.FeatureEnergy("identity", [-1.0, 1.0], [-3.0, 3.0])
    >>> law = wflow.Particles(np.linspace(-1, 1, 20))
    >>> found = fluctuations(wflow.GradientFlow(energy), law, [0.0, 1.0])
    >>> bool(np.isclose(found.output_variance[1], np.exp(-2) * found.output_variance[0]))
    True
    """
    return Fluctuations(Path(flow, law, t_eval, rtol))


def _neighbours(points: np.ndarray) -> np.ndarray:
    """An order of points in which those numbered 2k and 2k + 1 lie close together, by halving along the widest axis."""
    n = points.shape[0]
    if n <= 2:
        return np.arange(n)
    order = np.argsort(points[:, np.argmax(np.ptp(points, axis=0))], kind="stable")
    half = n // 4 * 2 or 2
    return np.concatenate([k[_neighbours(points[k])] for k in (order[:half], order[half:])])


def _changes(path: Path) -> tuple[np.ndarray, float]:
    r"""Changes μ_k = Σ_j √w_j Q_jk δ_j with ΣΣ_k g_k g_kᵀ = ∫IF IFᵀ: all particles, or the directions that count.

    The answers depend on μ through the paths of features alone. Their range is found by random projections of the
    features along the way (Halko, Martinsson & Tropp, SIAM Rev. 53 (2011) 217), and what it leaves out is measured.
    """
    root = np.sqrt(path.weights)
    n = root.size
    if n <= ATOMS:
        return np.diag(root), 0.0
    rng = np.random.default_rng(n)
    sketch = np.zeros((n, ATOMS))
    for k in range(path.grid.size):
        node = path.node(k)
        for part in ((node.values - node.output), *node.slopes.transpose(1, 0, 2)):
            mixed = rng.standard_normal((part.shape[1], ATOMS))
            sketch += root[:, None] * (part @ (np.sqrt(path.energy.weights)[:, None] * mixed))
    directions, sizes, _ = np.linalg.svd(sketch, full_matrices=False)
    directions = directions[:, sizes**2 > SMALLEST * sizes[0] ** 2]
    missed = 0.0
    for k in path.at:
        node = path.node(k)
        paths = root[:, None] * (node.values - node.output) * np.sqrt(path.energy.weights)
        rest = paths - directions @ (directions.T @ paths)
        missed = max(missed, float((rest**2).sum() / max((paths**2).sum(), 1e-300)))
    return root[:, None] * directions, missed
