"""The examples of CONTRIBUTING.md work as they are printed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_examples_of_contributing_run(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    # Each stands under the last name of a file before it.
    examples = re.findall(r"(\w+)\.py`[^`]*:\n\n```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == text.count("```python")
    for name, code in examples:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    # In a process of their own: they enter the catalogue and the register, which other tests read.
    entered = ", ".join(name for name, _ in examples if not name.startswith("test_"))
    (tmp_path / "conftest.py").write_text(f"import {entered}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "11 passed" in done.stdout
