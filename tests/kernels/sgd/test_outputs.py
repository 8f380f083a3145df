"""SGD of K outputs: the compiled loops against formulas in numpy, and against K networks of one output."""

import numpy as np
import pytest

from wflow.energies import get_activation
from wflow.energies.features.losses import get_loss
from wflow.kernels.sgd.outputs import sgd_outputs
from wflow.kernels.sgd.plain import sgd_plain

N, D, K = 7, 3, 4


def example(batch, loss, noise, seed=0, steps=20):
    rng = np.random.default_rng(seed)
    m = steps * batch
    x = rng.standard_normal((m, D))
    y = rng.standard_normal((m, K)) if loss == "square" else rng.dirichlet(np.ones(K), m)
    kicks = 0.1 * rng.standard_normal((steps, N, K + 1 + D)) if noise else None
    network = rng.standard_normal((N, D)), rng.standard_normal((N, K)), rng.standard_normal(N)
    return x, y, rng.uniform(0.5, 1.0, steps), network, kicks


def twin(x, y, steps, network, kicks, batch, loss, ridge, trained):
    """The formula, whole arrays, one step after another."""
    (w, a, b), act, predictions = (part.copy() for part in network), get_activation("tanh"), []
    on_w, on_a, on_b = ridge
    for k, s in enumerate(steps):
        rows = slice(k * batch, (k + 1) * batch)
        value, slope = act.value_and_derivative(x[rows] @ w.T + b)
        predictions.append(value @ a / N)
        r = -get_loss(loss).half_slope(y[rows], predictions[-1])
        pull = (r @ a.T) * slope
        into_w, into_a, into_b = pull.T @ x[rows], r.T @ value, pull.sum(axis=0)
        w = (1 - s * on_w) * w + s / batch * into_w
        if trained:
            a = (1 - s * on_a) * a + s / batch * into_a.T
            b = (1 - s * on_b) * b + s / batch * into_b
        if kicks is not None:
            a, b, w = a + kicks[k, :, :K], b + kicks[k, :, K], w + kicks[k, :, K + 1 :]
    return w, a, b, np.concatenate(predictions)


@pytest.mark.parametrize("loss", ["square", "softmax"])
@pytest.mark.parametrize(
    "batch, noise, ridge, trained",
    [
        (1, False, (0.0, 0.0, 0.0), True),
        (3, True, (0.1, 0.2, 0.3), True),
        (2, False, (0.1, 0, 0), False),
    ],
)
def test_loops_are_the_formula(loss, batch, noise, ridge, trained):
    x, y, steps, network, kicks = example(batch, loss, noise)
    expected = twin(x, y, steps, network, kicks, batch, loss, ridge, trained)
    act = get_activation("tanh")
    f = sgd_outputs(
        x, y, steps, *network, act.map, act.params, train_charges=trained, train_offsets=trained,
        softmax=loss == "softmax", ridge=ridge, batch=batch, noise=kicks,
    )  # fmt: skip
    for one, other in zip((*network, f), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def test_one_output_is_the_loop_of_one():
    x, y, steps, (w, a, b), _ = example(2, "square", False)
    act, others = get_activation("tanh"), {"train_charges": True, "train_offsets": True, "batch": 2}
    one = [w.copy(), a[:, 0].copy(), b.copy()]
    several = [w.copy(), a[:, :1].copy(), b.copy()]
    f = sgd_plain(x, y[:, 0].copy(), steps, *one, act.map, act.params, **others)
    g = sgd_outputs(x, y[:, :1].copy(), steps, *several, act.map, act.params, **others)
    np.testing.assert_allclose(g[:, 0], f, rtol=1e-13)
    np.testing.assert_allclose(several[0], one[0], rtol=1e-13)
    np.testing.assert_allclose(several[1][:, 0], one[1], rtol=1e-13)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": np.zeros((20, 3))}, r"y \(20, 3\)"),
        ({"batch": 0}, "batch of 0"),
        ({"noise": np.zeros((20, N, 2))}, r"noise \(20, 7, 2\): expected \(20, 7, 8\)"),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    x, y, steps, network, _ = example(1, "square", False)
    act = get_activation("tanh")
    options = {"train_charges": True, "train_offsets": True} | change
    with pytest.raises(ValueError, match=message):
        sgd_outputs(x, options.pop("y", y), steps, *network, act.map, act.params, **options)
