"""MNIST from its IDX files, which the user brings."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from wflow.errors import InputError
from wflow.systems.catalogue import system
from wflow.systems.shared.data import NETWORK_PARAMETERS, Samples
from wflow.systems.shared.ten_digits import DIGIT_PARAMETERS, DigitSystem
from wflow.tools.memory import check_memory
from wflow.tools.parameters import Parameter

AXES = 3
"""The most axes of a file: images by rows by columns."""


@system
class Mnist(DigitSystem):
    """Parity, one digit against the rest, or all ten digits of MNIST images in a folder of IDX files."""

    name = "mnist"
    title = "MNIST digits from IDX files, two-layer network with offsets"
    source = "LeCun, Cortes & Burges, the MNIST database of handwritten digits"
    parameters = (
        Parameter(
            "path",
            None,
            "folder with *-images-idx3-ubyte and *-labels-idx1-ubyte, plain or .gz",
            str,
        ),
        Parameter("samples", 0, "use the first so many images; 0 is all", int, low=0),
        *DIGIT_PARAMETERS,
        *NETWORK_PARAMETERS,
    )

    def check(self) -> None:
        super().check()
        if self.path is None:
            raise InputError("system 'mnist' needs path=, the folder with the IDX files")

    def read(self) -> Samples:
        x, y = self.read_other(Path(self.path))
        keep = self.samples or len(y)
        return x[:keep], y[:keep]

    def read_other(self, folder: Path) -> Samples:
        if not folder.is_dir():
            raise InputError(f"path {folder}: no such folder; give the one with the IDX files")
        images = [_read_idx(p) for p in _find(folder, "images-idx3-ubyte")]
        labels = [_read_idx(p) for p in _find(folder, "labels-idx1-ubyte")]
        told = [i.shape for i in images], [i.shape for i in labels]
        fits = all(i.ndim == 3 and i.shape[1:] == images[0].shape[1:] for i in images)
        if not fits or [i.shape[:1] for i in images] != told[1]:
            raise InputError(
                f"{folder}: images {told[0]} and labels {told[1]} do not belong together: download MNIST again"
            )
        x, y = np.concatenate(images), np.concatenate(labels)
        return x.reshape(y.size, math.prod(x.shape[1:])), self.targets(y)


def _find(folder: Path, ending: str) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.name.removesuffix(".gz").endswith(ending))
    if not found:
        raise InputError(
            f"{folder} holds no file ending in {ending} (or .gz): download MNIST there"
        )
    # A half may lie there both packed and unpacked: one of the two is enough.
    by_name = {p.name.removesuffix(".gz"): p for p in found}
    return [by_name[k] for k in sorted(by_name)]


def _read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 0x0008 and the number of axes, big-endian sizes, data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if magic[:3] != b"\x00\x00\x08" or not 1 <= magic[-1] <= AXES:
                raise InputError(
                    f"{path} is not an IDX file of bytes: its first bytes are {magic!r}"
                )
            head = file.read(4 * magic[-1])
            if len(head) < 4 * magic[-1]:
                raise InputError(f"{path} is cut short: download it again")
            shape = struct.unpack(f">{magic[-1]}I", head)
            size = math.prod(shape)
            check_memory(f"{path} of shape {shape}", size, "download it again")
            raw = file.read(size + 1)  # no more than it says: a packed file may unpack to any size
    except (OSError, EOFError, zlib.error) as e:
        raise InputError(f"{path} cannot be read: {e}") from None
    if len(raw) != size:
        held = f"{len(raw)} bytes" if len(raw) < size else "more"
        raise InputError(f"{path} holds {held} and says {shape}: download it again")
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape)
