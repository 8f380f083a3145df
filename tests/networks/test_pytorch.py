"""PyTorch modules become neurons, and neurons modules; what computes something else is refused."""

import sys

import numpy as np
import pytest
import stand_in_torch
from stand_in_torch import nn, tensor

import wflow
from wflow import InputError
from wflow.networks import layer_rates, torch_groups

X = np.random.default_rng(3).normal(size=(10, 3))


def two(activation=nn.Tanh, **bias):
    return nn.Sequential(nn.Linear(3, 20), activation(), nn.Linear(20, 1, bias=False))


class Divided(nn.Module):
    """f = (1/N) Σ a σ(⟨w, x⟩ + b), with the activation in its ``forward``."""

    def __init__(self, power=1.0):
        self.hidden, self.out, self.power = nn.Linear(3, 20), nn.Linear(20, 1, bias=False), power

    def forward(self, x):
        return self.out(np.tanh(self.hidden(x))) * 20.0**-self.power


def energy(activation="tanh"):
    return wflow.energies.FeatureEnergy(activation, X, np.zeros(10), charges=True, offset=True)


@pytest.mark.parametrize(
    "kind, name", [(nn.Tanh, "tanh"), (nn.ReLU, "relu"), (nn.Sigmoid, "sigmoid")]
)
def test_a_module_and_its_neurons_compute_the_same(kind, name):
    net = two(kind).double()
    f = energy(name).predict(wflow.from_torch(net), X)
    np.testing.assert_allclose(f, np.asarray(net(tensor(X, float)))[:, 0], atol=1e-14)


@pytest.mark.parametrize("scaling, power", [("mean", 1.0), ("ntk", 0.5)])
def test_a_factor_of_forward_is_said(scaling, power):
    net = Divided(power).double()
    found = wflow.from_torch(net, scaling=scaling, activation="tanh")
    f = energy().predict(found, X)
    np.testing.assert_allclose(f, np.asarray(net(tensor(X, float)))[:, 0], atol=1e-14)
    with pytest.raises(InputError, match="not those of its Linear layers under scaling = 'sum'"):
        wflow.from_torch(net, activation="tanh")


def test_an_activation_of_the_user_s_own():
    net = two(nn.GELU).double()

    def value(z):
        return z / (1 + np.exp(-1.702 * z))

    def slope(z):
        share = 1 / (1 + np.exp(-1.702 * z))
        return share + 1.702 * z * share * (1 - share)

    assert wflow.from_torch(net, activation=(value, slope)).n == 20
    with pytest.raises(InputError, match="activation GELU is none of"):
        wflow.from_torch(net)
    with pytest.raises(InputError, match="outputs are not those"):
        wflow.from_torch(net, activation="tanh")


def test_single_precision_is_told_from_another_network():
    net = two()
    assert wflow.from_torch(net).n == 20
    net.forward = lambda x: nn.Sequential.forward(net, x) * 1.01
    with pytest.raises(InputError, match="outputs are not those"):
        wflow.from_torch(net)


@pytest.mark.parametrize("first", [True, False])
def test_many_layers_there_and_back(first, monkeypatch):
    stand_in_torch.enter(monkeypatch)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(3, 8, bias=first), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2), nn.Sigmoid()
    ).double()  # fmt: skip
    ensemble = wflow.from_torch(net)
    assert ensemble.layout.inputs == 3 + first
    back = wflow.to_torch(ensemble, activation="tanh", constant_input=first)
    out = 1 / (1 + np.exp(-back(tensor(X, float))))
    np.testing.assert_allclose(out, net(tensor(X, float)), atol=1e-14)
    moved = ensemble.like(2.0 * ensemble.flat())
    assert wflow.to_torch(moved, net) is net
    again = wflow.from_torch(net)
    np.testing.assert_allclose(again.flat(), moved.flat(), rtol=1e-14)


def test_what_a_flow_made_is_written_into_the_module():
    net = Divided()
    start = wflow.from_torch(net, scaling="mean", activation="tanh")
    flow = wflow.GradientFlow(
        wflow.energies.FeatureEnergy("tanh", X, np.sin(X[:, 0]), charges=True, offset=True)
    )
    end = wflow.solve(flow, start, (0, 1)).measures[-1]
    wflow.to_torch(end, net, scaling="mean")
    found = np.asarray(net(tensor(X)))[:, 0]
    np.testing.assert_allclose(found, flow.energy.predict(end, X), atol=1e-6)
    assert net.hidden.weight.dtype == np.float32


def test_parameter_groups_have_the_rates_of_their_layers():
    net = nn.Sequential(
        nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6, bias=False), nn.Tanh(), nn.Linear(6, 2)
    )
    groups = torch_groups(net, 0.1, scaling="ntk", mean_over_outputs=True)
    (w1, b1), (w2, _), (w3, b3) = layer_rates([8, 6], scaling="ntk")
    assert [g["lr"] for g in groups] == pytest.approx([0.2 * r for r in (w1, b1, w2, w3, b3)])
    own = [p.shape for g in groups for p in g["params"]]
    assert own == [(8, 3), (8,), (6, 8), (2, 6), (2,)]


class Scaled(nn.Module):
    """A network times a number."""

    def __init__(self, net, by):
        self.net, self.by = net, by

    def forward(self, x):
        return self.net(x) * self.by


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0])
def test_a_factor_is_seen_whatever_the_weights_are(dtype, size):
    """In half precision and under outputs that all but vanish, too: the comparison has weights of its own."""
    net = two()
    for layer in (p for p in net.children() if hasattr(p, "weight")):
        layer.weight = tensor(size * layer.weight, dtype)
    net.__dict__["0"].bias = tensor(net.__dict__["0"].bias, dtype)
    held = [np.array(p) for g in torch_groups(net, 0.1) for p in g["params"]]
    assert wflow.from_torch(net).n == 20
    for factor in (-1.0, 1.0001, 20.0):
        with pytest.raises(InputError, match="outputs are not those of its Linear layers"):
            wflow.from_torch(Scaled(net, factor))
    with pytest.raises(InputError, match="or its activation"):
        wflow.from_torch(net, activation="relu")
    now = [p for group in torch_groups(net, 0.1) for p in group["params"]]
    for before, parameter in zip(held, now, strict=True):
        np.testing.assert_array_equal(before, parameter)


