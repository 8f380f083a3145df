"""Digests of functions: what changes an answer changes them, and they look into no module and no library."""

import functools
import importlib.util
import math
import sys
import textwrap
import time
import types
from dataclasses import dataclass

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import PairEnergy
from wflow.tools.fingerprint import of_function


def module(text, **values):
    """A module of the user's, from its source."""
    made = types.ModuleType("of_the_user")
    made.__dict__.update(values)
    exec(textwrap.dedent(text), made.__dict__)  # noqa: S102
    return made


def of(text, **values):
    """The digest of V in such a module."""
    return of_function(module(text, **values).V)


class Lazy(types.ModuleType):
    """A module that loads what it is asked for, and fails."""

    def __getattr__(self, name):
        raise OSError(f"no library for {name}")


class Proxy:
    """An object that answers for another, which is not there."""

    def __getattribute__(self, name):
        raise RuntimeError(f"working outside of context: {name}")


class Asked:
    """An object that makes up whatever it is asked for, and what that is asked for."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Asked()


def test_a_local_import_runs_and_resumes(tmp_path):
    def main():
        import numpy as np

        def v(x):
            return 1 - np.cos(x[..., 0])

        return GradientFlow(PairEnergy(v))

    path = tmp_path / "run.h5"
    sol = wflow.solve(main(), Particles([1.0, 2.0]), (0, 1), output=path)
    # dx/dt = -sin x: tan(x/2) falls as exp(-t).
    right = 2 * np.arctan(np.tan(np.array([0.5, 1.0])) * np.exp(-1))
    np.testing.assert_allclose(sol.measures[-1].points()[:, 0], right, rtol=1e-6)
    longer = wflow.resume(path, flow=main(), t_end=2.0)
    right = 2 * np.arctan(np.tan(np.array([0.5, 1.0])) * np.exp(-2))
    np.testing.assert_allclose(longer.measures[-1].points()[:, 0], right, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["numpy", "scipy.special", "torch", "sympy", "matplotlib", "wflow"]
)
def test_modules_count_by_name(name):
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    library = importlib.import_module(name)
    before = time.perf_counter()
    assert of_function(lambda x: library.sin(x)) != of_function(lambda x: math.sin(x))
    assert time.perf_counter() - before < 0.5


@pytest.mark.parametrize(
    "make", [lambda: Lazy("lazy"), Proxy, Asked, lambda: sys, lambda: functools]
)
def test_no_attribute_is_asked_for(make):
    held = make()
    assert of_function(lambda x: held.sin(x)) == of_function(lambda x: held.sin(x))
    assert of("V = lambda x: held.sin(x)", held=held) == of("V = lambda x: held.sin(x)", held=held)


def test_what_holds_itself():
    def count(n):
        return n and count(n - 1)

    first = {"next": None}
    first["next"] = first
    assert of_function(count) == of_function(count)
    assert of_function(lambda x: first) == of_function(lambda x: first)

    def early():
        def v(x):
            return later

        digest = of_function(v)
        later = 1.0
        return digest, of_function(v)

    before, after = early()
    assert before != after


@dataclass
class Constants:
    k: float


@dataclass(slots=True)
class Slotted:
    k: float


class Well:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return 2 * self.k * x

    def v(self, x):
        return self.k * x


class Deeper(Well):
    def __call__(self, x):
        return 3 * self.k * x


def scaled(x, k):
    return k * x


def after(k):
    """Functions that hold k, each in another way."""
    constants, slotted, table, named = (
        Constants(k),
        Slotted(k),
        np.array([1.0, k]),
        {"k": [1, (k,)]},
    )
    mixed, inner = np.array([k, None], dtype=object), lambda x: k * x
    return {
        "closure": lambda x: k * x,
        "default": lambda x, k=k: k * x,
        "inner": lambda x: inner(x) + 1,
        "partial": functools.partial(scaled, k=k),
        "method": Well(k).v,
        "callable": Well(k),
        "dataclass": lambda x: constants.k * x,
        "slots": lambda x: slotted.k * x,
        "array": lambda x: table @ x,
        "objects": lambda x: mixed[0] * x,
        "dict": lambda x: named["k"][1][0] * x,
        "bound method of numpy": np.poly1d([k, 1.0]),
    }


@pytest.mark.parametrize("way", after(1.0))
def test_a_changed_constant(way):
    one, same, other = (of_function(after(k)[way]) for k in (1.5, 1.5, 2.5))
    assert one == same != other


@pytest.mark.parametrize(
    "text", ["k = {}", "k = np.array([1.0, {}])", "k = [1, ({},)]", "k = '{}'"]
)
def test_a_changed_constant_of_the_module(text):
    one, same, other = (
        of(text.format(k) + "\nV = lambda x: (lambda z: k)(x)", np=np) for k in (1.5, 1.5, 2.5)
    )
    assert one == same != other


def test_a_changed_function_of_the_module():
    text = """
        def depth(x):
            return {} * x

        def V(x):
            return depth(x) ** 2
    """
    assert of(text.format(1.5)) == of(text.format(1.5)) != of(text.format(2.5))


def test_changed_code_of_a_callable():
    assert of_function(Well(1.0)) != of_function(Deeper(1.0))


def test_what_a_function_counts_is_no_constant():
    counting = module("calls = 0\ndef V(x):\n    global calls\n    calls += 1\n    return x")
    before = of_function(counting.V)
    counting.V(1.0)
    assert of_function(counting.V) == before

    calls = 0

    def v(x):
        nonlocal calls
        calls += 1
        return x

    before = of_function(v)
    v(1.0)
    assert of_function(v) == before


def test_other_names_of_the_module_do_not_count():
    # `shape` is an attribute here, though the module has a value of this name.
    text = "def V(x):\n    return x.shape"
    assert of(text, shape=1) == of(text, shape=2, other=3)
