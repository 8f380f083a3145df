"""Files that somebody has made or changed by hand: read, or refused in one line; nothing outside them is touched.

Each trial takes a whole run, changes one thing, takes the seal off that would tell (anybody could put a right one), and
asks for everything that reads a file. What a file points to is a file of known bytes beside it.
"""

import json
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from forks import fork

import wflow
from wflow.cli.main import main
from wflow.errors import InputError
from wflow.storage import verify

SECRET = np.arange(4096.0) + 1e6
OTHERS = {"secret.bin", "secret.h5"}
HUGE = 10**12
Chance = np.random.Generator


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A grid, particles and a network, each with a checkpoint and an end that is not the last word."""
    folder = tmp_path_factory.mktemp("runs")
    system = wflow.systems.get("isotropic-gaussians", d=5)
    for kind in ("grid", "particles"):
        wflow.solve(
            system.flow(),
            system.initial(kind, 12),
            (0, 0.02),
            t_eval=[0, 0.01, 0.02],
            output=folder / f"{kind}.h5",
            events=[("risk", 0.5)],
        )
    wflow.networks.sgd(
        system, n_neurons=4, step_size=1e-3, n_steps=20, t_eval=[0, 0.02], output=folder / "net.h5"
    )
    return [folder / name for name in ("grid.h5", "particles.h5", "net.h5")]


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """Bytes that no run may show or change, as they are and as HDF5."""
    path = tmp_path / "secret.bin"
    path.write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = SECRET
        file.create_group("group")["header"] = np.arange(4)
    others = {p: p.read_bytes() for p in (path, tmp_path / "secret.h5")}
    yield path
    assert {p: p.read_bytes() for p in others} == others


def unseal(file: h5py.File) -> None:
    if "checksums" in file.attrs:
        del file.attrs["checksums"]


def entries(file: h5py.File) -> list[str]:
    """All names of groups and datasets that wflow has written."""
    found: list[str] = []
    file.visit(found.append)
    return found


def outside(file: h5py.File, name: str, secret: Path, chance: Chance) -> None:
    """The entry points to another file, in one of four ways."""
    old, how = file[name], chance.integers(4)
    shape = old.shape if isinstance(old, h5py.Dataset) and old.shape else (4,)
    kind = old.dtype if isinstance(old, h5py.Dataset) and old.dtype != object else np.dtype("f8")
    del file[name]
    if how == 0:
        file[name] = h5py.ExternalLink(
            "secret.h5", "/group" if chance.random() < 0.2 else "/numbers"
        )
    elif how == 1:
        size = kind.itemsize * int(np.prod(shape))
        file.create_dataset(name, shape, kind, external=[(str(secret), 0, size)])
    elif how == 2:
        layout = h5py.VirtualLayout((SECRET.size,), "f8")
        layout[:] = h5py.VirtualSource(secret.with_suffix(".h5"), "numbers", (SECRET.size,))
        file.create_virtual_dataset(name, layout)
    else:
        file["detour"] = h5py.ExternalLink("secret.h5", "/")
        file[name] = h5py.SoftLink("/detour/numbers")


def other_numbers(file: h5py.File, name: str, secret: Path, chance: Chance) -> None:
    """The entry is of another kind or shape, or there is another thing in its place."""
    old = file[name]
    n = old.shape[0] if isinstance(old, h5py.Dataset) and old.shape else 3
    del file[name]
    values: list[Any] = [
        np.zeros(n + 1),
        np.zeros(max(n - 1, 0)),
        np.zeros((n, 1)),
        np.zeros(n, "f4"),
        np.zeros(n, "i8"),
        np.zeros(n, "c16"),
        np.zeros(n, [("a", "f8")]),
        ["text"] * n,
        b"bytes",
        3,
        np.nan,
        h5py.Empty("f8"),
    ]
    pick = chance.integers(len(values) + 6)
    if pick < len(values):
        file[name] = values[pick]
    elif pick == len(values):
        file.create_group(name)
    elif pick == len(values) + 1:
        file.create_dataset(name, (n,), h5py.ref_dtype)
    elif pick == len(values) + 2:
        file.create_dataset(name, (n,), h5py.vlen_dtype(np.dtype("f8")))
    elif pick == len(values) + 3:
        file[name] = h5py.SoftLink(["/nowhere", f"/{name}", "/"][chance.integers(3)])
    elif pick == len(values) + 4:
        file.create_dataset(name, (HUGE,), "f8", chunks=(1000,), fillvalue=1.0)
    # else: it is missing


ODD: list[Any] = [None, -1, 0, 3, 1e308, 10**400, float("nan"), "", "\x1b]0;x\x07", "grid", True]
ODD += [
    [],
    {},
    [1],
    {"a": 1},
    ["x"] * 3,
    [[0.5]],
    {"kind": 3},
    "<f8",
    "O",
    "$\\frac{",
    "a/b",
    [1] * 40,
]


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in a JSON text, as container and key."""
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in pairs:
        found.append((value, key))
        places(item, found)
    return found


