"""The HDF5 file of a run: laid out before it starts, safe at every moment, readable without wflow.

This package knows numpy, h5py and the house's tools, no flow and no method.
"""

from wflow.storage.attributes import demand
from wflow.storage.checkpoint import Checkpoint
from wflow.storage.layout import Axis, FieldSpec, Layout, Quantity
from wflow.storage.reader import StoredRun, read_run
from wflow.storage.verify import Verification, verify
from wflow.storage.writer import RunWriter

__all__ = [
    "Axis",
    "Checkpoint",
    "FieldSpec",
    "Layout",
    "Quantity",
    "RunWriter",
    "StoredRun",
    "Verification",
    "demand",
    "read_run",
    "verify",
]
