"""The rules of the house that a reader relies on, read from the source itself.

Imports go one way, kernels <- energies, measures <- flow <- solvers <- run <- systems <-
validation <- cli; files stay short; nothing runs text or bytes as code.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400

# From the ground up; a module imports from its own row and from the rows before it. The longest
# name that fits counts, so that one file can stand elsewhere than the rest of its folder.
LAYERS: list[list[str]] = [
    ["wflow.errors", "wflow.kernels"],
    ["wflow.tools"],
    ["wflow.energies", "wflow.measures"],
    ["wflow.equation"],
    ["wflow.flow", "wflow.layers", "wflow.views"],
    ["wflow.solvers"],
    ["wflow.results", "wflow.storage", "wflow.solvers.statics"],
    ["wflow.run", "wflow.trackers"],
    ["wflow.systems", "wflow.networks", "wflow.multilayer", "wflow.sharded"],
    ["wflow.validation", "wflow.sweeps", "wflow.lazy"],
    ["wflow.spaces"],
    ["wflow.figures"],
    ["wflow.cli", "wflow.__main__", "wflow"],
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}

# What a module leaves alone although the order of the layers would allow it.
APART = [
    ("wflow.storage", "wflow.solvers", "storage knows Solution, not methods"),
    ("wflow.results.plotting", "wflow.solvers", "plotting knows Solution, not methods"),
    *(
        (
            "wflow.kernels",
            f"wflow.{other}",
            "a kernel takes arrays and imports nothing else of ours",
        )
        for other in ("errors", "tools")
    ),
]
RUNS_DATA_AS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def modules() -> dict[str, Path]:
    """Every module of wflow/ and solvers/, by the name that it is imported under."""
    found = {}
    for folder, package in (("wflow", ("wflow",)), ("solvers", ("wflow", "solvers"))):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder).with_suffix("").parts
            # The link wflow/solvers shows the files of solvers/ a second time.
            if folder == "wflow" and inside[0] == "solvers":
                continue
            parts = package + (inside[:-1] if inside[-1] == "__init__" else inside)
            found[".".join(parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def nodes(tree: ast.AST, at_import: bool) -> Iterator[ast.AST]:
    """What a module runs, without what it says to type checkers alone; or only what importing runs."""
    for node in ast.iter_child_nodes(tree):
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from nodes(node, at_import)


def imports(name: str, at_import: bool = False) -> Iterator[tuple[str, int]]:
    """The modules that one module imports, with the lines where it does."""
    for node in nodes(TREES[name], at_import):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{MODULES[name]}:{node.lineno}: import absolutely"
            for alias in node.names:
                # `from wflow import kernels` means a module, `from wflow import load` the package.
                inner = f"{node.module}.{alias.name}"
                if inner != "wflow.__version__":
                    yield (inner if inner in MODULES else str(node.module)), node.lineno


def covers(prefix: str, name: str) -> bool:
    """Whether a module is the one named, or lies in the folder named."""
    return name == prefix or (prefix != "wflow" and name.startswith(prefix + "."))


def layer(name: str) -> int | None:
    """The row of LAYERS that a module stands in."""
    fitting = [prefix for prefix in RANK if covers(prefix, name)]
    return RANK[max(fitting, key=len)] if fitting else None


def test_every_module_has_a_place() -> None:
    homeless = [name for name in MODULES if layer(name) is None]
    assert not homeless, f"give these a row in LAYERS of tests/test_architecture.py: {homeless}"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "wflow"])
def test_imports_go_one_way(name: str) -> None:
    own = layer(name)
    assert own is not None
    against = []
    for imported, line in imports(name):
        if imported.split(".")[0] != "wflow":
            continue
        rank = layer(imported)
        if rank is None or rank > own:
            against.append(f"{MODULES[name].relative_to(ROOT)}:{line} imports {imported}")
        for importer, forbidden, reason in APART:
            if covers(importer, name) and covers(forbidden, imported):
                against.append(f"{MODULES[name].relative_to(ROOT)}:{line}: {reason}")
    assert not against, "\n".join(against)


def test_no_module_imports_itself_in_a_circle() -> None:
    # Within a row, too: A -> B -> A works or fails by which of them is imported first. An import inside
    # a function is a choice made on purpose, and left alone.
    edges = {name: {to for to, _ in imports(name, at_import=True)} for name in MODULES}
    while leaves := [name for name, targets in edges.items() if not targets & edges.keys()]:
        for leaf in leaves:
            del edges[leaf]
    circles = {name: sorted(targets & edges.keys()) for name, targets in edges.items()}
    assert not circles


def test_nothing_imports_solvers_as_a_top_level_name() -> None:
    wrong = [
        f"{MODULES[name].relative_to(ROOT)}:{line}"
        for name in MODULES
        for imported, line in imports(name)
        if imported.split(".")[0] == "solvers"
    ]
    assert not wrong, f"the installed name is wflow.solvers: {wrong}"
    assert "solvers" not in sys.modules


@pytest.mark.parametrize("name", [name for name in MODULES if not covers("wflow.kernels", name)])
def test_only_kernels_are_compiled(name: str) -> None:
    # Compiled code elsewhere would miss the hash of sources that its cache is named after. The users' own activations
    # are compiled in wflow.kernels.features.activations.
    compilers = {"jit", "njit", "cfunc", "intrinsic", "vectorize", "guvectorize", "stencil"}
    wrong = [
        f"{MODULES[name].relative_to(ROOT)}:{node.lineno}"
        for node in ast.walk(TREES[name])
        if (isinstance(node, ast.Name) and node.id in compilers)
        or (isinstance(node, ast.Attribute) and node.attr in compilers)
        or (isinstance(node, ast.alias) and node.name.split(".")[-1] in compilers)
    ]
    assert not wrong, f"move these to wflow/kernels: {wrong}"


@pytest.mark.parametrize("name", MODULES)
def test_file_is_short(name: str) -> None:
    length = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST_FILE, f"{length} lines: it holds more than one idea"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_runs_data_as_code(name: str) -> None:
    wrong = [f"imports {to}" for to, _ in imports(name) if to.split(".")[0] in RUNS_DATA_AS_CODE]
    for node in ast.walk(TREES[name]):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
            wrong.append(f"line {node.lineno}: {node.func.id}")
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                wrong.append(f"line {node.lineno}: allow_pickle")
    assert not wrong


ENERGY_CLASSES = {
    node.name
    for name in MODULES
    if covers("wflow.energies", name)
    for node in ast.walk(TREES[name])
    if isinstance(node, ast.ClassDef)
} - {"Energy"}


@pytest.mark.parametrize("name", [m for m in MODULES if not covers("wflow.energies", m)])
def test_energies_declare_and_nobody_guesses(name: str) -> None:
    # A solver that knows LocalEnergy, or looks for a `loss`, serves no energy of the user's own.
    wrong = []
    for node in ast.walk(TREES[name]):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if node.func.id in {"isinstance", "issubclass"}:
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            wrong += [f"line {node.lineno}: {node.func.id} of {c}" for c in asked & ENERGY_CLASSES]
        elif ast.unparse(node.args[0]).split(".")[-1].lstrip("_") == "energy" and (
            node.func.id in {"getattr", "hasattr", "vars"}
        ):
            wrong.append(f"line {node.lineno}: {ast.unparse(node)}")
    assert not wrong, f"declare it in wflow/energies/base.py: {wrong}"


@pytest.mark.parametrize("name", MODULES)
def test_nobody_asks_a_measure_for_its_class(name: str) -> None:
    # What a state is, the problem's view says (wflow/views); a measure says its `kind`.
    if covers("wflow.measures", name):
        return
    kinds = {"GridDensity", "Particles"}
    asked = [
        f"line {node.lineno}"
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}
        for named in ast.walk(node.args[1])
        if getattr(named, "id", getattr(named, "attr", None)) in kinds
    ]
    assert not asked, f"{MODULES[name].relative_to(ROOT)}: ask for measure.kind, or the view"


@pytest.mark.parametrize("name", MODULES)
def test_file_says_what_it_is_for(name: str) -> None:
    text = ast.get_docstring(TREES[name])
    assert text or not TREES[name].body, "a module starts with a docstring: what it does, and why"


def test_import_wflow_loads_nothing_heavy() -> None:
    # `wflow list` and a user's script start at once; the rest comes when it is first used.
    heavy = [
        "numba",
        "matplotlib",
        "h5py",
        "scipy.integrate",
        "sklearn",
        "xarray",
        "pandas",
        "dask",
    ]
    code = f"import wflow, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
