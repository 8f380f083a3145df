"""Networks of ReLU units that learn a teacher from fresh normal inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.energies import Activation, get_activation
from wflow.energies.pairs.closed import KernelEnergy
from wflow.tools.streams import stream


class StudentNetwork:
    """Neurons a relu(⟨w, x⟩) on fresh normal x, of a system that has a target, a start and an energy."""

    charges = True
    offset = False
    loss = "square"

    def __init__(self, system: Any) -> None:
        self._system = system
        self.input_dimension = int(system.d)
        self.activation: Activation = get_activation("relu")

    def inputs(self, seed: int, first: int, count: int) -> np.ndarray:
        """x ~ N(0, I), (count, d)."""
        return stream(seed, "inputs", first).standard_normal((count, self.input_dimension))

    def samples(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = self.inputs(seed, first, count)
        return x, self._system.target(x)

    def start(self, n_neurons: int, seed: int) -> np.ndarray:
        return np.asarray(self._system.draw(n_neurons, seed))

    def risk_energy(self) -> KernelEnergy:
        energy: KernelEnergy = self._system.energy()
        return energy

    def reduce(self, neurons: np.ndarray) -> np.ndarray:
        return neurons
