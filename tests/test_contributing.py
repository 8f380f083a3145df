"""The examples of CONTRIBUTING.md work as they are printed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_examples_of_contributing_run(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    system, system_test, method, method_test = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    # In a process of their own: they enter the catalogue and the register, which other tests read.
    (tmp_path / "linear_neurons.py").write_text(system, encoding="utf-8")
    (tmp_path / "heun.py").write_text(method, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("import linear_neurons, heun\n", encoding="utf-8")
    (tmp_path / "test_linear_neurons.py").write_text(system_test, encoding="utf-8")
    (tmp_path / "test_heun.py").write_text(method_test, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "3 passed" in done.stdout
