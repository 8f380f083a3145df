"""A data set of the user's own from NPZ, CSV or HDF5."""

from __future__ import annotations

from pathlib import Path

from wflow.energies.features.targets import one_hot
from wflow.errors import InputError
from wflow.systems.catalogue import system
from wflow.systems.shared.data import NETWORK_PARAMETERS, DataSystem, Samples
from wflow.systems.shared.tables import read_table
from wflow.tools.parameters import Parameter


@system
class Dataset(DataSystem):
    """Any inputs and targets: arrays x, y of an NPZ or HDF5 file, or a CSV whose last column is the target.

    Targets are numbers, labels of two classes (±1), labels 0 … K−1 of K classes, or K columns of an array.
    """

    name = "dataset"
    title = "a data set of your own: NPZ, CSV or HDF5"
    source = "the user's file"
    parameters = (
        Parameter(
            "path",
            None,
            "NPZ or HDF5 with arrays x (Q, d) and y (Q,) or (Q, K), or CSV with the target last",
            str,
        ),
        Parameter(
            "classes",
            0,
            "K where the targets are labels 0 ... K-1, an output each; 0 takes the targets as they are",
            int,
            low=0,
        ),
        Parameter(
            "scaled",
            "yes",
            "centre the inputs and scale them to E|x|^2 = d",
            str,
            choices=("yes", "no"),
        ),
        *NETWORK_PARAMETERS,
    )

    def check(self) -> None:
        if self.path is None:
            raise InputError("system 'dataset' needs path=, an NPZ, CSV or HDF5 file")

        if self.classes == 1:
            raise InputError("classes = 1: there is nothing to tell apart; give 2 or more, or 0")

    def read(self) -> Samples:
        return self.read_other(Path(self.path))

    def read_other(self, path: Path) -> Samples:
        x, y = read_table(path)
        if y.ndim == 2 and self.classes not in (0, y.shape[1]):
            raise InputError(
                f"{path}: y has {y.shape[1]} columns and classes = {self.classes}: leave classes out"
            )
        if y.ndim == 1 and self.classes:
            y = one_hot(y, self.classes, f"{path}: y")
        elif y.ndim == 1 and self.loss == "softmax":
            raise InputError(
                f"loss = softmax and {path} has one target a sample: give classes=K, the number of labels 0 ... K-1"
            )
        return x, y

    def scales(self) -> bool:
        return bool(self.scaled == "yes")
