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

JIT = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about the compiler itself")
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


@JIT
def test_a_kernel_given_a_map_is_found_on_disk_by_the_next_process(tmp_path: Path) -> None:
    script = tmp_path / "uses_maps.py"
    script.write_text(USES_MAPS)
    assert run(script, tmp_path / "cache") == ["2.0", "5.0", "0", "0"]
    # One compiled form serves the built-in map and the user's own, and both processes.
    assert run(script, tmp_path / "cache") == ["2.0", "5.0", "1", "1"]


@JIT
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


@JIT
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


@JIT
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


def test_source_hash_sees_places_and_contents(tmp_path: Path) -> None:
    a, b = tmp_path / "grid" / "sums.py", tmp_path / "pairs" / "sums.py"
    a.parent.mkdir()
    b.parent.mkdir()
    a.write_text("x")
    first = source_hash(tmp_path)
    assert source_hash(tmp_path) == first
    a.rename(b)
    assert source_hash(tmp_path) != first, "names recur in the wings"
    b.rename(a)
    assert source_hash(tmp_path) == first
    a.write_text("z")
    assert source_hash(tmp_path) != first


@JIT
def test_without_the_jit_kernels_are_what_they_say(tmp_path: Path) -> None:
    """Coverage of kernels is measured so: an instruction without a twin in numpy would be a call that fails."""
    tests = Path(__file__).parent
    chosen = [
        "pairs/test_sums.py::test_sums_against_numpy",
        "features/test_dense.py::test_sizes_that_fill_no_tile[8-65-17]",
        "features/test_dense.py::test_kept_activations_change_no_bit[50-30-3]",
        "sgd/test_sgd.py::test_a_step_that_forgets_everything",
        "grid/test_kernels.py::test_rates_are_bernoulli_functions",
        "test_scalars.py::test_exponential_at_the_ends",
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(f"{tests}/{name}" for name in chosen),
        ],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(KERNELS.parents[1])},
        cwd=tests.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
