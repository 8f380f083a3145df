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
from typing import Any, ClassVar

import numpy as np

from wflow.energies.features.base import FeatureMap, PreparedFeatures
from wflow.errors import InputError
from wflow.tools.register import Register

AUTO = "auto"


class Evaluator(ABC):
    """A way to form the sums over features."""

    name: ClassVar[str]
    device: ClassVar[str] = "cpu"
    precision: ClassVar[str] = "float64"
    serves: ClassVar[tuple[type[FeatureMap], ...]] = (FeatureMap,)

    @abstractmethod
    def prepare(self, features: Any, points: np.ndarray) -> PreparedFeatures:
        """The features of fixed points (n, D), one of those that it serves."""


class Own(Evaluator):
    """What every feature map brings along."""

    name = AUTO

    def prepare(self, features: FeatureMap, points: np.ndarray) -> PreparedFeatures:
        return features.prepare(points)


evaluators: Register[Evaluator] = Register("evaluator", "wflow.energies.evaluators")
OWN = evaluators.enter(Own())


def get_evaluator(name: str, features: FeatureMap) -> Evaluator:
    """The evaluator of a name, for features that it serves.

    Raises
    ------
    InputError
        for an unknown name, and for one that does not serve these features

    >>> from wflow.energies import RbfFeatures
    >>> get_evaluator("numpy", RbfFeatures([[0.0]], 1.0)).device
    'cpu'
    """
    if name == AUTO:
        # An energy is made for every batch of SGD, and no step asks the register.
        return OWN
    found = evaluators[name]
    if not isinstance(features, found.serves):
        served = ", ".join(one.__name__ for one in found.serves)
        raise InputError(
            f"evaluator '{name}' does not serve {type(features).__name__}: it serves {served}; take '{AUTO}'"
        )
    return found
