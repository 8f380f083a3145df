"""A data set of the user's own from NPZ, CSV or HDF5."""

from __future__ import annotations

from pathlib import Path

from wflow.errors import InputError
from wflow.systems.catalogue import system
from wflow.systems.shared.data import NETWORK_PARAMETERS, DataSystem, Samples
from wflow.systems.shared.tables import read_table
from wflow.tools.parameters import Parameter


@system
class Dataset(DataSystem):
    """Any inputs and targets: arrays x, y of an NPZ or HDF5 file, or a CSV whose last column is the target."""

    name = "dataset"
    title = "a data set of your own: NPZ, CSV or HDF5"
    source = "the user's file"
    parameters = (
        Parameter(
            "path",
            None,
            "NPZ or HDF5 with arrays x (Q, d) and y (Q,), or CSV with the target last",
            str,
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

    def read(self) -> Samples:
        return read_table(Path(self.path))

    def read_other(self, path: Path) -> Samples:
        return read_table(path)

    def scales(self) -> bool:
        return bool(self.scaled == "yes")
