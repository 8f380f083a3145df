"""PyTorch modules of fully connected layers, read as neurons, and neurons written back into modules.

Nothing here needs PyTorch but a module that is made anew: a module that is given brings its own arrays.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.features.activations import Activation, get_activation
from wflow.errors import InputError, first_line, shown
from wflow.layers import Ensemble
from wflow.measures import Particles
from wflow.networks.arrays import factor, from_arrays, layer_rates, to_arrays
from wflow.tools.checks import check_flag, positive
from wflow.tools.streams import stream

MODULES = {
    "Identity": "identity",
    "ReLU": "relu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
"""The activation of a PyTorch module by the name of its class."""
TRIALS = 16
"""Inputs at which a module is compared with the neurons read from it."""
APART = 1e-10
"""How far its outputs may be from theirs in double precision, beside the sum of what its last layer adds up."""


def from_torch(
    module: Any, *, scaling: str = "sum", activation: Any = None
) -> Particles | Ensemble:
    r"""The neurons of a PyTorch module of fully connected layers: particles of two layers, an ensemble of more.

    .. math:: f(x) = s\sum_j A_j\,\sigma(\langle w_j, x\rangle + b_j)
              = \frac1N\sum_j a_j\,\sigma(\langle w_j, x\rangle + b_j), \qquad a_j = N s A_j

    A copy of the module with random weights in double precision is evaluated at random inputs, and the module refused
    where its layers compute something else: a factor in its ``forward`` that ``scaling`` does not say, say. What its
    activations are is no part of the measure: give them to the energy or the flow.

    Parameters
    ----------
    module : whose Linear layers, in the order in which they were registered, follow each other; inputs (…, d) are flat
    scaling : the factor s that ``forward`` has in front of the sums over neurons: "sum" 1, "ntk" N^(−½), "mean" 1/N
    activation : of the hidden layers, as energies take it, one for all or a list: needed where the module is no
        Identity, ReLU, Sigmoid, Softplus or Tanh of PyTorch

    Returns
    -------
    Particles or Ensemble
        as :func:`wflow.networks.from_arrays` has them

    Raises
    ------
    InputError
        for fewer than two Linear layers, parameters of other kinds, an unknown activation, an output bias of two
        layers, and a module that computes something else

    Source: Mei, Montanari & Nguyen (2018), eq. (1); Nguyen & Pham, arXiv:2001.11443, section 2.2.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 50), torch.nn.Tanh(), torch.nn.Linear(50, 1, bias=False))
    >>> from_torch(net)
    Particles(n = 50 in (a, b, w1, w2, w3), mass 1)
    """
    linear, others = _parts(module)
    kernels, biases = _weights(linear)
    measure = from_arrays(kernels, biases, scaling=scaling)
    hidden, output = _activations(others, len(linear) - 1, activation)
    if output is not None and len(linear) == 2:
        raise InputError(
            f"the module ends in {output.name}, and a network of two layers in a sum: leave it to the loss"
        )
    _compare(module, [*hidden, output], scaling)
    return measure


def to_torch(
    measure: Particles | Ensemble,
    module: Any = None,
    *,
    activation: Any = None,
    scaling: str = "sum",
    constant_input: bool = False,
) -> Any:
    r"""A PyTorch module that computes what a measure does; of equal weights the inverse of :func:`wflow.from_torch`.

    .. math:: A_j = p_j a_j/s

    Weights p_j that differ go into the last layer: the function is the same, and trained from there it is another flow.

    Parameters
    ----------
    measure : particles in (a, b, w), (a, w) or (w), or an ensemble
    module : whose Linear layers are written into, with the number type and the device they have; what its ``forward``
        makes of them only :func:`wflow.from_torch` checks. By default a new ``Sequential`` in double precision
    activation : of the hidden layers of a new module: "identity", "relu", "sigmoid", "softplus", "tanh", a module,
        or a function that makes one, ``torch.nn.GELU`` say
    scaling : the factor s that the ``forward`` of the module has in front of its sums; a new one has none
    constant_input : for a new module of an ensemble, whether its last input is the constant 1, whose weights become
        biases of the first layer; of a module that is given, its first layer says so

    Raises
    ------
    InputError
        for a module of other sizes, or without the biases that the measure has, and a new one without an activation or
        without PyTorch

    >>> import torch
    >>> net = to_torch(Particles([[0.5, 0.0, 1.0], [1.0, 2.0, -1.0]], names=("a", "b", "w")), activation="tanh")
    >>> f = net(torch.ones((1, 1), dtype=torch.float64)).detach().numpy()
    >>> bool(abs(f[0, 0] - 0.25 * np.tanh(1.0) - 0.5 * np.tanh(1.0)) < 1e-15)
    True
    """
    if module is not None:
        linear, _ = _parts(module)
        biased = getattr(measure, "kind", None) == "ensemble" and linear[0].bias is not None
        kernels, biases = to_arrays(measure, scaling=scaling, constant_input=biased)
        _write(linear, kernels, biases)
        return module
    if scaling != "sum":
        raise InputError(
            f"scaling = {shown(scaling)}: layers of a new module only sum; leave it out, or give module="
        )
    kernels, biases = to_arrays(measure, constant_input=constant_input)
    make = _maker(activation)
    nn = _torch().nn
    layers: list[Any] = []
    for k, b in zip(kernels, biases, strict=True):
        layers += [nn.Linear(*k.shape, bias=b is not None).double(), make()]
    _write(layers[::2], kernels, biases)
    return nn.Sequential(*layers[:-1])


def torch_groups(
    module: Any, step_size: float, *, scaling: str = "sum", mean_over_outputs: bool = False
) -> list[dict[str, Any]]:
    r"""Parameter groups with which a step of ``torch.optim.SGD`` is one of :func:`wflow.networks.sgd` with step size ε.

    .. math:: \eta(W_i) = \frac\varepsilon2\,\frac{N_i}{N_{i-1}s_i^2}, \quad
              \eta(W_1) = \eta(b_1) = \frac\varepsilon2 N_1, \quad \eta(b_i) = \frac\varepsilon2 N_i, \quad N_L = 1

    for the mean over a batch of the loss ℓ(y, f). After k steps the clock is at t = kε.

    Parameters
    ----------
    module : as :func:`wflow.from_torch` takes it
    step_size : ε
    scaling : the factor s that ``forward`` has in front of the sums over neurons
    mean_over_outputs : whether the loss takes the mean over K outputs too, as ``MSELoss`` does, in place of their sum

    Raises
    ------
    InputError
        for a module without two Linear layers, a step size that is not positive, and an unknown scaling

    Source: Mei, Montanari & Nguyen (2018), eq. (2); Nguyen & Pham, arXiv:2001.11443, eq. (3). Constants in the
    convention of docs/conventions.md.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 50), torch.nn.Tanh(), torch.nn.Linear(50, 1, bias=False))
    >>> groups = torch_groups(net, step_size=0.01)
    >>> [float(group["lr"]) for group in groups]
    [0.25, 0.25, 0.0001]
    """
    linear, _ = _parts(module)
    epsilon = positive("step_size", step_size)
    if check_flag("mean_over_outputs", mean_over_outputs):
        epsilon *= int(linear[-1].weight.shape[0])
    rates = layer_rates([int(layer.weight.shape[0]) for layer in linear[:-1]], scaling=scaling)
    groups = []
    for layer, (weight, bias) in zip(linear, rates, strict=True):
        groups.append({"params": [layer.weight], "lr": epsilon * weight})
        if layer.bias is not None:
            groups.append({"params": [layer.bias], "lr": epsilon * bias})
    return groups


def _parts(module: Any) -> tuple[list[Any], list[tuple[int, Any]]]:
    """The Linear layers, and every other module without parts with the number of Linear layers before it."""
    if isinstance(module, type) or not callable(getattr(module, "modules", None)):
        raise InputError(f"module is a {type(module).__name__}: give a torch.nn.Module")
    linear: list[Any] = []
    others: list[tuple[int, Any]] = []
    for part in module.modules():
        own = [name for name, _ in part.named_parameters(recurse=False)]
        if type(part).__name__ == "Linear":
            linear.append(part)
            if set(own) not in ({"weight"}, {"weight", "bias"}):
                raise InputError(
                    f"Linear layer {len(linear)} has the parameters {', '.join(own) or 'none'}, and its weight is made "
                    "from them (pruned, normalised or quantised): make it a plain one, prune.remove say"
                )
            continue
        if not list(part.children()):
            others.append((len(linear), part))
        if own:
            raise InputError(
                f"the module has parameters '{own[0]}' in {type(part).__name__}: only Linear layers are neurons here"
            )
    if len(linear) < 2:
        raise InputError(f"the module has {len(linear)} Linear layers: give one of two or more")
    if len({id(layer.weight) for layer in linear}) < len(linear):
        raise InputError("two Linear layers share their weights: neurons have their own each")
    for i, (before, after) in enumerate(itertools.pairwise(linear)):
        if (found := before.weight.shape[0]) != (wanted := after.weight.shape[1]):
            raise InputError(
                f"Linear layer {i + 1} has {found} outputs and the next one {wanted} inputs: give layers that follow "
                "each other in the order they are registered in"
            )
    return linear, others


def _weights(linear: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """W_i (inputs, outputs) and b_i of the layers."""
    try:
        return (
            [_array(layer.weight).T for layer in linear],
            [None if layer.bias is None else _array(layer.bias) for layer in linear],
        )
    except Exception as e:  # noqa: BLE001  (whatever the user's module raises)
        raise InputError(
            f"the weights of the module cannot be read: {first_line(e)}; give one whose weights are on a device"
        ) from None


def _activations(
    others: Sequence[tuple[int, Any]], count: int, given: Any
) -> tuple[list[Activation], Activation | None]:
    """The activations of the hidden layers, and the map of the outputs."""
    known = [(at, type(part).__name__) for at, part in others]
    # Inputs may be reshaped, and dropout that is off does nothing: one that is on is seen in the comparison.
    known = [
        (at, name) for at, name in known if at > 0 and not name.startswith(("Flatten", "Dropout"))
    ]
    known = [(at, name) for at, name in known if at <= count or name != "Identity"]
    output = None
    if known and known[-1][0] > count and len(known) > 1:
        output = _named(known.pop()[1])
    if given is not None:
        listed = isinstance(given, list)
        found = [get_activation(one) for one in (given if listed else [given])]
    else:
        found = [_named(name) for _, name in known]
        if not found:
            raise InputError(
                "the module has no activation of its own: give activation=, 'tanh' say"
            )
    if len(found) == 1:
        found *= count
    if len(found) != count:
        raise InputError(
            f"{len(found)} activations for {count} hidden layers: give activation=, a list of {count}"
        )
    return found, output


def _named(name: str) -> Activation:
    if name not in MODULES:
        raise InputError(
            f"activation {name} is none of {', '.join(MODULES)}: give activation=, a pair (value, derivative) of "
            "scalar functions say"
        )
    return get_activation(MODULES[name])


def _compare(module: Any, activations: Sequence[Activation | None], scaling: str) -> None:
    """Refuse a module that is not what its layers say, seen on a copy with weights and inputs of order one."""
    try:
        probe = copy.deepcopy(module).double()
    except Exception as e:  # noqa: BLE001  (whatever the user's module raises)
        raise InputError(
            f"the module cannot be copied and tried: {first_line(e)}; give a plain one"
        ) from None
    linear, rng = _parts(probe)[0], stream(0, "start")
    shapes = [tuple(int(n) for n in layer.weight.shape[::-1]) for layer in linear]
    kernels = [rng.standard_normal(s) / np.sqrt(s[0]) for s in shapes]
    biases = [
        None if layer.bias is None else rng.standard_normal(s[1])
        for layer, s in zip(linear, shapes, strict=True)
    ]
    x = rng.standard_normal((TRIALS, shapes[0][0]))
    _write(linear, kernels, biases)
    try:
        outputs = _array(probe(linear[0].weight.new_tensor(x)))
    except Exception as e:  # noqa: BLE001  (whatever the user's module raises)
        raise InputError(
            f"the module fails at inputs of shape {x.shape}: {first_line(e)}"
        ) from None
    h, reach = x, np.ones(1)
    for i, (k, b, act) in enumerate(zip(kernels, biases, activations, strict=True)):
        s = 1.0 if i == 0 else factor(scaling, k.shape[0])
        reach = s * (np.abs(h) @ np.abs(k)) + (0.0 if b is None else np.abs(b))
        h = s * (h @ k) + (0.0 if b is None else b)
        h = h if act is None else act(h)
    alike = outputs.size == h.size and outputs.shape[:1] == h.shape[:1]
    if not (alike and (np.abs(outputs.reshape(h.shape) - h) <= APART * (s + reach)).all()):
        raise InputError(
            f"the module's outputs are not those of its Linear layers under scaling = '{scaling}' (largest "
            f"{np.abs(outputs).max(initial=0.0):.4g} of shape {outputs.shape}, {np.abs(h).max():.4g} of {h.shape} with "
            "random weights): say the factor in front of its sums, or its activation, or give another module"
        )


def _write(
    linear: Sequence[Any], kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray | None]
) -> None:
    if len(linear) != len(kernels):
        raise InputError(
            f"the module has {len(linear)} Linear layers and the measure {len(kernels)}: give as many"
        )
    for i, (layer, k, b) in enumerate(zip(linear, kernels, biases, strict=True)):
        found = tuple(int(n) for n in layer.weight.shape)
        if found != k.shape[::-1]:
            raise InputError(
                f"Linear layer {i + 1} has weights {found} and the measure {k.shape[::-1]}: give one of these sizes"
            )
        if b is not None and layer.bias is None:
            raise InputError(f"Linear layer {i + 1} has no bias and the measure has: give one with")
    made = []
    for i, (layer, k, b) in enumerate(zip(linear, kernels, biases, strict=True)):
        made.append((layer.weight, layer.weight.new_tensor(np.ascontiguousarray(k.T))))
        if layer.bias is not None:
            values = np.zeros(k.shape[1]) if b is None else b
            made.append((layer.bias, layer.bias.new_tensor(values)))
        if not all(np.isfinite(_array(new)).all() for _, new in made[-2:]):
            raise InputError(
                f"Linear layer {i + 1} cannot hold the weights, the largest of which is {np.abs(k).max():.4g}: give a "
                "module of a wider number type"
            )
    for parameter, new in made:
        parameter.data.copy_(new)


def _maker(activation: Any) -> Any:
    """What makes the modules of the hidden layers."""
    names = {ours: theirs for theirs, ours in MODULES.items()}
    if activation is None:
        raise InputError("a new module needs activation=, 'tanh' say, or a function that makes one")
    if isinstance(activation, str) and activation in names:
        return lambda: getattr(_torch().nn, names[activation])()
    if isinstance(activation, str) or not callable(activation):
        raise InputError(
            f"activation = {shown(activation)}: PyTorch has modules for {', '.join(names)}; or give a module, or a "
            "function that makes one"
        )
    if callable(getattr(activation, "modules", None)) and not isinstance(activation, type):
        return lambda: copy.deepcopy(activation)

    def make() -> Any:
        try:
            return activation()
        except Exception as e:  # noqa: BLE001  (whatever the user's module raises)
            raise InputError(
                f"activation = {shown(activation)} makes no module ({first_line(e)}): give a module, or a function "
                "without arguments that makes one"
            ) from None

    return make


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise InputError(
            "PyTorch is not installed, and a new module needs it: python -m pip install torch"
        ) from None
    return torch


def _array(tensor: Any) -> np.ndarray:
    """The numbers of a tensor in double precision, wherever it is."""
    return np.asarray(tensor.detach().cpu().double().numpy(), dtype=np.float64)
