"""What a figure of the sources is, and the catalogue of all of them.

A figure is one file here: subclass :class:`Figure`, state name, title, source and sizes, write ``compute`` (numbers)
and ``draw`` (a picture of them), decorate with :func:`figure`. The file is found by itself.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from wflow.errors import InputError, StorageError, shown
from wflow.results.labelled import FIGURE, Labelled, check_free, write_labelled
from wflow.tools.checks import check_path
from wflow.tools.pictures import caption, facts, save_figure
from wflow.tools.register import Register
from wflow.tools.workers import cores, executor

T = TypeVar("T")


@dataclass
class Results:
    """The numbers of a figure: labelled ``arrays``, and ``findings``, sentences with what they show."""

    arrays: dict[str, Labelled]
    findings: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name].values


class Figure(ABC):
    """A published figure, computed anew."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    published: ClassVar[dict[str, Any]]
    """Arguments of ``compute`` at the published size."""
    reduced: ClassVar[dict[str, Any]]
    """The same at a size that takes seconds."""

    @abstractmethod
    def compute(self, *arguments: Any, **size: Any) -> Results:
        """The numbers."""

    @abstractmethod
    def draw(self, results: Results) -> Any:
        """A matplotlib figure of the numbers."""

    def picture(self, results: Results, size: str) -> Any:
        """The figure, with what it was computed at written below."""
        drawn = self.draw(results)
        caption(drawn, f"{size} size: {facts(self.sized(size))}")
        return drawn

    def sized(self, size: str) -> dict[str, Any]:
        """Arguments of ``compute``: "published" or "reduced".

        Raises
        ------
        InputError
            for another word
        """
        sizes = {"published": self.published, "reduced": self.reduced}
        if not isinstance(size, str) or size not in sizes:
            raise InputError(f"size {shown(size)}: expected 'published' or 'reduced'")
        return dict(sizes[size])


FIGURES: Register[type[Figure]] = Register("figure", "wflow.figures")
figure = FIGURES.enter
"""Enter a figure in the catalogue under its name."""


def figures() -> Mapping[str, type[Figure]]:
    """All figures by name.

    >>> "mmn-1" in figures()
    True
    """
    return FIGURES


def get_figure(name: str) -> Figure:
    """A figure by name.

    Raises
    ------
    InputError
        for an unknown name

    >>> get_figure("mmn-2").source
    'Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Fig. 2'
    """
    return FIGURES[name]()


def places(name: str, folder: str | os.PathLike[str], overwrite: bool) -> tuple[Path, Path]:
    """The HDF5 file and the picture of a figure in a folder, which is made, checked to be free.

    Raises
    ------
    StorageError
        when one of them exists and ``overwrite`` is not set, or the folder is none
    """
    where = check_path("folder", folder)
    if where.exists() and not where.is_dir():
        raise StorageError(f"{where} is a file: give a folder for the figures")
    if not where.parent.is_dir():
        raise StorageError(f"the folder {where.parent} does not exist: make it first")
    try:
        where.mkdir(exist_ok=True)
    except OSError as e:
        raise StorageError(
            f"the folder {where} cannot be made ({e.strerror}): give another"
        ) from None
    if not os.access(where, os.W_OK):
        raise StorageError(f"the folder {where} cannot be written to: give another")
    files = where / f"{name}.h5", where / f"{name}.png"
    for path in files:
        check_free(path, overwrite)
    return files


def reproduce(
    name: str,
    folder: str | os.PathLike[str] = ".",
    *,
    size: str = "published",
    overwrite: bool = False,
) -> Results:
    """Compute a published figure anew; write NAME.png and NAME.h5 with its numbers.

    Parameters
    ----------
    name : of the catalogue, ``wflow.figures.figures()``
    folder : where to write; made if it does not exist
    size : "published", or "reduced" for a picture in seconds
    overwrite : replace existing files

    Raises
    ------
    InputError
        for an unknown name or size
    StorageError
        when a file exists, or the folder cannot be used

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = reproduce("mmn-2", folder, size="reduced")
    >>> results.findings[0].split(":")[0]
    'Δ_h'
    """
    chosen = get_figure(name)
    arguments = chosen.sized(size)
    data, picture = places(name, folder, overwrite)
    results = chosen.compute(**arguments)
    attributes = {
        "format": FIGURE,
        "figure": name,
        "title": chosen.title,
        "source": chosen.source,
        "size": arguments,
        "findings": results.findings,
    }
    write_labelled(data, results.arrays, attributes, overwrite=overwrite)
    save_figure(chosen.picture(results, size), picture)
    return results


def mean_and_error(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over seeds, the first axis."""
    return runs.mean(axis=0), runs.std(axis=0, ddof=1) / np.sqrt(len(runs))


def side_by_side(jobs: Sequence[Callable[[], T]], *, apart: bool = False) -> list[T]:
    """Run independent jobs, one a core, with one BLAS thread each; their results in order.

    In threads, or ``apart`` in processes, where there is Dask: steps of small problems hold the interpreter.
    """
    from wflow.kernels.parallel import one_blas_thread

    with ExitStack() as stack:
        if apart and cores() > 1 and find_spec("distributed"):
            pool: Executor = stack.enter_context(executor())
        else:
            stack.enter_context(one_blas_thread())
            pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count() or 1))
        futures = [pool.submit(job) for job in jobs]
        try:
            return [f.result() for f in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
