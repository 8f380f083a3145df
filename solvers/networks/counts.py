"""How many steps a run of SGD is asked for, as a number or as passes over a data set, and the replay of an order."""

from __future__ import annotations

from typing import Any

from wflow.errors import InputError, shown
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.tools.checks import check_count


def steps_asked(
    method: StochasticGradient,
    model: Any,
    n_steps: int | None,
    epochs: int | None,
    default: int | None = None,
) -> int:
    """The number of steps: ``n_steps``, or ``epochs`` of ⌈Q/P⌉ steps; ``default`` where neither is given.

    Raises
    ------
    InputError
        for both, for neither where there is no default, and for numbers below 1
    """
    if epochs is None and n_steps is None:
        n_steps = default
    if (n_steps is None) == (epochs is None):
        raise InputError(f"n_steps = {shown(n_steps)} and epochs = {shown(epochs)}: give one")
    if epochs is None:
        return check_count("n_steps", n_steps)
    passes = check_count("epochs", epochs)
    return check_count("n_steps", method.batches(model).steps(passes, model.n_samples))


def refuse_replay(method: StochasticGradient, epochs: int | None) -> None:
    """Refuse an order of samples beside what makes one of its own."""
    if not method.replacement or epochs is not None:
        raise InputError(
            f"order with replacement = {method.replacement} and epochs = {shown(epochs)}: it names the samples one by "
            "one; leave both out"
        )


def refuse_short(method: StochasticGradient, model: Any, count: int, seed: int) -> None:
    """Refuse an order that ends before so many steps have been made."""
    if needed := method.batches(model).samples(count):
        model.samples(seed, needed - 1, 1)
