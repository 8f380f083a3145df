r"""Margins of trained networks: ascent of the soft minimum of margins, in both layers or in the output layer alone.

.. math:: S(\theta) = -\log\frac1Q\sum_i e^{-y_if(x_i)}, \qquad f(x) = \frac1N\sum_{j\le N} a_j\langle w_j, z\rangle_+,
          \qquad \theta_j \leftarrow \theta_j + h_k\,N\,\partial_{\theta_j}S

with z = (x, 1), or x. S is minus the logarithm of the exponential loss, so that its ascent is the gradient flow of that
loss on a clock that does not stop. With weights :math:`p_i\propto e^{-y_if(x_i)}` and
:math:`v_j = \sum_i p_iy_i1[\langle w_j, z_i\rangle > 0]\,z_i`

.. math:: N\,\partial_{a_j}S = \langle w_j, v_j\rangle, \qquad N\,\partial_{w_j}S = a_jv_j .

Units are homogeneous, so only the direction of θ matters. In both layers, min y f over the mean of |θ|² = a² + |w|² is
at most :math:`\gamma_1/2`, whatever N and θ are; in the output layer, min y f over the root of the mean of a² is at
most the :math:`\gamma_2` of the N features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import ComputationError
from wflow.kernels.parallel import one_blas_thread
from wflow.spaces.ascent import REACH, Ascent
from wflow.spaces.inputs import labelled, with_bias
from wflow.tools.checks import check_count, check_flag, check_seed, check_word, positive
from wflow.tools.memory import check_held
from wflow.tools.streams import stream

LAYERS = ("both", "output")
PACES = ("even", "published")
PRECISIONS = {"double": np.float64, "single": np.float32}
FRAMES = 101


@dataclass(frozen=True)
class Trained:
    """A network that was trained, and its margin on the way.

    Attributes
    ----------
    layers : "both" or "output"
    value : the margin at the end: min y f over the mean of |θ|², or over the root of the mean of a²
    iterations, margins, soft : (R,) of the frames: steps, margins, and soft minima S over the same size
    norms : (R,) the size at the frames, mean of |θ|² or root of the mean of a²
    weights : p of the samples at the end, (Q,)
    directions, charges : w (N, D) and a (N,) at the end, scaled to size 1
    bias : whether inputs are (x, 1)
    """

    layers: str
    value: float
    iterations: np.ndarray
    margins: np.ndarray
    soft: np.ndarray
    norms: np.ndarray
    weights: np.ndarray
    directions: np.ndarray
    charges: np.ndarray
    bias: bool

    def predict(self, x: Any) -> np.ndarray:
        """f at inputs x (m, d), (m,), of the network scaled to size 1: y f is ``value`` or more on the samples.

        Raises
        ------
        InputError
            for inputs of another dimension
        """
        z = with_bias(as_inputs(x, self.directions.shape[1] - int(self.bias), "x"), self.bias)
        return np.asarray(np.maximum(z @ self.directions.T, 0.0) @ self.charges / len(self.charges))


def trained_margin(
    x: Any,
    labels: Any,
    n_neurons: int = 1000,
    layers: str = "both",
    *,
    bias: bool = True,
    n_steps: int = 3000,
    pace: str = "even",
    step: float = 0.5,
    frames: int = FRAMES,
    precision: str = "double",
    seed: int = 0,
) -> Trained:
    r"""Train a two-layer ReLU network to a large margin, and follow the margin.

    .. math:: \theta_j \leftarrow \theta_j + h_k\,N\,\partial_{\theta_j}S, \qquad
              S = -\log\frac1Q\sum_i e^{-y_if(x_i)}

    from θ ~ N(0, I), with a = 0 where the output layer alone is trained. The published pace is
    :math:`h_k = h/\sqrt{k+1}`, k = 1, 2, …, times max(1, (mean a²)^½) in the output layer. Even pace scales z to mean
    |z|² = 1 and takes as long steps as keep S smooth: the smaller of h and 40 over mean |θ|² in both layers, and in the
    output layer 1 over the largest mean square of features at a sample, with which S never falls.

    Parameters
    ----------
    x : (Q, d) inputs
    labels : (Q,) ±1
    n_neurons : N
    layers : "both", or "output" for a alone
    bias : whether units see (x, 1)
    n_steps : steps
    pace : "even" or "published"
    step : h
    frames : how many states are measured, 2 or more, from 0 to ``n_steps`` at about even steps
    precision : "double", or "single": half of the time, sums good to six digits; the last margin is taken in double
    seed : of the start

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        for labels that are not ±1, or of another number, and unknown words
    ComputationError
        where steps are so long that parameters overflow

    Source: Chizat & Bach, arXiv:2002.04486, section 5, in the code's constants.

    >>> found = trained_margin([-1.0, 0.0, 1.0], [1, -1, 1], 200, n_steps=1000)
    >>> 0.098 < found.value < 0.1  # half of γ₁ = 1/5
    True
    """
    z, y = labelled(x, labels)
    z = with_bias(z, check_flag("bias", bias))
    both = check_word("layers", layers, LAYERS) == "both"
    even = check_word("pace", pace, PACES) == "even"
    real = PRECISIONS[check_word("precision", precision, PRECISIONS)]
    check_held("n_neurons", check_count("n_neurons", n_neurons), 4 * (len(z) + z.shape[1]))
    count, step = check_count("n_steps", n_steps), positive("step", step)
    frames = check_count("frames", frames, 2)
    # By the largest first, whose square may be no number.
    most = float(np.abs(z).max()) or 1.0
    unit = most * float(np.sqrt(((z / most) ** 2).sum(axis=1).mean()) or 1.0) if even else 1.0
    a, w = _start(stream(check_seed(seed), "start"), n_neurons, z.shape[1], both)
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        given = [each.astype(real) for each in (z / unit, y, a, w)]
        state = Ascent(given[0], given[1], given[2], given[3], both)
        longest = REACH if both else 1.0 / (state.largest_feature() or 1.0)
        at = np.unique(np.round(np.linspace(0, count, min(frames, count + 1))).astype(int))
        seen: list[tuple[float, float, float, float]] = []
        for k in range(count + 1):
            margin, soft, size = state.measure()
            if not np.isfinite([margin, soft, size]).all():
                raise ComputationError(
                    f"parameters are no finite numbers after {k} steps of precision = {precision}: give a smaller "
                    f"step than {step:g}, inputs in other units, or pace = even"
                )
            if k == at[len(seen)]:
                seen.append((margin, soft, size, size * state.scale))
            if k < count:
                whole = size * state.scale
                if even:
                    h = min(step, longest / whole) if both else longest
                else:
                    # The source counts steps from 1, and divides by the root of the next.
                    h = step / np.sqrt(k + 2.0) * (1.0 if both else max(1.0, whole))
                state.move(h)
                state.shrink(size)
    margins, soft, sizes, norms = np.array(seen).T
    over = np.where(sizes > 0, sizes, 1.0)
    # Of size 1, and its margin in double.
    a, w = state.a.astype(float), state.w.astype(float)
    size = ((a**2).mean() + (w**2).sum() / len(w) if both else np.sqrt((a**2).mean())) or 1.0
    a, w = (a / np.sqrt(size), w / np.sqrt(size)) if both else (a / size, w)
    value = float((y * (np.maximum(z @ w.T, 0.0) @ a)).min()) / len(a)
    margins = unit * margins / over
    margins[-1] = value
    return Trained(layers, value, at, margins, unit * soft / over, norms, state.p, w, a, bias)


def _start(rng: np.random.Generator, n: int, d: int, both: bool) -> tuple[np.ndarray, np.ndarray]:
    """Charges and weights; fewer neurons are a prefix of more."""
    theta = rng.standard_normal((n, d + 1))
    return (theta[:, d] if both else np.zeros(n)), theta[:, :d]
