"""What is installed is what stands in the folders: all of it, once, under the one name wflow."""

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Where each of the two folders of code is installed.
INSTALLED_AS = {"wflow": "wflow", "solvers": "wflow/solvers"}
# What may lie in a checkout beside the source.
NOT_SOURCE = [".git", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"]


def code_files() -> dict[str, Path]:
    """Every Python file of the two folders, by its path as installed."""
    files = {}
    for folder, installed in INSTALLED_AS.items():
        for path in (ROOT / folder).rglob("*.py"):
            inside = path.relative_to(ROOT / folder).as_posix()
            # The link wflow/solvers shows the files of solvers/ a second time.
            if folder == "wflow" and inside.startswith("solvers/"):
                continue
            files[f"{installed}/{inside}"] = path
    return files


def test_package_list_equals_the_folders() -> None:
    folders = {Path(name).parent for name in code_files()}
    packages = {Path(name).parent for name in code_files() if name.endswith("/__init__.py")}
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    assert folders - packages == set(), "folders of code without an __init__.py"
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in packages)


def test_solvers_folder_is_the_package_wflow_solvers() -> None:
    module = importlib.import_module("wflow.solvers")
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / "solvers" / "__init__.py"


def test_link_to_solvers_is_relative() -> None:
    # An absolute link would point into the machine that made the commit. A source archive has none.
    link = ROOT / "wflow" / "solvers"
    assert not link.exists() or link.readlink() == Path("../solvers")


def test_installed_metadata_is_that_of_pyproject() -> None:
    project = PYPROJECT["project"]
    installed = importlib.metadata.distribution(project["name"])
    assert installed.version == project["version"], 'stale: run pip install -e ".[test]" again'
    assert importlib.import_module("wflow").__version__ == project["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    (script,) = (e for e in installed.entry_points if e.group == "console_scripts")
    assert (script.name, script.value) == ("wflow", project["scripts"]["wflow"])
    assert callable(script.load())


def test_benchmark_peers_stay_out_of_the_test_extra() -> None:
    # torch brings several GB of CUDA libraries on Linux.
    extras = PYPROJECT["project"]["optional-dependencies"]
    peers = {"torch", "jax"}
    assert all(any(need.startswith(peer) for need in extras["bench"]) for peer in peers)
    assert not any(need.startswith(peer) for need in extras["test"] for peer in peers)
    assert not any("bench" in need for need in extras["test"])


def test_the_remedy_without_a_card_s_library_is_the_extra() -> None:
    from wflow.energies.evaluators.device import REMEDY

    (need,) = PYPROJECT["project"]["optional-dependencies"]["gpu"]
    assert f'"{need}"' in REMEDY


def test_what_judges_the_code_is_pinned_and_is_what_runs() -> None:
    needs = PYPROJECT["project"]["optional-dependencies"]["test"]
    for tool in ("mypy", "ruff", "scipy-stubs"):
        (need,) = (need for need in needs if need.startswith(tool))
        assert need == f"{tool}=={importlib.metadata.version(tool)}", need


def test_a_users_own_solvers_module_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "solvers.py").write_text("mine = True\n", encoding="utf-8")
    (tmp_path / "script.py").write_text(
        "import wflow.solvers.grid, solvers, sys\n"
        "assert solvers.mine\n"
        "assert 'wflow.solvers.grid' in sys.modules and 'solvers.grid' not in sys.modules\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_called_wflow_hides_nothing(tmp_path: Path) -> None:
    """The clone itself, say, beside which somebody begins to work."""
    (tmp_path / "wflow" / "docs").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", "import wflow; print(wflow.solve.__name__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "solve\n", done.stderr


def test_messages_name_packages_that_are_what_they_say() -> None:
    """Nobody is told to install PyPI's wflow, which is another project."""
    assert PYPROJECT["project"]["name"] == "wflow-meanfield"
    for path in sorted((ROOT / "wflow").rglob("*.py")):
        assert not re.search(r"pip install '?wflow\b(?!-)", path.read_text(encoding="utf-8")), path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built from it (not from the checkout).

    From a copy, because setuptools leaves notes in the tree that it builds from and reads them
    again the next time. Without isolation, so that no network is needed: `setuptools` and `build`
    are in the test extra.
    """
    source = tmp_path_factory.mktemp("source") / "wflow"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(*NOT_SOURCE),
    )
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def test_wheel_holds_each_module_once(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert sorted(names) == sorted([*code_files(), "wflow/py.typed"])
        assert all(archive.read(name) == path.read_bytes() for name, path in code_files().items())


def test_wheel_is_built_from_an_sdist_with_the_whole_source_tree(
    distributions: tuple[Path, Path],
) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert len(names) == len(set(names))
    wanted = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "setup.cfg", "conftest.py"}
    wanted |= {"ruff.toml", ".ci/run", "wflow/py.typed"}
    for folder in ("wflow", "solvers", "tests", "benchmarks"):
        wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}
    wanted = {name for name in wanted if not name.startswith("wflow/solvers/")}
    assert wanted - set(names) == set()
    assert not any(name.startswith("wflow/solvers") for name in names)
