"""What is printed never fails: terminals without our signs get the nearest ones, closed streams swallow everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wflow


def spoken(*line: str, encoding: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {
        "PYTHONIOENCODING": encoding,
        "PYTHONPATH": str(Path(wflow.__file__).parents[1]),
    }
    command = [sys.executable, "-m", "wflow", *line]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


def test_an_ascii_terminal(tmp_path: Path) -> None:
    line = ["run", "isotropic-gaussians", "-p", "n=24", "--t-end", "0.1"]
    done = spoken(*line, encoding="ascii", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"isotropic-gaussians - muscl\n")
    done = spoken("info", "Ψ-Gauß.h5", encoding="ascii", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"wflow: there is no file Psi-Gau\\xdf.h5: check the name\n"


@pytest.mark.parametrize(
    "closed, line, status", [(">&-", "list", 0), ("2>&-", "lis", 2), (">&- 2>&-", "list", 0)]
)
def test_closed_streams(closed: str, line: str, status: int) -> None:
    command = f'"{sys.executable}" -m wflow {line} {closed}'
    environment = os.environ | {"PYTHONPATH": str(Path(wflow.__file__).parents[1])}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True)
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
