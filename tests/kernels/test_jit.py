"""The compiler wrapper: what is found again on disk, what must not be, and what happens without a disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from wflow.kernels import jit as wrapper
from wflow.kernels.jit import FUSED, REORDERED, cache_folder, jit, source_hash

KERNELS = Path(wrapper.__file__).parent

USES_MAPS = """
import numpy as np
from wflow.kernels.jit import jit
from wflow.kernels.features.activations import map_from_scalars, relu

@jit
def total(activation, z, params, value, slope):
    activation(z, params, value, slope)
    return value.sum()

if __name__ == "__main__":
    z, params, value, slope = np.array([-1.0, 2.0]), np.zeros(1), np.empty(2), np.empty(2)
    own = map_from_scalars(lambda z: z * z, lambda z: 2.0 * z)
    print(total(relu, z, params, value, slope), total(own, z, params, value, slope))
    print(sum(total.stats.cache_hits.values()), sum(relu.kernel.stats.cache_hits.values()))
"""


def run(script: Path, cache: Path, path: Path | None = None) -> list[str]:
    """The words that a script prints in a process of its own, with the cache at the place given."""
    folder = KERNELS.parents[1] if path is None else path
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, str(script)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_kernel_given_a_map_is_found_on_disk_by_the_next_process(tmp_path: Path) -> None:
    script = tmp_path / "uses_maps.py"
    script.write_text(USES_MAPS)
    assert run(script, tmp_path / "cache") == ["2.0", "5.0", "0", "0"]
    # One compiled form serves the built-in map and the user's own, and both processes.
    assert run(script, tmp_path / "cache") == ["2.0", "5.0", "1", "1"]


def test_editing_a_helper_reaches_a_cached_caller(tmp_path: Path) -> None:
    package = tmp_path / "wflow" / "kernels"
    package.mkdir(parents=True)
    (tmp_path / "wflow" / "__init__.py").write_text("")
    shutil.copy(KERNELS / "__init__.py", package)
    shutil.copy(KERNELS / "jit.py", package)
    helper, script = package / "helper.py", tmp_path / "script.py"
    text = "from wflow.kernels.jit import jit\n@jit\ndef scale(x):\n    return {} * x\n"
    helper.write_text(text.format("2.0"))
    (package / "caller.py").write_text(
        "from wflow.kernels.jit import jit\nfrom wflow.kernels.helper import scale\n"
        "@jit\ndef call(x):\n    return scale(x)\n"
    )
    script.write_text(
        "from wflow.kernels.caller import call\nprint(call(1.0), *call.stats.cache_hits.values())\n"
    )
    assert run(script, tmp_path / "cache", tmp_path) == ["2.0"]
    assert run(script, tmp_path / "cache", tmp_path) == ["2.0", "1"]
    helper.write_text(text.format("3.0"))
    assert run(script, tmp_path / "cache", tmp_path) == ["3.0"]


def test_without_a_writable_folder_kernels_compile_in_memory(tmp_path: Path) -> None:
    # A file where the folder should be stops every user, the superuser as well.
    (tmp_path / "file").write_text("")
    script = tmp_path / "script.py"
    script.write_text(
        "from wflow.kernels.jit import cache_folder, jit\n"
        "@jit\ndef twice(x):\n    return 2.0 * x\n"
        "print(cache_folder(), twice(1.5))\n"
    )
    assert run(script, tmp_path / "file") == ["None", "3.0"]


def test_a_folder_lost_under_way_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(wrapper, "cache_folder", lambda: folder)

    @jit
    def twice(x: float) -> float:
        return 2.0 * x

    shutil.rmtree(folder)
    folder.write_text("")
    assert twice(1.5) == 3.0


def test_the_users_own_kernels_are_cached_where_they_were() -> None:
    before = numba.config.CACHE_DIR

    @jit
    def ours(x: float) -> float:
        return x

    assert before == numba.config.CACHE_DIR

    @numba.njit(cache=True)
    def theirs(x: float) -> float:
        return x

    folder = cache_folder()
    assert folder is not None
    assert str(ours.stats.cache_path).startswith(str(folder))
    assert not str(theirs.stats.cache_path).startswith(str(folder))


def test_options_and_defaults() -> None:
    @jit(cache=False, fastmath=REORDERED)
    def ratio(x: np.ndarray) -> float:
        total = 0.0
        for i in range(x.size):
            total += x[i]
        return 1.0 / total

    assert ratio(np.zeros(9)) == np.inf
    assert np.isnan(ratio(np.array([1.0, np.nan])))
    assert ratio.targetoptions["nogil"]
    assert FUSED < REORDERED


def test_only_recent_generations_stay(tmp_path: Path) -> None:
    for age in range(12):
        folder = tmp_path / f"wflow-{age:02d}"
        folder.mkdir()
        os.utime(folder, (1e9 - age, 1e9 - age))
    (tmp_path / "other").mkdir()
    wrapper._remove_old_generations(tmp_path)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["other", *(f"wflow-{age:02d}" for age in range(8))]


def test_source_hash_sees_names_and_contents(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("x")
    b.write_text("y")
    first = source_hash([a, b])
    assert source_hash([a, b]) == first
    assert source_hash([b, a]) != first
    b.write_text("z")
    assert source_hash([a, b]) != first