def other_words(file: h5py.File, name: str, secret: Path, chance: Chance) -> None:
    """An attribute says something else, as a whole or somewhere inside."""
    known = json.loads(file.attrs["json_attributes"])
    name = str(chance.choice([*file.attrs, *known]))  # what is JSON twice as often
    odd = ODD[chance.integers(len(ODD))]
    if name in known and chance.random() < 0.8:
        value = json.loads(file.attrs[name])
        if inside := places(value, []):
            container, key = inside[chance.integers(len(inside))]
            if chance.random() < 0.25:
                del container[key]
            else:
                container[key] = odd
        file.attrs[name] = json.dumps(value)
        return
    how = chance.integers(5)
    if how == 0:
        del file.attrs[name]
    elif how == 1:
        file.attrs[name] = json.dumps(odd)
    elif how == 2:
        file.attrs[name] = [h5py.Empty("f8"), np.bytes_(b"\xff"), file.ref, [1, 2], "[" * 3000][
            chance.integers(5)
        ]
    elif isinstance(odd, str | float) or odd == 3:
        file.attrs[name] = odd
    else:
        file.attrs[name] = str(odd)


def other_bytes(path: Path, chance: Chance) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(chance.integers(1, 9)):
        data[chance.integers(len(data))] = chance.integers(256)
    if chance.random() < 0.2:
        start = chance.integers(len(data))
        data[start : start + 512] = bytes(512)
    path.write_bytes(data[: chance.integers(len(data))] if chance.random() < 0.1 else data)


CHANGES: list[Callable[..., None]] = [outside, other_numbers, other_words, other_words]


def change(path: Path, secret: Path, chance: Chance) -> bool:
    """Change one thing; whether the file points outside now."""
    how = CHANGES[chance.integers(len(CHANGES))]
    with h5py.File(path, "r+") as file:
        unseal(file)
        name = str(chance.choice(entries(file)))
        how(file, name, secret, chance)
    return how is outside


def use(path: Path, capsys: pytest.CaptureFixture[str], seed: int) -> list[str]:
    """All that reads a run or carries it on; the refusals, each in one line of plain characters."""
    said = []

    def look(act: Callable[[], Any]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd letters have no glyph
                act()
        except InputError as e:
            said.append(str(e))

    def read() -> None:
        sol = wflow.load(path)
        said.extend([*sol.summary().splitlines(), repr(sol)])
        for measure in sol.measures:
            measure.mean()
        assert not any(np.isin(SECRET[:50], v).any() for v in (sol.t, *sol.series.values()))

    for act in (read, lambda: verify(path), lambda: wflow.resume(path, t_end=0.03)):
        look(act)
    if seed % 3 == 0:
        look(lambda: wflow.resume(path))
    assert main(["info", str(path)]) in (0, 1, 2)
    if seed % 12 == 0:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert main(
                ["plot", str(path), "-o", str(path.with_suffix(".png")), "--overwrite"]
            ) in (0, 2)
    printed = capsys.readouterr()
    said += [*printed.out.splitlines(), *printed.err.splitlines()]
    assert all(line.isprintable() for line in said)
    return said


def in_time(act: Callable[[], Any], seconds: float = 30.0) -> bool:
    """Do ``act`` in a fork; False if it takes longer: bytes in HDF5's heap of texts can send libhdf5 round for ever."""
    child = fork(act)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def trials(
    runs: list[Path],
    tmp_path: Path,
    secret: Path,
    seeds: range,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.h5"
    hung = 0
    for seed in seeds:
        chance = np.random.default_rng(seed)
        shutil.copy(runs[seed % len(runs)], path)
        try:
            if seed % 7 == 0:
                other_bytes(path, chance)
                hung += not in_time(lambda s=seed: use(path, capsys, s))
            else:
                change(path, secret, chance)
                use(path, capsys, seed)
        except BaseException as e:
            e.add_note(f"seed {seed}")
            raise
        for left in tmp_path.iterdir():
            if left.suffix in (".lock", ".tmp"):
                left.unlink()  # of one that was killed
        assert {p.name for p in tmp_path.iterdir()} <= {"run.h5", "run.png", *OTHERS}
    assert hung <= max(1, len(seeds) // 100)


def test_changed_files(runs, tmp_path, secret, capsys):
    trials(runs, tmp_path, secret, range(24), capsys)


@pytest.mark.slow
def test_many_changed_files(runs, tmp_path, secret, capsys):
    trials(runs, tmp_path, secret, range(1000, 1500), capsys)
