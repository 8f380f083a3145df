"""1,797 hand-written digits, 8×8 pixels, as scikit-learn ships them."""

from __future__ import annotations

import numpy as np

from wflow.errors import InputError
from wflow.systems.catalogue import system
from wflow.systems.shared.data import NETWORK_PARAMETERS
from wflow.systems.shared.ten_digits import DIGIT_PARAMETERS, DigitSystem


@system
class Digits(DigitSystem):
    """Parity, one digit against the rest, or all ten hand-written digits."""

    name = "digits"
    title = "1,797 hand-written 8x8 digits, two-layer network with offsets"
    source = "Alpaydin & Kaynak (1998), UCI Optical Recognition of Handwritten Digits, test half"
    parameters = (*DIGIT_PARAMETERS, *NETWORK_PARAMETERS)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise InputError(
                "system 'digits' needs scikit-learn: python -m pip install scikit-learn"
            ) from None
        bunch = load_digits()
        return bunch.data, self.targets(bunch.target)
