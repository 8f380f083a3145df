r"""Activations σ by name, by knots, or as the user's own pair of scalar functions.

Every activation comes with its derivative, since the gradient flow moves neurons along
:math:`\nabla_w \sigma(\langle w, x\rangle) = \sigma'(\langle w, x\rangle)\, x`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.energies.arrays import as_knots
from wflow.energies.contracts import POINTS, refuse_wrong_slope
from wflow.errors import InputError, shown, unknown
from wflow.kernels.features import activations as kernels
from wflow.kernels.features.activations import ActivationMap
from wflow.tools.arrays import as_floats
from wflow.tools.fingerprint import of_function
from wflow.tools.portable import Portable

BUILT_IN: dict[str, ActivationMap] = {
    "erf": kernels.erf,
    "gaussian-rbf": kernels.gaussian_rbf,
    "identity": kernels.identity,
    "relu": kernels.relu,
    "sigmoid": kernels.sigmoid,
    "softplus": kernels.softplus,
    "tanh": kernels.tanh,
    "zero": kernels.zero,
}

REACH, HALVINGS, JUMP = 8.0, 60, 1e-6
"""Where jumps of σ' are looked for, how closely, and the least that counts, as a share of the largest slope."""


@dataclass(frozen=True, eq=False)
class Activation(Portable):
    """A scalar function σ and its derivative, compiled as a map over vectors.

    ``map(z, params, value, derivative)`` works on contiguous float64 vectors, from Python or inside a
    kernel that is given the map as an argument; ``params`` are its constants (the knots, say). ``name`` is what files
    call it, ``functions`` the pair that a user's own was made of.

    >>> tanh = get_activation("tanh")
    >>> float(tanh(0.0))
    0.0
    >>> value, slope = tanh.value_and_derivative([[0.0, 1.0]])
    >>> value.shape, round(float(slope[0, 1]), 6)
    ((1, 2), 0.419974)
    """

    name: str
    map: ActivationMap = field(repr=False)
    params: np.ndarray = field(repr=False)
    functions: tuple[Any, Any] | None = field(default=None, repr=False)
    """The user's own pair (value, derivative), where it is one."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process compiles the map anew: from the name, the knots or the user's functions."""
        if self.functions is not None:
            self.__getstate__()
            return get_activation, (self.functions,)
        if self.name in BUILT_IN:
            return get_activation, (self.name,)
        return _through_knots, (self.name, self.params)

    def __call__(self, z: Any) -> np.ndarray:
        """σ(z), of the shape of z."""
        return self.value_and_derivative(z)[0]

    def value_and_derivative(self, z: Any) -> tuple[np.ndarray, np.ndarray]:
        """σ(z) and σ'(z), both of the shape of z."""
        if not (type(z) is np.ndarray and z.dtype == np.float64):
            z = as_floats("z", z, finite=False)
        flat = z.reshape(-1)
        if not (flat.flags.c_contiguous and flat.flags.writeable and flat.flags.aligned):
            # The map is compiled for one memory layout only, and read-only is another one to numba.
            flat = flat.copy()
        value = np.empty(flat.size)
        derivative = np.empty(flat.size)
        self.map(flat, self.params, value, derivative)
        return value.reshape(z.shape), derivative.reshape(z.shape)

    @property
    def kink(self) -> float | None:
        """A z at which σ' jumps, or None: every interval is halved, on the side where σ' changes more.

        >>> get_activation("tanh").kink, get_activation("relu").kink, piecewise_linear([(5, 0), (6, 1)]).kink
        (None, 0.0, 5.0)
        """
        ends = np.union1d(np.linspace(-REACH, REACH, 513), self.params)
        low, high = ends[:-1], ends[1:]
        try:
            with np.errstate(all="ignore"):
                before, after = (self.value_and_derivative(z)[1] for z in (low, high))
                for _ in range(HALVINGS):
                    middle = 0.5 * (low + high)
                    slope = self.value_and_derivative(middle)[1]
                    left = np.abs(slope - before) >= np.abs(after - slope)
                    low, high = np.where(left, low, middle), np.where(left, middle, high)
                    before, after = np.where(left, before, slope), np.where(left, slope, after)
                found = np.flatnonzero(np.abs(after - before) > JUMP * np.nanmax(np.abs(before)))
        except (ArithmeticError, ValueError):  # the user's own pair, where it is not defined
            return None
        return round(float(high[found[0]]), 12) + 0.0 if found.size else None


