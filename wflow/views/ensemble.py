"""Neuronal ensembles: weights and biases a layer, and the probabilities of their atoms, a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.layers.ensemble import Ensemble
from wflow.layers.layout import Layout
from wflow.tools.pictures import BLUE, GREY
from wflow.views.base import VIEWS, Fields, StoredField, View
from wflow.views.drawing import outline

if TYPE_CHECKING:
    from wflow.results.solution import Solution


@VIEWS.enter
class EnsembleView(View):
    """Ensembles of given sizes.

    >>> view = EnsembleView(Layout(2, (3, 4), 0, False))
    >>> list(view.fields)
    ['w1', 'w2', 'w3', 'p1', 'p2']
    >>> view.fields["w2"].dims
    ('neuron_1', 'neuron_2')
    """

    name = "ensemble"
    arrays_at_work = 10

    def __init__(self, layout: Layout) -> None:
        self.layout, self.coordinates = layout, ()
        self.fields = {}
        for name in layout.shapes:
            i = int(name[1:])
            ends = ["input" if i == 1 else f"neuron_{i - 1}"] if name.startswith("w") else []
            if i < layout.depth:
                ends.append(f"neuron_{i}")
            elif layout.outputs:
                ends.append("output")
            if i == 1:
                ends.reverse()
            what = "weights into" if name.startswith("w") else "biases of"
            self.fields[name] = StoredField(tuple(ends), "parameter", f"{what} layer {i}")
        for i in range(1, layout.depth):
            meaning = f"probabilities of the atoms of layer {i}"
            self.fields[f"p{i}"] = StoredField((f"neuron_{i}",), "1", meaning)

    @classmethod
    def of(cls, state: Ensemble) -> EnsembleView:
        return cls(state.layout)

    def show(self, fields: Fields) -> Ensemble:
        names = self.layout.shapes
        biases = [fields[k] for k in names if k.startswith("b")]
        return Ensemble(
            [fields[k] for k in names if k.startswith("w")],
            biases if self.layout.biased else None,
            [fields[f"p{i}"] for i in range(1, self.layout.depth)],
        )

    def store(self, shown: Ensemble) -> Fields:
        arrays = {k: np.array(a) for k, a in self.layout.views(shown.flat())}
        return arrays | {f"p{i + 1}": np.array(p) for i, p in enumerate(shown.probabilities)}

    def describe(self) -> dict[str, Any]:
        layout = self.layout
        return {
            "kind": self.name,
            "inputs": layout.inputs,
            "widths": list(layout.widths),
            "outputs": layout.outputs,
            "biased": layout.biased,
        }

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> EnsembleView:
        widths = tuple(int(n) for n in about["widths"])
        return cls(
            Layout(int(about["inputs"]), widths, int(about["outputs"]), bool(about["biased"]))
        )

    def counted(self, shown: Ensemble) -> str:
        return " x ".join(map(str, shown.widths)) + " neurons"

    def draw(self, axes: Any, solution: Solution) -> None:
        """The laws of each layer's weights in the last frame, beside those in the first."""
        first, last = solution.measures[0], solution.measures[-1]
        depth = self.layout.depth
        for i in range(depth):
            for state, colour in ((first, GREY), (last, BLUE)):
                values, mass = _law(state, i)
                low, high = float(values.min()), float(values.max())
                if high - low < 1e-9 * max(1.0, abs(high)):
                    beside = max(0.5, 1e-6 * abs(high))
                    low, high = low - beside, high + beside
                bins = int(np.clip(np.sqrt(values.size), 12, 60))
                height, edges = np.histogram(values, bins=bins, range=(low, high), weights=mass)
                x, y = outline(edges, height / max(height.max(), 1e-300))
                label = None
                if i == 0:
                    k = 0 if state is first else -1
                    label = f"t = {solution.t[k]:.3g}"
                axes.plot(x, i + 0.85 * y, color=colour, lw=1.2, label=label)
        axes.set_yticks(np.arange(depth) + 0.4, [f"w{i + 1}" for i in range(depth)])
        axes.set(xlabel="weight  [parameter]", ylabel="layer (law, scaled to its peak)")
        axes.legend(fontsize=7, frameon=False)
        axes.grid(alpha=0.3)


def _law(state: Ensemble, i: int) -> tuple[np.ndarray, np.ndarray]:
    """All entries of a layer's weights, and their probabilities."""
    w, p = state.weights[i], state.probabilities
    rows = p[i - 1][:, None] if i else p[0][:, None] / w.shape[1]
    columns = p[i][None, :] if 0 < i < len(p) else np.ones((1, w.reshape(len(w), -1).shape[1]))
    return w.ravel(), np.broadcast_to(rows * columns, w.reshape(len(w), -1).shape).ravel()
