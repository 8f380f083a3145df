"""Valid calls of what carries networks over to other libraries and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stand_in_torch import nn

import wflow
from wflow.networks import from_arrays, from_torch, layer_rates, to_arrays, to_torch, torch_groups

Call = tuple[Callable[..., Any], dict[str, Any]]


def carried_calls() -> dict[str, Call]:
    kernels = [np.ones((2, 3)), np.ones((3, 1))]
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1, bias=False))
    law = wflow.Particles(np.ones((3, 4)), names=("a", "b", "w1", "w2"))
    return {
        "from_arrays": (
            from_arrays,
            {"kernels": kernels, "biases": [np.ones(3), None], "scaling": "mean"},
        ),
        "from_torch": (from_torch, {"module": module, "scaling": "sum", "activation": "tanh"}),
        "layer_rates": (layer_rates, {"widths": [3, 4], "scaling": "ntk"}),
        "to_arrays": (to_arrays, {"measure": law, "scaling": "sum", "constant_input": False}),
        "to_torch": (
            to_torch,
            {
                "measure": law,
                "module": module,
                "activation": "tanh",
                "scaling": "sum",
                "constant_input": False,
            },
        ),
        "torch_groups": (
            torch_groups,
            {"module": module, "step_size": 0.1, "scaling": "sum", "mean_over_outputs": False},
        ),
    }
