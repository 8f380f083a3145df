r"""How features are evaluated: a register of evaluators by name, device and the features that they serve.

.. math:: f_q = \sum_i w_i\,\sigma_*(x_q;\theta_i), \qquad g_i = \sum_q c_q\,\sigma_*(x_q;\theta_i), \qquad
          \nabla g_i = \sum_q c_q\,\nabla_\theta\sigma_*(x_q;\theta_i)

``FeatureEnergy(..., evaluator="numpy")`` chooses one; "auto" is the features' own, compiled for the processor. The name
is written into a run's file, and is no part of the problem's fingerprint: a run may go on with another.

One more evaluator, for a graphics card or in float32, is one file in ``wflow/energies/evaluators/``. It holds

- a subclass of :class:`Evaluator` with ``name``, ``device``, ``precision`` and ``serves``, the feature maps whose
  formula it knows, and ``evaluators.enter`` of one of it;
- ``prepare(features, points)``, which takes points (n, D) in float64 and returns the three contractions above as
  :class:`wflow.energies.features.base.PreparedFeatures`. They take and give float64 arrays in the memory of the host;
  what happens between is the evaluator's own. What depends on points or nodes alone goes to the device here, once: a
  grid asks the same object at every step, particles prepare anew;
- sums in a fixed order: a run that is resumed must give the same bits.

The tests of ``tests/energies/test_evaluators.py`` hold every entry against "numpy", to what its precision promises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.errors import InputError, unknown
from wflow.tools.register import Register

AUTO = "auto"


class Evaluator(ABC):
    """A way to form the sums over features."""

    name: ClassVar[str]
    device: ClassVar[str] = "cpu"
    precision: ClassVar[str] = "float64"
    serves: ClassVar[tuple[type[FeatureMap], ...]] = (FeatureMap,)

    def check(self, features: Any) -> None:
        """Refuse features that it does not serve, or none at all where what it needs is not there.

        Raises
        ------
        InputError
            which tells what to take
        """
        if not isinstance(features, self.serves):
            served = ", ".join(one.__name__ for one in self.serves)
            raise InputError(
                f"evaluator '{self.name}' does not serve {type(features).__name__}: it serves {served}; take '{AUTO}'"
            )

    @abstractmethod
    def prepare(self, features: Any, points: np.ndarray) -> PreparedFeatures:
        """The features of fixed points (n, D), one of those that it serves."""


evaluators: Register[Evaluator] = Register("evaluator", "wflow.energies.evaluators")


def contractions(name: str, features: FeatureMap) -> Callable[[np.ndarray], PreparedFeatures]:
    """What prepares features for the evaluator of a name: their own ``prepare`` for "auto".

    Raises
    ------
    InputError
        for an unknown name, and for an evaluator that does not serve these features

    >>> from wflow.energies import RbfFeatures
    >>> contractions("numpy", RbfFeatures([[0.0]], 1.0))(np.array([[2.0, 0.0]])).predict(np.ones(1))
    array([2.])
    """
    if isinstance(name, str) and name == AUTO:
        # An energy is made for every batch of SGD, and no step asks the register.
        return features.prepare
    if name not in evaluators:
        raise unknown("evaluator", name, (AUTO, *evaluators))
    found = evaluators[name]
    found.check(features)
    return partial(found.prepare, features)
