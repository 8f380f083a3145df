"""Runs are written and read where POSIX's modules and functions are missing, as on Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wflow

HERE = Path(__file__).parent
ROOT = Path(wflow.__file__).parents[1]
# The others end processes in ways that only POSIX has.
TESTS = ["test_run_file", "test_refusals", "test_other_readers", "test_checksums", "test_groups"]


@pytest.fixture(scope="module")
def environment():
    path = [HERE / "without_posix", ROOT]
    # What is asked of the tests around (coverage, durations) is not asked of those within.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, path))}


def test_what_is_missing(environment):
    """The interpreter below really is poorer: it would have found what the storage must do without."""
    script = "import os\nimport fcntl"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert b"import of fcntl halted" in done.stderr
    script = "import os; print(hasattr(os, 'pwrite'), hasattr(os, 'O_CLOEXEC'))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.stdout == b"False False\n", done.stderr


def test_all_of_wflow_is_imported(environment):
    script = (
        "import pkgutil, importlib, wflow\n"
        "for m in pkgutil.walk_packages(wflow.__path__, 'wflow.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print('all')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "all\n", done.stderr


@pytest.mark.slow
def test_the_tests_of_the_storage(environment, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--basetemp={tmp_path / 'base'}", "--override-ini=addopts=--import-mode=importlib"]
    command += [str(HERE / f"{name}.py") for name in TESTS]
    # An open file cannot vanish there.
    command += ["-k", "not test_a_file_replaced_under_the_writer", "-rs"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "SKIPPED" not in done.stdout
