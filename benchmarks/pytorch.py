"""A PyTorch training loop beside what wflow expects of it: its own flow, and the band that SGD makes about it.

    python benchmarks/pytorch.py [-o FILE.png] [--neurons 200,1000] [--runs 8]

Needs PyTorch (``pip install torch``). Each width is one start, read from the module; the flow of these neurons and the
band about it are computed before the first step is taken. Then the module is trained by torch.optim.SGD, several times
with other samples, and the share of its saved risks within the band (± 2 standard deviations: 95% of Gaussian numbers)
is told, with the mean and the root mean square of their standard scores, which are 0 and 1 if the band is right.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

import wflow
from wflow.networks import torch_groups

INPUTS, SAMPLES, STEP, BATCH, END = 3, 200, 0.002, 10, 10.0


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, INPUTS))
    return x, np.sin(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2]


def module(n: int) -> torch.nn.Module:
    """PyTorch's own start, but output weights of size 1/N: a is of order one."""
    torch.manual_seed(1)
    hidden, out = torch.nn.Linear(INPUTS, n), torch.nn.Linear(n, 1, bias=False)
    torch.nn.init.normal_(out.weight, std=1 / n)
    return torch.nn.Sequential(hidden, torch.nn.Tanh(), out)


def trained(n: int, seed: int, times: np.ndarray) -> np.ndarray:
    """The risk of one training loop at the times asked for."""
    x, y = (torch.tensor(a, dtype=torch.float32) for a in data())
    net = module(n)
    torch.manual_seed(1000 + seed)
    optimizer = torch.optim.SGD(torch_groups(net, STEP), lr=0.0)
    found = []
    for k in range(round(END / STEP) + 1):
        if k in np.round(times / STEP):
            with torch.no_grad():
                found.append(float(((y - net(x)[:, 0]) ** 2).mean()))
        pick = torch.randint(SAMPLES, (BATCH,))
        optimizer.zero_grad(set_to_none=True)
        ((y[pick] - net(x[pick])[:, 0]) ** 2).mean().backward()
        optimizer.step()
    return np.array(found)


def beside(n: int, runs: int, axes: Any) -> None:
    """One width: the band, then the loops."""
    flow = wflow.GradientFlow(
        wflow.energies.FeatureEnergy("tanh", *data(), charges=True, offset=True)
    )
    times = np.linspace(0, END, 21)
    began = time.perf_counter()
    sol = wflow.solve(flow, wflow.from_torch(module(n)), (0, END), t_eval=times)
    solved = time.perf_counter()
    band = wflow.validation.band(sol, n_neurons=None, step_size=STEP, batch_size=BATCH, flow=flow)
    known = time.perf_counter()
    loops = np.array([trained(n, seed, times) for seed in range(runs)])
    done = time.perf_counter()
    inside = (band.low <= loops + 1e-6) & (loops - 1e-6 <= band.high)
    scores = ((loops - band.mean) / np.maximum(band.deviation, 1e-12))[:, 1:]
    error = scores.mean(axis=1).std(ddof=1) / np.sqrt(runs)
    print(
        f"{n:6} {solved - began:8.1f} {known - solved:8.1f} {(done - known) / runs:8.1f}   "
        f"{inside.mean():.3f} ({', '.join(f'{share:.2f}' for share in inside.mean(axis=1))})   "
        f"{scores.mean():+.2f} ± {error:.2f}   {np.sqrt((scores**2).mean()):.2f}",
        flush=True,
    )
    if axes is not None:
        for panel, less in zip(axes, (0.0, sol.risk), strict=True):
            panel.fill_between(
                times, band.low - less, band.high - less, color="0.8", label="expected, ± 2 s.d."
            )
            for k, loop in enumerate(loops):
                panel.plot(times, loop - less, "C0", lw=0.8, label="" if k else "PyTorch")
            panel.plot(times, sol.risk - less, "k--", lw=1, label="flow of its neurons")
        axes[0].set(title=f"N = {n}", yscale="log")
        axes[1].set_xlabel("t = kε")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--output")
    parser.add_argument("--neurons", default="200,1000")
    parser.add_argument("--runs", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    widths = [int(n) for n in asked.neurons.split(",")]
    figure = panels = None
    if asked.output:
        import matplotlib.pyplot as plt

        size = (5 * len(widths), 5.2)
        figure, panels = plt.subplots(2, len(widths), figsize=size, sharex=True, squeeze=False)
    print(
        f"torch {torch.__version__}, {SAMPLES} samples in {INPUTS} dimensions, ε = {STEP:g}, P = {BATCH}, t = {END:g}\n"
        f"     N   flow, s  band, s  loop, s   within the band (each loop)   mean score   r.m.s."
    )
    for i, n in enumerate(widths):
        beside(n, asked.runs, None if panels is None else panels[:, i])
    if figure is not None:
        panels[0, 0].set_ylabel("risk")
        panels[1, 0].set_ylabel("risk less that of the flow")
        panels[0, 0].legend()
        figure.tight_layout()
        figure.savefig(asked.output, dpi=110)
        print(f"written: {asked.output}")


if __name__ == "__main__":
    main()
