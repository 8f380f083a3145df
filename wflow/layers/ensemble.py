r"""A neuronal ensemble with finitely many atoms: the state of a multilayer network, and of its limit.

On probability spaces :math:`(\Omega_i, P_i)`, one a hidden layer, weights are functions of two neighbours and biases
functions of one,

.. math:: H_1(x, c_1) = w_1(c_1)\cdot x, \qquad
          H_i(x, c_i) = b_i(c_i) + E_{C_{i-1}}\bigl[w_i(C_{i-1}, c_i)\,\sigma_{i-1}(H_{i-1}(x, C_{i-1}))\bigr].

With n_i atoms of probabilities p_i they are arrays. A network of N_i neurons a layer is the ensemble of N_i atoms of
equal probability, and a limit of which every :math:`P_i` is atomic is one of other probabilities: neither is an
approximation of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from wflow.errors import InputError, shown
from wflow.layers.layout import Layout
from wflow.tools.arrays import as_floats, position
from wflow.tools.checks import check_count, check_list, check_seed
from wflow.tools.streams import stream

UNIT = 1e-9
"""How far the probabilities of a layer may be from summing to 1."""


class Ensemble:
    r"""Weights, biases and probabilities of a network of L layers.

    Parameters
    ----------
    weights : [w_1 (n_1, d), w_2 (n_1, n_2), …, w_L (n_{L−1},) or (n_{L−1}, K)], L ≥ 2 arrays; row j, column k of w_i
        leads from atom j of layer i − 1 to atom k of layer i
    biases : [b_2 (n_2,), …, b_L (a number, or (K,))], or None for a network without; the first layer has none, a
        constant input serves
    probabilities : [p_1 (n_1,), …, p_{L−1} (n_{L−1},)], each of sum 1; equal ones by default

    Raises
    ------
    InputError
        for fewer than two layers, NaN, shapes that do not fit each other, and probabilities that are none

    Source: Nguyen & Pham, arXiv:2001.11443, section 2.

    >>> net = Ensemble([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [1.0, 1.0, 1.0]])
    >>> net
    Ensemble(2 -> 2 -> 3 -> 1)
    >>> net.sample([1000, 1000], seed=0)
    Ensemble(2 -> 1000 -> 1000 -> 1)
    """

    kind = "ensemble"

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...] | None
    probabilities: tuple[np.ndarray, ...]
    layout: Layout

    def __init__(
        self,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        probabilities: Sequence[Any] | None = None,
    ) -> None:
        w = _matrices(weights)
        depth = len(w)
        widths = tuple(a.shape[0] for a in w[:1]) + tuple(a.shape[1] for a in w[1:-1])
        outputs = w[-1].shape[1] if w[-1].ndim == 2 else 0
        layout = Layout(w[0].shape[1], widths, outputs, biases is not None)
        b = None
        if biases is not None:
            b = [as_floats(f"biases[{i}]", a) for i, a in enumerate(_entries("biases", biases))]
            _count("biases", len(b), depth - 1, "one a layer from the second on")
            for i, a in enumerate(b):
                _shape(f"biases[{i}]", a, layout.shapes[f"b{i + 2}"])
        p = [np.full(n, 1.0 / n) for n in widths]
        if probabilities is not None:
            given = _entries("probabilities", probabilities)
            _count("probabilities", len(given), depth - 1, "one a hidden layer")
            p = [_probabilities(f"probabilities[{i}]", a, widths[i]) for i, a in enumerate(given)]
        for a in (*w, *(b or ()), *p):
            a.setflags(write=False)
        self.__dict__.update(
            weights=tuple(w),
            biases=None if b is None else tuple(b),
            probabilities=tuple(p),
            layout=layout,
        )

    @property
    def depth(self) -> int:
        """L, the number of layers of weights."""
        return self.layout.depth

    @property
    def widths(self) -> tuple[int, ...]:
        """n_1, …, n_{L−1}."""
        return self.layout.widths

    def flat(self) -> np.ndarray:
        """All weights, then all biases, as one new vector."""
        return self.layout.join(self.weights, self.biases or ())

    def like(self, flat: np.ndarray) -> Ensemble:
        """The ensemble of the same sizes and probabilities with the weights and biases of a vector."""
        arrays = dict(self.layout.views(np.array(flat, dtype=np.float64)))
        biases = [arrays[k] for k in self.layout.shapes if k.startswith("b")]
        weights = [arrays[k] for k in self.layout.shapes if k.startswith("w")]
        return Ensemble(weights, biases if self.biases is not None else None, self.probabilities)

    def atoms(self, widths: int | Sequence[int], seed: int) -> tuple[np.ndarray, ...]:
        """Which atoms N_i neurons a layer are, drawn independently from the probabilities: places (N_i,) a layer.

        Parameters
        ----------
        widths : N_1, …, N_{L−1}, or one number for all
        seed : of the draw; a layer's neurons are the first ones of a stream of its own, so that wider networks begin
            with the neurons of narrower ones

        Raises
        ------
        InputError
            for widths that are no counts, or of another number of layers
        """
        sizes = check_widths(widths, self.depth)
        seed = check_seed(seed)
        found = []
        for i, (p, n) in enumerate(zip(self.probabilities, sizes, strict=True)):
            edges = np.cumsum(p)
            u = stream(seed, "start", i).random(n) * edges[-1]
            found.append(np.minimum(np.searchsorted(edges, u, side="right"), len(p) - 1))
        return tuple(found)

    def taken(self, atoms: Sequence[np.ndarray]) -> Ensemble:
        r"""The network whose neuron j of layer i is atom :math:`c_i(j)`, each of the same probability.

        .. math:: \mathbf w_i(j, k) = w_i\bigl(c_{i-1}(j), c_i(k)\bigr), \qquad \mathbf b_i(k) = b_i\bigl(c_i(k)\bigr)

        Parameters
        ----------
        atoms : places (N_i,) a hidden layer, as of :meth:`atoms`
        """
        places = [np.asarray(a) for a in _entries("atoms", atoms)]
        _count("atoms", len(places), self.depth - 1, "one array a hidden layer")
        for i, (a, n) in enumerate(zip(places, self.widths, strict=True)):
            whole = a.ndim == 1 and a.size and np.issubdtype(a.dtype, np.integer)
            if not whole or a.min() < 0 or a.max() >= n:
                raise InputError(f"atoms[{i}]: give whole numbers from 0 to {n - 1}, one a neuron")
        weights = [self.weights[0][places[0]]]
        for i in range(1, self.depth - 1):
            weights.append(self.weights[i][np.ix_(places[i - 1], places[i])])
        weights.append(self.weights[-1][places[-1]])
        if self.biases is None:
            return Ensemble(weights)
        biases = [b[c] for b, c in zip(self.biases[:-1], places[1:], strict=True)]
        return Ensemble(weights, [*biases, self.biases[-1]])

    def sample(self, widths: int | Sequence[int], seed: int) -> Ensemble:
        """A network of N_i neurons a layer, drawn independently from the atoms: the neuronal embedding.

        Parameters
        ----------
        widths : N_1, …, N_{L−1}, or one number for all
        seed : of the draw

        Raises
        ------
        InputError
            for widths that are no counts, or of another number of layers
        """
        return self.taken(self.atoms(widths, seed))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"Ensemble is read-only: build a new one instead of setting '{name}'")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Ensemble is read-only: '{name}' cannot be deleted")

    def __repr__(self) -> str:
        sizes = (self.layout.inputs, *self.widths, self.layout.outputs or 1)
        return f"Ensemble({' -> '.join(map(str, sizes))})"


def check_widths(widths: Any, depth: int) -> tuple[int, ...]:
    """A width for every hidden layer of L = ``depth``; one number serves all."""
    if isinstance(widths, int | np.integer):
        return (check_count("widths", widths),) * (depth - 1)
    found = tuple(check_count("widths", n) for n in _entries("widths", widths))
    _count("widths", len(found), depth - 1, "one a hidden layer")
    return found


def own_widths(widths: Any) -> tuple[int, ...]:
    """A width for every hidden layer, whose number they say."""
    if isinstance(widths, int | np.integer) and not isinstance(widths, bool):
        raise InputError(f"widths = {shown(widths)}: give n_1, …, n_(L-1) in a list, which says L")
    found = tuple(check_count("widths", n) for n in check_list("widths", widths, "whole numbers"))
    if not found:
        raise InputError("widths is empty: give n_1, …, n_(L-1), one a hidden layer")
    return found


def each(what: str, given: Any, count: int) -> list[Any]:
    """``count`` values; one serves all."""
    if isinstance(given, int | float | np.number):
        return [given] * count
    found = check_list(what, given, "numbers")
    if len(found) != count:
        raise InputError(f"{what} has {len(found)} entries: give {count}, or one for all")
    return found


def _entries(what: str, given: Any) -> list[Any]:
    return check_list(what, given, "arrays, one a layer")


def _matrices(given: Any) -> list[np.ndarray]:
    """Weights whose shapes fit each other, copied."""
    entries = _entries("weights", given)
    if len(entries) < 2:
        raise InputError(
            f"weights has {len(entries)} entries: a network has two layers at least, w_1 and w_2"
        )
    w = [as_floats(f"weights[{i}]", a) for i, a in enumerate(entries)]
    w[0] = w[0][:, None] if w[0].ndim == 1 else w[0]
    for i, a in enumerate(w):
        allowed = (1, 2) if i == len(w) - 1 else (2,)
        if a.ndim not in allowed or 0 in a.shape:
            wanted = "(n, K), or (n,) for one output" if len(allowed) == 2 else "(n, m)"
            raise InputError(f"weights[{i}] has shape {a.shape}: give {wanted}")
    for i in range(1, len(w)):
        before = w[0].shape[0] if i == 1 else w[i - 1].shape[1]
        if w[i].shape[0] != before:
            raise InputError(
                f"weights[{i}] has shape {w[i].shape} and layer {i} has {before} atoms: give as many rows"
            )
    return [np.ascontiguousarray(a) for a in w]


def _probabilities(what: str, given: Any, n: int) -> np.ndarray:
    p = np.array(as_floats(what, given))
    _shape(what, p, (n,))
    if p.min() < 0:
        where, at = position(p < 0)
        raise InputError(f"{what}{where} is {p[at]:g}: a probability is not negative")
    if abs(p.sum() - 1.0) > UNIT:
        raise InputError(
            f"{what} sums to {p.sum():.12g}: probabilities sum to 1; divide them by their sum"
        )
    return p


def _shape(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(f"{what} has shape {array.shape}: expected {shape}")


def _count(what: str, found: int, wanted: int, rule: str) -> None:
    if found != wanted:
        raise InputError(f"{what} has {found} entries and should have {wanted}: {rule}")
