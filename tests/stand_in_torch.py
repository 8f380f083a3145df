"""What of PyTorch carries networks over, on NumPy arrays: for tests that must run where PyTorch is not installed.

``benchmarks/pytorch.py`` does the same with PyTorch itself, training loop included.
"""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Tensor(np.ndarray):
    """An array with the few methods that tensors have and arrays have not."""

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        return self

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def double(self) -> Tensor:
        return self.astype(np.float64)

    def numpy(self) -> np.ndarray:
        return np.asarray(self)

    def element_size(self) -> int:
        return self.itemsize

    def new_tensor(self, data: Any) -> Tensor:
        return np.array(data, dtype=self.dtype).view(Tensor)

    def copy_(self, other: Any) -> None:
        self[...] = other


def tensor(data: Any, dtype: Any = np.float32) -> Tensor:
    return np.array(data, dtype=dtype).view(Tensor)


class Module:
    """A module: its parts are the modules among its attributes."""

    def __deepcopy__(self, memo: Any) -> Module:
        other = object.__new__(type(self))
        other.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items()})
        return other

    def children(self) -> Iterator[Module]:
        return (part for part in self.__dict__.values() if isinstance(part, Module))

    def modules(self) -> Iterator[Module]:
        yield self
        for part in self.children():
            yield from part.modules()

    def named_parameters(self, recurse: bool = True) -> list[tuple[str, Tensor]]:
        assert not recurse
        return [(k, v) for k, v in self.__dict__.items() if isinstance(v, Tensor)]

    def double(self) -> Module:
        for part in self.modules():
            for name, value in part.named_parameters(recurse=False):
                setattr(part, name, value.double())
        return self

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x)


class Linear(Module):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        rng = np.random.default_rng(inputs * 1000 + outputs)
        self.weight: Tensor = tensor(rng.uniform(-1, 1, (outputs, inputs)) / np.sqrt(inputs))
        self.bias = tensor(rng.uniform(-1, 1, outputs) / np.sqrt(inputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.weight.shape[1]:
            raise RuntimeError(f"shapes {x.shape} and {self.weight.shape}\ncannot be multiplied")
        out = x @ self.weight.T
        return out if self.bias is None else out + self.bias


def elementwise(name: str, function: Callable[[Any], Any]) -> type[Module]:
    return type(name, (Module,), {"forward": lambda self, x: function(x)})


Tanh = elementwise("Tanh", np.tanh)
ReLU = elementwise("ReLU", lambda x: np.maximum(x, 0))
Sigmoid = elementwise("Sigmoid", lambda x: 1 / (1 + np.exp(-x)))
GELU = elementwise("GELU", lambda x: x / (1 + np.exp(-1.702 * x)))
Flatten = elementwise("Flatten", lambda x: x)


class Sequential(Module):
    def __init__(self, *parts: Module) -> None:
        self.__dict__.update({str(i): part for i, part in enumerate(parts)})

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


nn = types.SimpleNamespace(
    Flatten=Flatten,
    GELU=GELU,
    Linear=Linear,
    Module=Module,
    ReLU=ReLU,
    Sequential=Sequential,
    Sigmoid=Sigmoid,
    Tanh=Tanh,
)


def as_module() -> types.ModuleType:
    """What ``import torch`` gives in place of PyTorch."""
    torch = types.ModuleType("torch")
    vars(torch).update(
        nn=nn,
        float64=np.float64,
        ones=lambda shape, dtype=np.float32: tensor(np.ones(shape), dtype),
        tensor=tensor,
    )
    return torch


def enter(monkeypatch: Any) -> types.ModuleType:
    """Let ``import torch`` find the stand-in."""
    torch = as_module()
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch
