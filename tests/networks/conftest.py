"""The system of the small data set."""

import numpy as np
import pytest
from small_data import X, Y

import wflow


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, x=X, y=Y)
    return wflow.systems.get("dataset", path=str(path), scaled="no")
