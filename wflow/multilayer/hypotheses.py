r"""What the theorems on global convergence ask of a run, seen on its states.

Three layers (Pham & Nguyen): the risk goes to zero, for losses that need not be convex, from independent and
identically distributed weights where

- :math:`\partial_{\hat y}\ell = 0` implies :math:`\ell = 0`, and y is a function of x: labels with noise are left out,
  since there the least risk is not zero;
- the support of :math:`w_1` is full at the start, and the functions :math:`\sigma_1(w\cdot x)` are dense in
  :math:`L^2(P_x)`;
- :math:`w_1, w_2, w_3` converge in moments as t → ∞, and :math:`\partial_t w_2(t, C_1, C_2) \to 0` uniformly, which is

  .. math:: E_x\bigl[\partial_{\hat y}\ell\;F(x, C_2)\,\sigma_1(w_1(C_1)\cdot x)\bigr] \to 0, \qquad
            F(x, c_2) = \varphi'(H_3)\,w_3(c_2)\,\sigma_2'(H_2(x, c_2));

- activations are regular.

Two things follow on the way: the support of :math:`w_1(t)` stays full at every finite time, and, under mild
assumptions, F is bounded away from zero, at every x by some neurons :math:`c_2` at least.

Of L > 3 layers it is :math:`\partial_t w_L` that has to vanish, F is :math:`\varphi'(H_L)`, and the functions that have
to span are :math:`\sigma_{L-1}(H_{L-1}(x, C_{L-1}))`. There the support of pairs of weights is to be full, too, which
no number here tells; :func:`wflow.multilayer.diversity` tells where it is not. What a run can show, on finitely many
samples and atoms, is :math:`\partial_t w`, F, the support and the span, as numbers. They prove none of it: the limit
t → ∞ and a full support are beyond a run; and loss, labels and convergence in moments are not looked at.
Source: Pham & Nguyen, arXiv:2006.09355; H. T. Pham's talk of July 2020.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.run.trackers import Stop
from wflow.tools.checks import check_count, check_kind, non_negative, number
from wflow.tools.memory import check_memory
from wflow.tools.streams import stream

LEAST_DEPTH = 3
RANK = 1e-10
"""Eigenvalues of the second moment of features below this share of the largest are taken for 0."""
PROBES = 512
KEPT, MOVES = 8, 100
"""The best probes, and the moves of each away from the atoms that are nearest to it."""
NOWHERE = 1e-12
"""Sums of unit vectors that are shorter are 0 but for rounding."""


class Hypotheses(NamedTuple):
    r"""Of one state; see :func:`hypotheses`.

    Attributes
    ----------
    pace : ess sup |∂_t w_2|, of more than three layers ess sup |∂_t w_L|; 0 in the limit t → ∞
    factor : the least over samples of the root mean square of F(x, C_2) over neurons; not to reach 0
    gap : the largest angle, in radians, between a direction and the nearest :math:`w_1`, in three and more dimensions
        a lower bound; not to grow towards π. Atoms within a half space leave π/2 at least
    rank : how many dimensions of the functions on the samples the features span
    condition : the least eigenvalue of their second moment by the largest; 0 where they do not span
    """

    pace: float
    factor: float
    gap: float
    rank: int
    condition: float


def hypotheses(
    flow: Flow, ensemble: Ensemble, *, t: float = 0.0, probes: int = PROBES
) -> Hypotheses:
    r"""What the hypotheses of global convergence come to at one state.

    .. math:: \sup_{c, c'}|\partial_t w_i|, \qquad \min_q\bigl(E_{C_2}|F(x_q, C_2)|^2\bigr)^{1/2}, \qquad
              \max_u\min_{c_1}\angle(u, w_1(c_1)), \qquad
              \lambda\bigl(\sqrt{p_qp_r}\,E\,\sigma(H(x_q))\sigma(H(x_r))\bigr)

    Parameters
    ----------
    flow : of three layers or more, by activations; its samples are those that F and the features are seen at
    ensemble : a network or a limit
    t : the time, of the schedule ξ alone
    probes : directions u, the same at every call. In one and two dimensions the largest angle is exact without them,
        and in more where all :math:`w_1` lie within an open half space. Else it is that of the best probe, which is a
        lower bound: random ones, that against the mean and both ways along the principal axes of :math:`w_1`, moved
        away from their nearest atoms

    Returns
    -------
    Hypotheses
        pace, factor, gap, rank and condition; atoms and samples of probability 0 do not count

    Raises
    ------
    InputError
        for fewer than three layers, general units and feature flows, and an ensemble that does not fit the flow

    Source: Pham & Nguyen, arXiv:2006.09355; ∂_t w on their clock is twice this for the square loss.

    >>> flow = Flow([[1.0, 0.0], [0.0, 1.0]], [0.1, -0.1])
    >>> net = Ensemble([[[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [[0.5], [0.2], [0.1]], [1.0]])
    >>> seen = hypotheses(flow, net)
    >>> seen.rank, round(seen.gap / np.pi, 3)
    (2, 0.375)
    """
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("ensemble", ensemble)
    depth, network = ensemble.depth, flow.network
    if depth < LEAST_DEPTH:
        raise InputError(f"ensemble has {depth} layers: the theorems are of three and more")
    if network.units is not None:
        raise InputError("hypotheses of a flow of general units: they are for activations")
    if flow.samples.inputs.forth is None:
        raise InputError("hypotheses of a feature flow: w_1 is seen by the Flow on the inputs")
    count = check_count("probes", probes)
    if flow.inputs > 2:
        directions = count + 2 * flow.inputs + 1
        check_memory(
            f"probes = {count}", 8 * directions * (flow.inputs + ensemble.widths[0]), "give fewer"
        )
    hidden = flow.hidden(ensemble)
    layers: Any = network.layers(depth)
    slope = layers.output.value_and_derivative(hidden[-1])[1]
    if depth == LEAST_DEPTH:
        # F of every output and neuron of layer 2.
        last = ensemble.weights[-1].reshape(ensemble.widths[-1], -1)
        second = layers.activations[1].value_and_derivative(hidden[1])[1]
        size = (last**2 @ slope**2) * second**2
        factors, features, place = ensemble.probabilities[1] @ size, 0, 1
    else:
        factors, features, place = (slope**2).sum(axis=0), depth - 2, depth - 1
    speed = np.abs(flow.gradient(ensemble).weights[place])
    for axis, p in enumerate(ensemble.probabilities[place - 1 : place + 1]):
        speed = np.compress(p > 0, speed, axis=axis)
    values, q = layers.activations[features](hidden[features]), flow.samples.weights
    rank, condition = _spanned((values * np.sqrt(q))[:, q > 0], ensemble.probabilities[features])
    return Hypotheses(
        flow.schedule(number("t", t)) * float(speed.max()),
        float(np.sqrt(factors[q > 0].min())),
        _gap(ensemble.weights[0], ensemble.probabilities[0], count),
        rank,
        condition,
    )


def _spanned(features: np.ndarray, p: np.ndarray) -> tuple[int, float]:
    """The rank of the second moment of features (n, Q), and its least eigenvalue by its largest."""
    squares = np.linalg.svd(features * np.sqrt(p)[:, None], compute_uv=False) ** 2
    if squares[0] == 0.0:
        return 0, 0.0
    least = squares[-1] / squares[0] if squares.size == features.shape[1] else 0.0
    rank = int(np.count_nonzero(squares > RANK * squares[0]))
    return rank, float(least) if rank == features.shape[1] else 0.0


def _gap(weights: np.ndarray, p: np.ndarray, probes: int) -> float:
    """The largest angle from a direction to the nearest atom, or what is found of it; π where there is none."""
    sizes = np.linalg.norm(weights, axis=1)
    seen = (sizes > 0) & (p > 0)
    if not seen.any():
        return float(np.pi)
    units = weights[seen] / sizes[seen, None]
    d = units.shape[1]
    if d == 1:
        return 0.0 if np.ptp(units) > 0 else float(np.pi)
    if d == 2:
        angles = np.sort(np.arctan2(units[:, 1], units[:, 0]))
        return float(np.diff(angles, append=angles[0] + 2 * np.pi).max() / 2)
    axes = np.linalg.eigh(units.T @ units)[1].T
    random = stream(0, "start").standard_normal((probes, d))
    u = _directions(np.vstack([random, -units.mean(axis=0), axes, -axes]))
    nearest = (u @ units.T).max(axis=1)
    u = u[np.argsort(nearest)[:KEPT]]
    least = min(nearest.min(), _moved(u, units), _opposite(units))
    return float(np.arccos(np.clip(least, -1.0, 1.0)))


def _directions(u: np.ndarray) -> np.ndarray:
    """Of unit length, without what points nowhere."""
    sizes = np.linalg.norm(u, axis=1)
    seen = sizes > NOWHERE
    return np.asarray(u[seen] / sizes[seen, None])


def _moved(u: np.ndarray, units: np.ndarray) -> float:
    """The least max_c u·w(c) that probes come to, away from their nearest atoms by shorter and shorter steps."""
    least = np.inf
    for k in range(MOVES):
        inner = u @ units.T
        top = inner.max(axis=1)
        least = min(least, float(top.min()))
        step = (k + 1) ** -0.5
        share = np.exp((inner - top[:, None]) / (0.3 * step))
        u = _directions(u - step * (share @ units) / share.sum(axis=1)[:, None])
        if not u.size:
            break
    return least


def _opposite(units: np.ndarray) -> float:
    """max_c u·w(c) of the u against the point of the convex hull nearest to 0; 1 where the hull holds 0.

    That u is the best of all where atoms lie within an open half space: min_{|u| ≤ 1} max_c u·w(c) is then convex, and
    the distance of the hull is its dual.
    """
    n, d = units.shape
    try:
        share, _ = nnls(np.vstack([units.T, np.ones(n)]), np.append(np.zeros(d), 1.0))
    except RuntimeError:  # too many iterations: the probes remain
        return 1.0
    against = _directions(-(share @ units)[None])
    return float((against @ units.T).max()) if against.size else 1.0


class WatchHypotheses:
    r"""A tracker that keeps :func:`hypotheses` of the states of a run, and may end it.

    Parameters
    ----------
    flow : as of hypotheses
    every : time that passes between two looks at least; 0 looks at every step. A look takes a gradient and a
        decomposition of the features
    rest : end the run once |∂_t w| is no larger than this; None never does
    probes : as of hypotheses

    Attributes
    ----------
    t : times that were looked at
    seen : :class:`Hypotheses` at them

    A run that is resumed has a tracker of its own, which has seen what came after.

    Raises
    ------
    InputError
        for numbers that are negative, and as of hypotheses when the run begins

    >>> import wflow
    >>> flow = Flow([[1.0, 0.0], [0.0, 1.0]], [0.1, -0.1])
    >>> net = Ensemble([[[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [[0.5], [0.2], [0.1]], [1.0]])
    >>> watch = WatchHypotheses(flow)
    >>> sol = wflow.solve(flow, net, (0, 20), trackers=[watch])
    >>> watch.seen[-1].pace < 0.1 * watch.seen[0].pace, len(watch.t) == len(watch.seen)
    (True, True)
    """

    name = "hypotheses"

    def __init__(
        self,
        flow: Flow,
        *,
        every: float = 0.0,
        rest: float | None = None,
        probes: int = PROBES,
    ) -> None:
        check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
        self._flow, self._probes = flow, check_count("probes", probes)
        self._every = non_negative("every", every)
        self._rest = None if rest is None else non_negative("rest", rest)
        self.t: list[float] = []
        self.seen: list[Hypotheses] = []
        self._last = math.nan

    def handle(self, t: float, observed: dict[str, Any]) -> Stop | None:
        """Look at the state if it is time to."""
        if t < self._last + self._every * (1.0 - 1e-9):  # never of NaN
            return None
        seen = hypotheses(self._flow, observed["state"], t=t, probes=self._probes)
        self._last = t
        self.t.append(t)
        self.seen.append(seen)
        if self._rest is not None and seen.pace <= self._rest:
            return Stop(f"hypotheses: sup |dw/dt| <= {self._rest:g} at t = {t:g}")
        return None

    def series(self) -> dict[str, np.ndarray]:
        """Every hypothesis at the times ``t``, by its name."""
        columns = np.array(self.seen).reshape(-1, len(Hypotheses._fields)).T
        return dict(zip(Hypotheses._fields, columns, strict=True))

    def state(self) -> list[float]:
        """When it last looked."""
        return [self._last]

    def restore(self, state: list[float]) -> None:
        """As it was, but for what it had seen."""
        (self._last,) = state