class Pruned(nn.Linear):
    """As torch.nn.utils.prune leaves a layer: its weight is made of other parameters."""

    def __init__(self, inputs, outputs):
        nn.Linear.__init__(self, inputs, outputs, bias=False)
        self.weight_orig = self.weight

    def named_parameters(self, recurse=True):
        return [("weight_orig", self.weight_orig)]


Pruned.__name__ = "Linear"


def test_a_weight_that_is_made_of_others_is_refused():
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), Pruned(20, 1))
    for call in (wflow.from_torch, lambda m: torch_groups(m, 0.1)):
        with pytest.raises(InputError, match="Linear layer 2 has the parameters weight_orig"):
            call(net)


def test_weights_that_a_module_cannot_hold_are_refused_before_any_is_written():
    net = two()
    for layer in (p for p in net.children() if hasattr(p, "weight")):
        layer.weight = tensor(layer.weight, np.float16)
    net.__dict__["0"].bias = tensor(net.__dict__["0"].bias, np.float16)
    start = wflow.from_torch(net)
    large = wflow.Particles(
        np.where(np.arange(5) == 0, 1e8, 2.0) * np.ones((20, 5)), names=start.names
    )
    before = np.array(net.__dict__["0"].weight)
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match="layer 2 cannot hold the weights"),
    ):
        wflow.to_torch(large, net)
    np.testing.assert_array_equal(net.__dict__["0"].weight, before)


def test_dropout_that_is_off_is_passed_over():
    Dropout = stand_in_torch.elementwise("Dropout", lambda x: x)
    net = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), Dropout(), nn.Linear(20, 1, bias=False))
    assert wflow.from_torch(net).n == 20


def test_layers_that_share_a_weight_and_outputs_that_are_none_are_refused():
    net = nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)
    )  # fmt: skip
    net.__dict__["4"].weight = net.__dict__["2"].weight
    with pytest.raises(InputError, match="share their weights"):
        wflow.from_torch(net)
    with pytest.raises(InputError, match="module is a type: give a torch"):
        wflow.from_torch(nn.Sequential)
    pairs = two()
    pairs.forward = lambda x: (x, x)
    with pytest.raises(InputError, match="the module fails at inputs of shape"):
        wflow.from_torch(pairs)


class WithParameter(nn.Module):
    def __init__(self):
        self.scale, self.net = tensor([1.0]), two()

    def forward(self, x):
        return self.net(x) * self.scale


UNFIT = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(5, 1))
ENDED = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False), nn.Tanh())


@pytest.mark.parametrize(
    "module, options, said",
    [
        (3, {}, "module is a int: give a torch.nn.Module"),
        (nn.Linear(3, 1), {}, "the module has 1 Linear layers"),
        (UNFIT, {}, "Linear layer 1 has 4 outputs and the next one 5 inputs"),
        (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), {}, "the output has a bias"),
        (ENDED, {}, "the module ends in tanh"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1, bias=False)), {}, "no activation of its own"),
        (two(), {"activation": ["tanh", "tanh"]}, "2 activations for 1 hidden layers"),
        (two(), {"scaling": "mup"}, "unknown scaling 'mup'"),
        (WithParameter(), {}, "the module has parameters 'scale' in WithParameter"),
    ],
)  # fmt: skip
def test_what_is_no_network_of_neurons_is_refused(module, options, said):
    with pytest.raises(InputError, match=said):
        wflow.from_torch(module, **options)


def test_a_module_that_fails_is_told_with_its_own_words():
    net = two()
    net.forward = lambda x: net.children().__next__()(x[:, :2])
    with pytest.raises(InputError, match=r"the module fails at inputs of shape \(16, 3\): shapes"):
        wflow.from_torch(net)


def test_a_module_of_other_sizes_is_refused():
    start = wflow.from_torch(two())
    for module, said in (
        (nn.Sequential(nn.Linear(3, 21), nn.Tanh(), nn.Linear(21, 1)), r"weights \(21, 3\) and the measure \(20, 3\)"),
        (nn.Sequential(nn.Linear(3, 20, bias=False), nn.Tanh(), nn.Linear(20, 1)), "layer 1 has no bias"),
        (nn.Sequential(nn.Linear(3, 20), nn.Linear(20, 20), nn.Linear(20, 1)), "3 Linear layers and the measure 2"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            wflow.to_torch(start, module)


def test_a_new_module_needs_an_activation_and_pytorch(monkeypatch):
    start = wflow.from_torch(two())
    for options, said in (
        ({}, "a new module needs activation="),
        ({"activation": "erf"}, "activation = 'erf': PyTorch has modules for"),
        ({"activation": "tanh", "scaling": "mean"}, "layers of a new module only sum"),
    ):
        with pytest.raises(InputError, match=said):
            wflow.to_torch(start, **options)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="PyTorch is not installed"):
        wflow.to_torch(start, activation="tanh")
    stand_in_torch.enter(monkeypatch)
    for activation in (nn.GELU, nn.GELU()):
        made = wflow.to_torch(start, activation=activation)
        assert type(list(made.children())[1]).__name__ == "GELU"
    with pytest.raises(InputError, match="makes no module"):
        wflow.to_torch(start, activation=np.tanh)
