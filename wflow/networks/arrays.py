r"""Weights of a fully connected network, as other libraries keep them, read as neurons, and neurons written as weights.

A network of layers :math:`x \mapsto s_i\,W_i^{\mathsf T}\sigma_{i-1}(\cdot) + b_i` is one in mean-field scaling,

.. math:: \frac1N\sum_j a_j\,\sigma(\langle w_j, x\rangle + b_j), \qquad a_j = N s\,(W_2)_j,

for any factor s in front of its sums: 1 where a layer is plain, N^(−½) in the tangent kernel's scaling, 1/N where the
network divides by its width itself. What differs is the pace at which gradient steps move a layer
(:func:`layer_rates`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.arrays import numbered
from wflow.errors import InputError
from wflow.layers import Ensemble
from wflow.measures import Particles
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_flag, check_kind, check_list, check_word

SCALINGS = {"sum": 0.0, "ntk": 0.5, "mean": 1.0}
"""s = N^−p: the powers p by name."""

Kernels = list[np.ndarray]
Biases = list[np.ndarray | None]


def factor(scaling: str, width: int) -> float:
    """s, of a layer that sums over ``width`` neurons.

    >>> factor("sum", 100), factor("ntk", 100), factor("mean", 100)
    (1.0, 0.1, 0.01)
    """
    power = SCALINGS[check_word("scaling", scaling, SCALINGS)]
    return float(width**-power)


def from_arrays(
    kernels: Sequence[Any], biases: Sequence[Any] | None = None, *, scaling: str = "sum"
) -> Particles | Ensemble:
    r"""The neurons of a fully connected network: particles of two layers, an ensemble of more.

    .. math:: f(x) = s_L W_L^{\mathsf T}\sigma\bigl(\cdots\sigma(W_1^{\mathsf T}x + b_1)\cdots\bigr) + b_L

    Particles have the coordinates (a, b, w) of :class:`wflow.energies.FeatureEnergy` with ``charges=True`` and, where
    there is b_1, ``offset=True``; K outputs have a1 … aK. An ensemble keeps b_1 as the weights of one more input, the
    last, which is 1 for every sample.

    Parameters
    ----------
    kernels : [W_1 (d, N_1), …, W_L (N_{L−1}, K)], L ≥ 2 arrays of NumPy, JAX or any library whose arrays NumPy reads
    biases : [b_1 (N_1,), …, b_L (K,)], None for a layer that has none, or None for none at all
    scaling : the factor s in front of the sums over neurons: "sum" 1, "ntk" N^(−½), "mean" 1/N

    Raises
    ------
    InputError
        for fewer than two layers, shapes that do not fit each other, NaN, an output bias of two layers, which no neuron
        has, and biases of some of the later layers but not of all

    Source: Mei, Montanari & Nguyen (2018), eq. (1); Nguyen & Pham, arXiv:2001.11443, section 2.2.

    >>> start = from_arrays([[[1.0, -1.0]], [[0.25], [0.5]]], [[0.0, 2.0], None])
    >>> start.names, start.points().tolist()
    (('a', 'b', 'w'), [[0.5, 0.0, 1.0], [1.0, 2.0, -1.0]])
    """
    w = _kernels(kernels)
    b = _biases(biases, w)
    scaled = [k * (k.shape[0] * factor(scaling, k.shape[0])) for k in w[1:]]
    if len(w) == 2:
        if b[1] is not None:
            raise InputError(
                "the output has a bias, which belongs to no neuron: train without it, bias=False in the last layer"
            )
        columns = [scaled[0], *([] if b[0] is None else [b[0][:, None]]), w[0].T]
        outputs, d = scaled[0].shape[1], w[0].shape[0]
        charges = ("a",) if outputs == 1 else numbered("a", outputs)
        names = charges + ("b",) * (b[0] is not None) + numbered("w", d)
        return Particles(np.hstack(columns), names=names)
    first = w[0].T if b[0] is None else np.column_stack([w[0].T, b[0]])
    one = scaled[-1].shape[1] == 1
    scaled[-1] = scaled[-1][:, 0] if one else scaled[-1]
    later = [x for x in b[1:] if x is not None]
    if later and len(later) < len(b) - 1:
        missing = [i + 2 for i, x in enumerate(b[1:]) if x is None]
        raise InputError(
            f"layer {missing[0]} has no bias and others from the second on have: give all of them or none"
        )
    if later and one:
        later[-1] = later[-1].reshape(())
    return Ensemble([first, *scaled], later or None)


def to_arrays(
    measure: Particles | Ensemble, *, scaling: str = "sum", constant_input: bool = False
) -> tuple[Kernels, Biases]:
    r"""The weights of the network that computes what a measure does; with equal p_j what :func:`from_arrays` was given.

    The weights p_j of particles and the probabilities of atoms go into the layer after them,
    :math:`(W_2)_j = p_j a_j/s`: where they differ the function is the same, and trained from there it is another flow.

    Parameters
    ----------
    measure : particles in (a, b, w), (a, w) or (w), or an ensemble
    scaling : the factor s that the network has in front of its sums: "sum" 1, "ntk" N^(−½), "mean" 1/N
    constant_input : whether the last input of an ensemble is the constant 1, whose weights are biases b_1

    Returns
    -------
    kernels, biases
        [W_1 (d, N_1), …, W_L (N_{L−1}, K)] and [b_1 (N_1,) or None, …, b_L (K,) or None]

    Raises
    ------
    InputError
        for particles in other coordinates, and what is no measure of neurons

    >>> kernels, biases = to_arrays(Particles([[0.5, 0.0, 1.0], [1.0, 2.0, -1.0]], names=("a", "b", "w")))
    >>> [k.tolist() for k in kernels], biases[0].tolist(), biases[1]
    ([[[1.0, -1.0]], [[0.25], [0.5]]], [0.0, 2.0], None)
    """
    check_kind("measure", measure, (Particles, Ensemble), "give Particles or an Ensemble")
    constant = check_flag("constant_input", constant_input)
    if measure.kind == "particles":
        return _of_particles(measure, scaling)  # type: ignore[arg-type]
    return _of_ensemble(measure, scaling, constant)  # type: ignore[arg-type]


def layer_rates(widths: Sequence[int], *, scaling: str = "sum") -> list[tuple[float, float]]:
    r"""What ε is multiplied with in each layer, weights and biases, so that plain gradient steps are wflow's.

    .. math:: \eta(W_i) = \frac\varepsilon2\,\frac{N_i}{N_{i-1}s_i^2}, \quad
              \eta(W_1) = \eta(b_1) = \frac\varepsilon2 N_1, \quad \eta(b_i) = \frac\varepsilon2 N_i, \quad N_L = 1

    for steps :math:`W \leftarrow W - \eta\,\partial_W L` where L is the mean over a batch of the loss ℓ(y, f), for K
    outputs the sum |y − f|² of their squares. One step is a step ε of :func:`wflow.networks.sgd`.

    Parameters
    ----------
    widths : N_1, …, N_{L−1}
    scaling : the factor s in front of the network's sums

    Raises
    ------
    InputError
        for no widths or ones below 1, and an unknown scaling

    Source: Mei, Montanari & Nguyen (2018), eq. (2); Nguyen & Pham, arXiv:2001.11443, eq. (3). Constants in the
    convention of docs/conventions.md.

    >>> layer_rates([100]), layer_rates([100], scaling="mean")
    ([(50.0, 50.0), (0.005, 0.5)], [(50.0, 50.0), (50.0, 0.5)])
    """
    given = check_list("widths", widths, "the numbers of neurons, a hidden layer each")
    if not given:
        raise InputError("widths has no entries: give one hidden layer or more")
    n = [check_count(f"widths[{i}]", width) for i, width in enumerate(given)]
    rates = [(0.5 * n[0], 0.5 * n[0])]
    for before, after in itertools.pairwise([*n, 1]):
        rates.append((0.5 * after / (before * factor(scaling, before) ** 2), 0.5 * after))
    return rates


def _kernels(kernels: Sequence[Any]) -> Kernels:
    given = check_list("kernels", kernels, "arrays (inputs, outputs), one a layer")
    if len(given) < 2:
        raise InputError(f"kernels has {len(given)} entries: give two layers or more")
    w = [as_floats(f"kernels[{i}]", k) for i, k in enumerate(given)]
    for i, k in enumerate(w):
        before = None if i == 0 else w[i - 1].shape[1]
        if k.ndim != 2 or 0 in k.shape or before not in (None, k.shape[0]):
            wanted = "(inputs, outputs)" if before is None else f"({before}, outputs)"
            raise InputError(f"kernels[{i}] has shape {k.shape}: give {wanted}")
    return w


def _biases(biases: Sequence[Any] | None, w: Kernels) -> Biases:
    if biases is None:
        return [None] * len(w)
    given = check_list("biases", biases, "arrays, one a layer, or None where there is none")
    if len(given) != len(w):
        raise InputError(f"biases has {len(given)} entries for {len(w)} layers: give {len(w)}")
    found: Biases = []
    for i, (b, k) in enumerate(zip(given, w, strict=True)):
        found.append(None if b is None else as_floats(f"biases[{i}]", b))
        if (one := found[-1]) is not None and one.shape != k.shape[1:]:
            raise InputError(f"biases[{i}] has shape {one.shape}: give {k.shape[1:]}")
    return found


def _of_particles(measure: Particles, scaling: str) -> tuple[Kernels, Biases]:
    x, names = measure.points(), measure.names
    count = sum(name[0] == "a" for name in names)
    offset = "b" in names
    expected = (("a",) if count == 1 else numbered("a", count)) if count else ()
    expected += ("b",) * offset + numbered("w", len(names) - count - offset)
    if names != expected or len(names) == count + offset:
        raise InputError(
            f"particles in ({', '.join(names)}): neurons have (a, b, w), a1, …, aK for K outputs and b where there are "
            "offsets"
        )
    shares = measure.weights()[:, None]
    last = (shares * x[:, :count] if count else shares) / factor(scaling, measure.n)
    return [x[:, count + offset :].T.copy(), last], [x[:, count].copy() if offset else None, None]


def _of_ensemble(measure: Ensemble, scaling: str, constant: bool) -> tuple[Kernels, Biases]:
    first = measure.weights[0]
    if constant and first.shape[1] == 1:
        raise InputError(
            "constant_input: the ensemble has one input only, so that none is left beside the constant"
        )
    b1 = first[:, -1].copy() if constant else None
    kernels = [(first[:, :-1] if constant else first).T.copy()]
    for p, w in zip(measure.probabilities, measure.weights[1:], strict=True):
        kernels.append(p[:, None] * w.reshape(p.size, -1) / factor(scaling, p.size))
    later = measure.biases or [None] * (measure.depth - 1)
    return kernels, [b1, *(None if b is None else np.reshape(b, -1).copy() for b in later)]
