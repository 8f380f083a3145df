"""What every test runs under. At the root, so that the doctests of wflow/ run under it too."""

import importlib.util
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# Before anything imports matplotlib: no window, on any machine.
os.environ["MPLBACKEND"] = "Agg"

# Processes that tests start read the bytecode of the one before: without it each compiles 300 modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np
import pytest
from hypothesis import settings

# A shell ignores SIGINT for what it starts in the background, and children inherit that: Ctrl-C would not reach the
# runs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example of a property compiles kernels. On a build server the examples are
# the same at every run, so that a red build can be repeated; at a desk they differ, and find more.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


LONG = (
    "tests/figures/test_reproduce.py",
    "tests/run/test_resume.py",
    "tests/validation/test_verdicts.py",
    "tests/solvers/test_invariants.py",
    "tests/validation/test_fluctuations.py",
    "tests/cli/test_requeue.py",
    "tests/run/test_events.py",
    "tests/test_docs.py",
    "tests/systems/test_bump.py",
    "tests/storage/test_replay.py",
    "tests/solvers/grid/test_compositions.py",
    "tests/solvers/grid/test_several_axes.py",
)
"""Files that take longest, longest first: begun last, one of them would keep one process busy and the others idle."""


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist hand out files in the order below; its own is by the number of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse names that hold an address: every process would know the test under another name.

    Among several processes, long files come first, then those of many tests.
    """
    if missing := [name for name in LONG if not (Path(__file__).parent / name).is_file()]:
        raise pytest.UsageError(f"conftest.py names {missing[0]}, which is not there")
    if hasattr(config, "workerinput"):
        rank = {Path(__file__).parent / name: i for i, name in enumerate(LONG)}
        many = Counter(item.path for item in items)
        items.sort(key=lambda i: (rank.get(i.path, len(LONG)), -many[i.path], str(i.path)))
    moving = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]", item.nodeid)]
    if moving:
        raise pytest.UsageError(f"give ids without addresses to {moving[0]}")


@pytest.fixture(autouse=True)
def floating_point_errors_raise() -> Iterator[None]:
    """Turn a silent nan or inf into a failure of the test that made it.

    Division by zero, overflow and invalid operations raise. Underflow does not: the tail of a
    density is exp(-large), and zero is its right value. A test of what happens after an overflow
    opens `np.errstate(over="ignore")` around the one call that means to overflow.

    This reaches numpy in the thread of the test. Compiled kernels follow IEEE silently, and new
    threads start with numpy's defaults: there a test leans on the finiteness checks of the driver.
    """
    with np.errstate(divide="raise", over="raise", invalid="raise", under="ignore"):
        yield


@pytest.fixture(autouse=True)
def figures_closed() -> Iterator[None]:
    """Close what a test has drawn; open figures pile up, and matplotlib warns at the twentieth."""
    yield
    # Only if the test drew: importing pyplot takes longer than most tests.
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def torch_stands_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the examples of the PyTorch bridge where PyTorch, which no test needs, is not installed."""
    if request.node.path.name == "pytorch.py" and importlib.util.find_spec("torch") is None:
        import stand_in_torch

        stand_in_torch.enter(monkeypatch)
