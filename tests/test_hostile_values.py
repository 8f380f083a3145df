"""Every public callable, hostile values for one argument at a time: it works, or refuses in one line of our own.

A wrong argument must not reach numpy, numba or h5py: what they say names none of the user's words. A value may be
taken where it means something (a bool array for an indicator function, say).
"""

from __future__ import annotations

import random
from pathlib import Path

import hostile
import numpy as np
import pytest

from wflow.errors import ComputationError, InputError

QUICK = 1500


def fault(table: dict[str, hostile.Call], attack: tuple[str, str, str]) -> str | None:
    """What is wrong with the answer to an attack, or None."""
    name, argument, value = attack
    call, valid = table[name]
    # 1e150 is a number; what a potential makes of it is no fault of a check.
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            call(**(valid | {argument: hostile.VALUES[value]}))
        except (InputError, ComputationError) as e:
            said = str(e)
            return None if "\n" not in said and 0 < len(said) < 650 else f"says {said!r}"
        except Exception as e:  # noqa: BLE001  (whatever it is, it is none of ours)
            return f"{type(e).__name__}: {e}"
    return None


def refuse_faults(count: int | None = None) -> None:
    table = hostile.calls()
    attacks = list(hostile.attacks(table))
    chosen = attacks if count is None else random.Random(10).sample(attacks, count)
    faults = {attack: fault(table, attack) for attack in chosen}
    listed = [f"{n}({a}={v}): {why}" for (n, a, v), why in faults.items() if why]
    assert not listed, f"{len(listed)} of {len(faults)}:\n" + "\n".join(listed)


def test_every_public_name_is_attacked() -> None:
    called = {name.split(".")[0].split()[0] for name in hostile.calls()}
    spared = {name for names in hostile.NOT_CALLED.values() for name in names.split()}
    public = {
        name
        for module in hostile.MODULES
        for name in module.__all__
        if callable(getattr(module, name))
    }
    assert public - called - spared == set(), "write a valid call of it in tests/hostile.py"
    assert spared - public == set()


def test_a_sample_of_hostile_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_faults(QUICK)


@pytest.mark.slow
def test_every_hostile_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_faults()
