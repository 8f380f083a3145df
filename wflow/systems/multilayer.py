r"""Networks of L layers on a small problem, from a start that degenerates and from two that do not.

.. math:: H_1 = w_1x, \qquad H_i = b_i + E\bigl[w_i\,\sigma(H_{i-1})\bigr], \qquad \hat y(x) = H_L(x)

- ``iid``: independent weights, :math:`w_1 \sim N(0, s^2I/d)`, :math:`w_i \sim N(m, s^2)`; the limit is an ensemble with
  one neuron in layers 2 … L − 2 (:func:`wflow.multilayer.iid_limit`), which learns all the same where m ≠ 0.
- ``diverse``: n types of neurons a layer (:func:`wflow.multilayer.types`).
- ``feature-regression``: what n neurons a layer say of the samples is that of wide random networks
  (:func:`wflow.multilayer.feature_regression`). Q samples take weights of size √Q, and networks of N ≫ Q neurons: fewer
  samples are the default.

The problem is small so that it is learned in seconds: :math:`y = \sin x_1 + \tfrac12x_2` at normal inputs in three
dimensions, where some hundred atoms stand for the law of w₁; odd in x, as every network of tanh without biases is. The
other one is the source's: the digits 0–4 against 5–9.
Source: Nguyen & Pham, arXiv:2001.11443, section 5; Pham & Nguyen, arXiv:2006.09355, section 4; Fang, Lee, Yang & Zhang,
arXiv:2007.01452, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.multilayer.iid import iid_limit, iid_network, normal_atoms
from wflow.multilayer.starts import feature_regression, types
from wflow.systems.catalogue import FLOW_PARAMETERS, System, get, system
from wflow.systems.shared.label_noise import LABEL_NOISE, noisy
from wflow.tools.checks import non_negative
from wflow.tools.fingerprint import digest
from wflow.tools.memory import check_held
from wflow.tools.parameters import Parameter
from wflow.tools.streams import stream

INPUTS = 3
"""d of the inputs of ``data="sine"``."""
MEAN = 1.0
"""m where none is given."""
SAMPLES = {"iid": 100, "diverse": 100, "feature-regression": 10}
"""Q where none is given, by the start: weights of size √Q are told by networks of N ≫ Q neurons."""
ATOMS = {"iid": 256, "diverse": 64, "feature-regression": 128}
"""n where none is given, by the start."""


@system
class Multilayer(System):
    """A network of L layers; its limit is an ensemble."""

    name = "multilayer"
    title = "networks of L layers in mean-field scaling, and the ensembles that are their limits"
    source = "Nguyen & Pham (2020), arXiv:2001.11443; Pham & Nguyen (2020), arXiv:2006.09355"
    parameters = (
        Parameter("depth", 4, "layers of weights L", int, low=2, high=12),
        Parameter(
            "start",
            "iid",
            "independent weights, neurons of n types a layer, or features of wide random networks",
            str,
            choices=("iid", "diverse", "feature-regression"),
        ),
        Parameter(
            "data",
            "sine",
            "sine: y = sin(x1) + x2/2, x normal in three dimensions; digits: 0-4 (+1) against 5-9 (-1)",
            str,
            choices=("sine", "digits"),
            published="digits",
        ),
        Parameter(
            "samples",
            None,
            "samples Q of the data, 100 if left out; of feature-regression, whose weights are of size sqrt(Q), 10",
            int,
            published="100",
            low=1,
        ),
        Parameter("activation", "tanh", "activation by name", str, published="tanh"),
        Parameter(
            "loss",
            "square",
            "square |y - f|^2, huber, or logistic with labels +-1",
            str,
            published="huber",
            choices=("square", "huber", "logistic"),
        ),
        Parameter(
            "mean",
            None,
            "start: mean m of the weights after the first layer, 1 if left out; feature-regression has none",
            published="0.1",
        ),
        Parameter(
            "std",
            1.0,
            "start: standard deviation s of the weights, that of the first layer over sqrt(d)",
            published="1",
            low=0,
            open_low=True,
        ),
        Parameter("bias", "no", "biases, which start at 0", str, choices=("no", "yes")),
        Parameter("seed", 0, "of the start", int, low=0),
        Parameter("data_seed", 0, "of the samples", int, low=0),
        *LABEL_NOISE,
    )
    flow_parameters = tuple(p for p in FLOW_PARAMETERS if p.name == "decay")
    start_parameters = (
        Parameter(
            "n",
            0,
            "atoms of the laws of w_1 and w_L, or neurons a layer of the other starts; 0 is the system's default",
            int,
            low=0,
        ),
    )
    layered = True
    measures = ("ensemble",)
    clock = 1.0
    t_end = 20.0
    sgd = {"n_neurons": 200, "step_size": 0.01, "batch_size": 1}  # noqa: RUF012

    def check(self) -> None:
        if self.loss == "logistic" and self.data == "sine":
            raise InputError(
                "loss = logistic and data = sine: its targets are numbers; take data=digits, or another loss"
            )
        if self.start == "feature-regression" and self.mean is not None:
            raise InputError(
                f"mean = {self.mean:g} and start = feature-regression: its weights are regressed; leave mean out"
            )

    @property
    def shift(self) -> float:
        """m."""
        return MEAN if self.mean is None else float(self.mean)

    @property
    def count(self) -> int:
        """Q."""
        return SAMPLES[self.start] if self.samples is None else int(self.samples)

    @property
    def spread(self) -> float | None:
        """s of the middle weights of networks that are drawn independent; None where atoms have them."""
        return float(self.std) if self.start == "iid" and self.depth > 2 else None

    @cached_property
    def problem(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (Q, d) and targets (Q,), with the noise of labels."""
        x, y = self.clean
        return x, noisy(y, self.label_noise, self.data == "digits", self.label_seed)

    @cached_property
    def clean(self) -> tuple[np.ndarray, np.ndarray]:
        """The same without noise."""
        check_held("samples", self.count, INPUTS)
        if self.data == "sine":
            x = stream(self.data_seed, "inputs").standard_normal((self.count, INPUTS))
            return x, np.sin(x[:, 0]) + 0.5 * x[:, 1]
        digits: Any = get("digits", task="halves")
        x, y = digits.data()
        if self.count > y.size:
            raise InputError(f"samples = {self.count}: there are {y.size} digits; give fewer")
        pick = stream(self.data_seed, "split").permutation(y.size)[: self.count]
        return x[pick], y[pick]

    def data_digest(self) -> str | None:
        return None if self.data == "sine" else digest(*self.problem)[:16]

    def flow(  # type: ignore[override]  # its states are no measures
        self,
        temperature: float = 0.0,
        ridge: float = 0.0,
        reaction_rate: float = 0.0,
        decay: float = 0.0,
    ) -> Flow:
        """The flow of the system's ensembles and networks; the constants of measures are 0 here.

        Raises
        ------
        InputError
            for one that is not
        """
        constants = {"temperature": temperature, "ridge": ridge, "reaction_rate": reaction_rate}
        for name, value in constants.items():
            if non_negative(name, value):
                raise InputError(
                    f"{name} = {value:g}: the flow of system '{self.name}' has none; leave it out"
                )
        problem: dict[str, Any] = {
            "activation": self.activation,
            "loss": self.loss,
            "accuracy": self.data == "digits",
        }
        clean = {"clean_risk": Flow(*self.clean, **problem)} if self.label_noise else None
        schedule = self.clocked(decay)
        flow = Flow(*self.problem, schedule=schedule, observations=clean, **problem)
        flow.origin = self.origin(decay)
        return flow

    def initial(self, kind: str = "ensemble", n: int | None = None) -> Ensemble:  # type: ignore[override]
        """The ensemble that networks are drawn from: n atoms in the laws of w_1 and w_L, or n neurons a layer."""
        return super().initial(kind, n)  # type: ignore[return-value]

    def numbers(self, kind: str, n: float) -> float:
        square = n**2 * (self.depth - 2 if self.start != "iid" else self.depth == 3)
        return float(square + n * (self.problem[0].shape[1] + self.depth))

    def draws(self, kind: str) -> bool:
        return True

    def start_from(self, kind: str, n: int | None) -> Ensemble:  # type: ignore[override]
        n = n or ATOMS[self.start]
        widths, d = (n,) * (self.depth - 1), self.problem[0].shape[1]
        if self.start == "diverse":
            found = types(d, widths, std=self.std, mean=self.shift, seed=self.seed)
        elif self.start == "feature-regression":
            found = feature_regression(self.flow(), widths, std=self.std, seed=self.seed)
        elif self.depth == 2:
            # Of two layers the law of a neuron is the limit: one atom knows w_1 and w_2.
            z = self.std * normal_atoms(n, d + 1, seed=self.seed).points()
            found = Ensemble([z[:, :d] / math.sqrt(d), self.shift + z[:, d]])
        else:
            first = normal_atoms(n, d, std=self.std / math.sqrt(d), seed=self.seed)
            last = normal_atoms(n, 1, std=self.std, mean=self.shift)
            found = iid_limit(self.depth, first, last, self.shift)
        if self.bias == "no":
            return found
        zeros = [*(np.zeros(k) for k in found.widths[1:]), 0.0]
        return Ensemble(found.weights, zeros, found.probabilities)

    def drawn(self, widths: int | Sequence[int], seed: int, n: int | None = None) -> Ensemble:
        """A network of N_i neurons a layer whose limit is ``initial("ensemble", n)``.

        Parameters
        ----------
        widths : N_1, …, N_{L−1}, or one number for all
        seed : of the draw
        n : atoms, or neurons a layer, of the limit

        Raises
        ------
        InputError
            for widths that are no counts, or of another number of layers

        >>> Multilayer(depth=5).drawn(40, seed=1)
        Ensemble(3 -> 40 -> 40 -> 40 -> 40 -> 1)
        """
        return iid_network(self.initial("ensemble", n), widths, self.spread, seed)

    def energy(self) -> NoReturn:
        raise InputError(
            f"system '{self.name}' has layers, and no energy of a measure: system.flow() says its risk"
        )

    def network(self) -> NoReturn:
        raise InputError(
            f"system '{self.name}' has networks of many layers: draw one, net = system.drawn(100, seed=0), and train "
            "it by wflow.multilayer.sgd(system.flow(), net, step_size=…)"
        )
