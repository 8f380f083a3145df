"""SGD of many layers: by automatic differentiation, for every optimiser and order of the data."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from multilayer.nets import LABELS, ROWS, X, Y, loss_of, network, outputs_of, scaled
from small_data import advance

import wflow
from wflow.errors import InputError
from wflow.multilayer import Flow, sgd
from wflow.systems.shared.order import Shuffled


@pytest.mark.parametrize("steps", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "loss, targets, outputs", [("square", Y, 0), ("huber", ROWS, 2), ("softmax", LABELS, 3)]
)
@pytest.mark.parametrize(
    "name, options, step",
    [
        ("sgd", {}, 0.1),
        ("momentum", {"momentum": 0.8}, 0.05),
        ("adam", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3}, 0.02),
        ("adagrad", {}, 0.1),
    ],
)  # fmt: skip
def test_automatic_differentiation_gives_the_same_network(
    name, options, step, loss, targets, outputs, steps
):
    widths = (20, 15)
    net = network(widths, outputs, biased=True)
    flow = Flow(X, targets, loss=loss, schedule=lambda t: 1.0 / (1.0 + t))
    run = sgd(
        flow, net, step_size=step, n_steps=steps, batch_size=4, replacement=False, seed=5,
        optimizer=name, optimizer_options=options,
    )  # fmt: skip

    def half_risk(parameters, rows):
        f = outputs_of(*parameters, X[rows])
        return 0.5 * anp.mean(loss_of(loss, targets[rows], f))

    slope, memory, theta, layout = autograd.grad(half_risk), {}, net.flat(), net.layout
    for k in range(steps):
        epoch, j = divmod(k, 3)
        rows = Shuffled(12)(5, 12 * epoch, 12)[4 * j : 4 * (j + 1)]
        now = net.like(theta)
        parameters = list(now.weights), list(now.biases)
        g = layout.join(*scaled(slope(parameters, rows), widths, outputs))
        theta = advance(name, theta, g, step / (1 + k * step), k, memory, **options)
    assert np.abs(theta - net.flat()).max() > 0.1, "the network must have moved"
    assert np.abs(run.measures[-1].flat() - theta).max() < 1e-10


def test_an_order_is_replayed():
    flow, net = Flow(X, Y), network((6, 5))
    order = np.random.default_rng(0).integers(0, 12, 60)
    run = sgd(flow, net, step_size=0.1, n_steps=30, batch_size=2, order=order)
    theta = net.flat()
    for k in range(30):
        rows = order[2 * k : 2 * k + 2]
        g, _ = Flow(X[rows], Y[rows]).gradient_of(theta, net.layout, net.probabilities)
        theta = theta - 0.1 * g
    assert np.abs(run.measures[-1].flat() - theta).max() < 1e-13
    with pytest.raises(InputError, match="order has 60 samples and the run needs 62"):
        sgd(flow, net, step_size=0.1, n_steps=31, batch_size=2, order=order)


def test_samples_come_by_their_weights():
    """SGD on weighted samples follows the flow of the weighted risk."""
    weights = np.where(np.arange(12) < 2, 5.0, 0.1)
    weights /= weights.sum()
    flow, net = Flow(X, Y, weights), network((40, 40))
    run = sgd(flow, net, step_size=2e-3, n_steps=2000, batch_size=4, seed=1)
    sol = wflow.solve(flow, net, (0, 4))
    assert abs(run.risk[-1] - sol.risk[-1]) < 0.03 * sol.risk[0]
    with pytest.raises(InputError, match="the samples have weights from"):
        sgd(flow, net, step_size=0.1, epochs=1, replacement=False)


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "n_steps = None and epochs = None: give one"),
        ({"n_steps": 3, "epochs": 2}, "n_steps = 3 and epochs = 2: give one"),
        ({"n_steps": 0}, "n_steps = 0: give a whole number of at least 1"),
        ({"n_steps": 3, "batch_size": 0}, "batch_size = 0"),
        ({"n_steps": 3, "optimizer": "lion"}, "unknown optimizer 'lion'"),
        ({"n_steps": 3, "order": [1, 2, 50]}, r"order\[2\] is 50"),
        ({"epochs": 1, "batch_size": 13, "replacement": False}, "batch_size = 13 is larger than"),
        ({"epochs": 1, "order": [0] * 12}, "it names the samples one by one; leave both out"),
    ],
)
def test_mistakes_are_told_in_a_line(options, words):
    with pytest.raises(InputError, match=words) as told:
        sgd(Flow(X, Y), network((4, 4)), step_size=0.1, **options)
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="step_size = -1"):
        sgd(Flow(X, Y), network((4, 4)), step_size=-1, n_steps=2)