def get_activation(spec: Any) -> Activation:
    """The activation that a name, an :class:`Activation`, or a pair of scalar functions stands for.

    Parameters
    ----------
    spec : "relu", "sigmoid" 1/(1+e^{−z}), "tanh", "erf", "softplus" log(1+e^z), "gaussian-rbf" e^{−z} (of
        z = |x−y|²/2v), "identity" or "zero"; or an :class:`Activation`; or (value, derivative), two Python
        functions of one float, which are compiled once (for piecewise linear functions see
        :func:`piecewise_linear`)

    Raises
    ------
    InputError
        for an unknown name, or functions that do not compile or do not return a number

    >>> get_activation((lambda z: z * z, lambda z: 2 * z))([1.0, 3.0])
    array([1., 9.])
    """
    if isinstance(spec, Activation):
        return spec
    if isinstance(spec, str):
        if spec not in BUILT_IN:
            raise unknown(
                "activation",
                spec,
                BUILT_IN,
                "Or give a pair of scalar functions (value, derivative), or piecewise_linear(knots).",
            )
        return Activation(spec, BUILT_IN[spec], np.zeros(1))
    if isinstance(spec, Sequence) and len(spec) == 2 and all(callable(f) for f in spec):
        return _user_pair(spec[0], spec[1])
    raise InputError(
        f"activation {shown(spec)}: expected a name ({', '.join(BUILT_IN)}), an Activation, or a pair "
        "(value, derivative) of scalar functions"
    )


def piecewise_linear(knots: Sequence[tuple[float, float]]) -> Activation:
    """The continuous piecewise linear function through the knots, constant outside them.

    Parameters
    ----------
    knots : (position, value) pairs, at least one, positions increasing. Where the slope jumps, the
        derivative takes its left value.

    Raises
    ------
    InputError
        for knots that are not finite pairs with increasing positions

    Source: Mei, Montanari & Nguyen (2018), Section 4.1: knots (0.5, −2.5), (1.5, 7.5).

    >>> sigma = piecewise_linear([(0.5, -2.5), (1.5, 7.5)])
    >>> sigma([0.0, 1.0, 2.0])
    array([-2.5,  2.5,  7.5])
    """
    table = as_knots(knots)
    position, value = table.T
    steps = np.diff(position)
    if steps.size == 0:
        params = np.array([value[0], position[0], position[0], 0.0])
    else:
        pieces = np.column_stack([position[:-1], position[1:], np.diff(value) / steps])
        params = np.concatenate([value[:1], pieces.ravel()])
    text = ", ".join(f"({k!r}, {v!r})" for k, v in table.tolist())
    return _through_knots(f"piecewise-linear[{text}]", params)


def _through_knots(name: str, params: np.ndarray) -> Activation:
    return Activation(name, kernels.piecewise_linear, params)


_user_maps: dict[tuple[str, Any, Any], ActivationMap] = {}


def _user_pair(value: Callable[[float], float], derivative: Callable[[float], float]) -> Activation:
    """Compile a user's pair once a process and try it, so that a mistake shows here and not in a kernel."""
    from numba.core.errors import NumbaError

    # The digests tell apart two functions of one name (two lambdas, say) when a run is resumed.
    name = f"({_name_of(value)}, {_name_of(derivative)})"
    key = (
        name,
        value,
        derivative,
    )  # a constant of their module may have changed, which the compiled code keeps
    if key not in _user_maps:
        trial = np.array([0.5])
        pair = kernels.map_from_scalars(value, derivative)
        try:
            pair(trial, np.zeros(1), np.empty(1), np.empty(1))
        except NumbaError as e:
            lines = [line.strip() for line in str(e).splitlines() if line.strip()]
            # numba names its stage in the first line and the reason in the lines after it.
            reason = " ".join(lines[1:3] if len(lines) > 1 else lines)
            raise InputError(
                f"activation {name} does not compile: {reason}; use numbers, operators and math functions "
                "of one float only"
            ) from None
        _check_pair(Activation(name, pair, np.zeros(1)))
        _user_maps[key] = pair
    return Activation(name, _user_maps[key], np.zeros(1), (value, derivative))


def _check_pair(activation: Activation) -> None:
    """Refuse a derivative that differences of the values contradict, on either side of 0: a logarithm has but one."""
    everywhere = np.array([[-np.inf, np.inf]])
    for side in (-1.0, 1.0):
        at = side * np.random.default_rng(POINTS).uniform(0.25, 2.0, (POINTS, 1))
        refuse_wrong_slope(
            f"the derivative of activation {activation.name}",
            lambda z: activation.value_and_derivative(z[:, 0])[0],
            lambda z: activation.value_and_derivative(z)[1],
            at,
            everywhere,
            ("z",),
        )


def _name_of(function: Any) -> str:
    return f"{getattr(function, '__name__', type(function).__name__)}#{of_function(function)[:8]}"
