"""The sample run, for all tests of the storage."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

collect_ignore = ["without_posix"]  # would take POSIX away from this very process


@pytest.fixture(scope="session")
def sample() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample_run.py"))))
