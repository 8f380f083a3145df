"""Values that nobody should pass, and a valid call of every public callable to pass them to, one argument at a time."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hostile_networks import carried_calls

import wflow
from wflow import GradientFlow, GridDensity, Particles, energies, measures, solvers, validation
from wflow.energies import FeatureEnergy, GaussianKernel, KernelSum, PairEnergy
from wflow.results.ledger import ledger
from wflow.solvers import statics

Call = tuple[Callable[..., Any], dict[str, Any]]


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no words for it")


class Tensor:
    """As a tensor that requires a gradient: numpy cannot have it."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse tensor.detach()")


VALUES: dict[str, Any] = {
    "None": None,
    "True": True,
    "0": 0,
    "-1": -1,
    "3": 3,
    "1.5": 1.5,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "1e200": 1e200,
    "10**400": 10**400,
    "10**5000": 10**5000,
    "2**63": 2**63,
    "1j": 1j,
    "empty text": "",
    "text": "x",
    "number as text": "1_0",
    "two lines": "a\nb",
    "NUL": "a\0b",
    "bytes": b"x",
    "empty list": [],
    "[1]": [1],
    "[None]": [None],
    "ragged": [[1], [1, 2]],
    "texts": ["a", "b"],
    "dict": {"a": 1},
    "empty dict": {},
    "set": {1},
    "object": object(),
    "function of nonsense": lambda *a, **k: "nonsense",
    "function of None": lambda *a, **k: None,
    "Decimal": Decimal("1.5"),
    "unprintable": Unprintable(),
    "tensor": Tensor(),
    "path": Path("no/such/folder/file.h5"),
    "empty array": np.array([]),
    "0-d array": np.array(1.0),
    "box": np.ones((2, 3, 4)),
    "vector": np.array([1.0, 2.0]),
    "NaNs": np.array([math.nan, 1.0]),
    "complex": np.array([1j, 2.0]),
    "words": np.array(["a", "b"]),
    "objects": np.array([None, 1.0], dtype=object),
    "masked": np.ma.masked_equal([1.0, -999.0], -999.0),
    "dates": np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]"),
    "booleans": np.array([True, False]),
    "huge": np.array([1e200, -1e200]),
    "records": np.zeros(2, dtype="f8,f8"),
    "Ellipsis": ...,
}


MODULES = (
    wflow,
    energies,
    measures,
    validation,
    solvers,
    statics,
    wflow.figures,
    wflow.lazy,
    wflow.multilayer,
    wflow.networks,
    wflow.sharded,
    wflow.spaces,
    wflow.systems,
    wflow.trackers,
)
NOT_CALLED = {
    "what a subclass fills in": "Energy Figure FeatureMap Kernel Measure Method System",
    "what others answer to": "Field PreparedEnergy Problem Tracker",
    "what the package makes": "Band Bracket ChargeDensity Continuation Dean Directions Fail GibbsState Hypotheses "
    "KernelFlow Laziness LayersReport Loss Margin Minimiser NullSpace Orders Report Results SgdDrift Spectrum Step "
    "Stop Tolerance Trained Trend Verdict",
    "what fits and norms are": "BarronNorm RidgeFit ShardedRun VariationFit",
    "errors": "ComputationError InputError StorageError",
    "without arguments": "Positivity catalogue figures methods",
    "a decorator for classes": "register",
}
"""Public names that no one passes values to, and why."""


def well(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (x**2).sum(axis=-1))


def pair(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a * b).sum(axis=-1))


def slope(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 * x)


def density(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(x[..., 0] ** 2)))


def calls() -> dict[str, Call]:
    """A valid call of each public callable, by its name; the objects are made anew."""
    rho = GridDensity.from_function(density, [(-3, 3)], n=12)
    cloud = Particles([-1.0, 0.5, 1.0])
    both = Particles([[0.0, 1.0], [1.0, 0.0]])
    energy = PairEnergy(well)
    features = FeatureEnergy("tanh", [-1.0, 1.0], [-0.5, 0.5])
    flow = GradientFlow(energy)
    noisy = GradientFlow(energy, temperature=0.5)
    system = wflow.systems.get("isotropic-gaussians", d=4)
    sol = wflow.solve(GradientFlow(features), cloud, (0, 0.1), t_eval=[0.0, 0.1])
    kernel, at = GaussianKernel(0.5), np.array([[0.0], [1.0]])
    kernel_sum = KernelSum(kernel, at, [1.0, -1.0])
    gaussian_well = validation.GaussianWell(temperature=0.5, half_width=5.0)
    spreading, steady = validation.Barenblatt(), wflow.trackers.SteadyState
    report = wflow.validate(
        system,
        neurons=[2, 4, 8],
        step_sizes=[0.01],
        seeds=2,
        t_end=0.02,
        n_grid=8,
        n_particles=4,
        rates=False,
    )
    span = {"rho0": cloud, "t_span": (0, 0.1), "flow": flow}
    spread = validation.fluctuations(GradientFlow(features), cloud, [0.0, 0.1], rtol=1e-3)
    scatter = validation.sgd_noise(GradientFlow(features), cloud, [0.0, 0.1], rtol=1e-3)
    quick = {"system": system, "n_neurons": 3, "step_size": 1e-2, "n_steps": 3}
    table: dict[str, Call] = {
        "Event": (wflow.Event, {"of": "risk", "level": 0.1}),
        "GradientFlow": (GradientFlow, {"energy": energy}),
        "GradientFlow.schedule": (flow.schedule, {"t": 0.5}),
        "GradientFlow.free_energy": (flow.free_energy, {"measure": rho}),
        "GridDensity": (GridDensity, {"density": [1.0, 2.0], "edges": [[0.0, 0.5, 1.0]]}),
        "GridDensity.from_function": (
            GridDensity.from_function,
            {"f": density, "bounds": [(-1, 1)], "n": 4},
        ),
        "GridDensity.from_cdf": (
            GridDensity.from_cdf,
            {"cdf": lambda x: np.clip(x, 0.0, 1.0), "bounds": [(0, 1)], "n": 4},
        ),
        "GridDensity.with_density": (rho.with_density, {"density": np.ones(12)}),
        "GridDensity.diffused": (rho.diffused, {"amount": 0.1}),
        "GridDensity.sample": (rho.sample, {"n": 2, "seed": 1}),
        "GridDensity.to_particles": (rho.to_particles, {"n": 3}),
        "GridDensity.cdf": (rho.cdf, {"x": 0.5}),
        "GridDensity.quantile": (rho.quantile, {"u": 0.5}),
        "Particles": (Particles, {"positions": [1.0, 2.0]}),
        "Particles.from_quantile": (
            Particles.from_quantile,
            {"ppf": lambda u: np.log(u / (1 - u)), "n": 3},
        ),
        "Particles.to_grid": (cloud.to_grid, {"bounds": [(-3, 3)], "n": 4}),
        "Particles.sample": (cloud.sample, {"n": 2, "seed": 1}),
        "Particles.cdf": (cloud.cdf, {"x": 0.5}),
        "Particles.quantile": (cloud.quantile, {"u": 0.5}),
        "TensorGrid": (measures.TensorGrid, {"edges": [[0.0, 1.0, 2.0]]}),
        "TensorGrid.from_bounds": (
            measures.TensorGrid.from_bounds,
            {"bounds": [(0, 1)], "n": 3},
        ),
        "Particles.resampled": (cloud.resampled, {"n": 5, "seed": 1}),
        "entropy": (measures.entropy, {"measure": cloud, "estimator": "kernel"}),
        "bounded_lipschitz": (measures.bounded_lipschitz, {"mu": both, "nu": both}),
        "bounded_lipschitz_interval": (
            measures.bounded_lipschitz_interval,
            {"mu": both, "nu": both, "atoms": 2},
        ),
        "maximum_mean_discrepancy": (
            measures.maximum_mean_discrepancy,
            {"mu": cloud, "nu": cloud},
        ),
        "sliced_wasserstein_2": (measures.sliced_wasserstein_2, {"mu": both, "nu": both}),
        "wasserstein_2": (measures.wasserstein_2, {"mu": cloud, "nu": cloud}),
        "load": (wflow.load, {"path": "none.h5"}),
        "load_sweep": (wflow.load_sweep, {"path": "none"}),
        "sweep": (wflow.sweep, {"plan": "none.toml", "output": "none", "workers": 1}),
        "resume": (wflow.resume, {"path": "none.h5"}),
        "reproduce": (wflow.reproduce, {"name": "mmn-2", "size": "none"}),
        "solve": (wflow.solve, span | {"t_eval": [0.1]}),
        "solve with noise": (wflow.solve, span | {"rho0": rho, "flow": noisy, "t_eval": [0.1]}),
        "sgd": (wflow.networks.sgd, quick),
        "validate": (
            wflow.validate,
            {"system": system, "neurons": [3], "step_sizes": [0.01], "seeds": 2, "t_end": 0.02}
            | {"n_grid": 8, "n_particles": 4, "workers": 1, "rates": False},
        ),
        "get": (
            lambda name, **given: wflow.systems.get(name, **given),
            {"name": "isotropic-gaussians", "d": 4, "delta": 0.5},
        ),
        "System.flow": (system.flow, {}),
        "System.initial": (system.initial, {"kind": "particles", "n": 4}),
        "System.sampled": (system.sampled, {"n": 4, "seed": 0}),
        "System.saved_times": (system.saved_times, {"t_end": 1.0}),
        "Report.save": (report.save, {"path": "report.h5", "overwrite": True}),
        "Report.plot": (report.plot, {}),
        "ledger": (ledger, {"solution": sol, "flow": GradientFlow(features)}),
        "Solution": (sol, {"t": 0.05}),
        "Solution.predict": (sol.predict, {"x": [0.5]}),
        "Solution.plot": (sol.plot, {}),
        "Solution.animate": (sol.animate, {"path": "movie.none"}),
        "Activation": (energies.get_activation("tanh"), {"z": 0.5}),
        "ArcCosineKernel": (energies.ArcCosineKernel, {"dimension": 2}),
        "BumpFeatures": (energies.BumpFeatures, {"nodes": [0.0, 1.0], "width": 0.5}),
        "ConvolutionEnergy": (
            energies.ConvolutionEnergy,
            {"V": well, "U": lambda z: np.cos(z[..., 0])},
        ),
        "ConvolutionEnergy.from_kernel": (
            energies.ConvolutionEnergy.from_kernel,
            {"kernel": kernel, "target": kernel_sum},
        ),
        "ConvolutionFeatures": (
            energies.ConvolutionFeatures,
            {"width": 0.5, "bounds": [(-1.0, 1.0)], "n": 20},
        ),
        "CubicForm": (energies.CubicForm, {"couplings": np.ones((2, 2, 2))}),
        "DenseFeatures": (energies.DenseFeatures, {"activation": "tanh", "nodes": [1.0, 2.0]}),
        "ErfKernel": (energies.ErfKernel, {"dimension": 2}),
        "FeatureEnergy": (
            FeatureEnergy,
            {"activation": "tanh", "nodes": [1.0, 2.0], "targets": [1.0, -1.0]},
        ),
        "FeatureEnergy.prepare": (features.prepare, {"points": at}),
        "FeatureEnergy.predict": (features.predict, {"measure": cloud, "x": [0.5]}),
        "FeatureEnergy.diagonal": (features.diagonal, {"points": at}),
        "FeatureEnergy.columns": (features.columns, {"points": at}),
        "PairEnergy": (PairEnergy, {"V": well, "U": pair, "grad_V": slope}),
        "PairEnergy.prepare": (energy.prepare, {"points": at}),
        "PairEnergy.diagonal": (energy.diagonal, {"points": at}),
        "PairEnergy.columns": (energy.columns, {"points": at}),
        "DirichletKernel": (energies.DirichletKernel, {"frequencies": 3, "dimension": 2}),
        "PenalisedSpikes": (
            energies.PenalisedSpikes,
            {
                "observed": KernelSum(energies.DirichletKernel(3), [[1.0, 0.5]], [2.0]),
                "penalty": 0.3,
            },
        ),
        "GaussianKernel": (GaussianKernel, {"variance": 0.5}),
        "GaussianSum": (
            energies.GaussianSum,
            {"points": at, "charges": [1.0, -1.0], "variances": 0.5},
        ),
        "KernelEnergy": (energies.KernelEnergy, {"kernel": kernel, "target": kernel_sum}),
        "KernelSum": (KernelSum, {"kernel": kernel, "points": at, "charges": [1.0, 2.0]}),
        "KernelSum.values": (kernel_sum.values, {"at": at}),
        "LocalEnergy": (energies.LocalEnergy, {"target": well}),
        "LocalEnergy.explicit_step": (
            energies.LocalEnergy(well).explicit_step,
            {"spacing": [0.1], "peak": 2.5},
        ),
        "ProbitKernel": (energies.ProbitKernel, {"dimension": 2}),
        "RadialFeatures": (
            energies.RadialFeatures,
            {"knots": [(0.5, -2.5), (1.5, 7.5)], "radii": [1.0, 2.0], "d": 4},
        ),
        "RadialProfile": (
            energies.RadialProfile,
            {"knots": [(0.5, -2.5), (1.5, 7.5)], "d": 4},
        ),
        "RampsOnGaussians": (energies.RampsOnGaussians, {"variances": np.ones((2, 2))}),
        "RbfFeatures": (energies.RbfFeatures, {"nodes": [0.0, 1.0], "kappa": 2.0}),
        "SphereRbfKernel": (energies.SphereRbfKernel, {"d": 3, "kappa": 1.0}),
        "SphereRbfTarget": (
            energies.SphereRbfTarget,
            {"form": energies.CubicForm(np.ones((3, 3, 3))), "kappa": 1.0},
        ),
        "StepKernel": (energies.StepKernel, {"dimension": 2}),
        "TwoRadiiFeatures": (energies.TwoRadiiFeatures, {"scales": [1.0], "sizes": (2, 3)}),
        "get_activation": (energies.get_activation, {"spec": "tanh"}),
        "get_loss": (energies.get_loss, {"loss": "square"}),
        "piecewise_linear": (energies.piecewise_linear, {"knots": [(0.0, 1.0), (1.0, 2.0)]}),
        "radial_nodes": (energies.radial_nodes, {"d": 4}),
        "get_figure": (wflow.figures.get_figure, {"name": "mmn-2"}),
        "get_method": (solvers.get_method, {"spec": "langevin"}),
        "choose_method": (solvers.choose_method, {"flow": flow, "measure_kind": "grid"}),
        "EnergyDecay": (wflow.trackers.EnergyDecay, {"tolerance": 1e-9}),
        "Mass": (wflow.trackers.Mass, {"tolerance": 1e-9}),
        "SteadyState": (steady, {"rate": 1e-3}),
        "Barenblatt": (validation.Barenblatt, {}),
        "Barenblatt.law": (spreading.law, {"t": 0.5, "cells": 8}),
        "Barenblatt.radius": (spreading.radius, {"t": 0.5}),
        "GaussianWell": (validation.GaussianWell, {}),
        "GaussianWell.moments": (gaussian_well.moments, {"t": 0.5}),
        "GaussianWell.law": (gaussian_well.law, {"t": 0.5, "cells": 8}),
        "fluctuations": (
            validation.fluctuations,
            {"flow": GradientFlow(features), "law": cloud, "t_eval": [0.0, 0.1], "rtol": 1e-6},
        ),
        "Fluctuations.covariance": (spread.covariance, {"k": 1}),
        "Fluctuations.risk_influence": (spread.risk_influence, {"points": at}),
        "Fluctuations.output_influence": (spread.output_influence, {"points": at}),
        "Fluctuations.output_response": (spread.output_response, {"points": at}),
        "SgdNoise.covariance": (scatter.covariance, {"k": 1}),
        "SgdNoise.parameter_covariance": (scatter.parameter_covariance, {"k": 1}),
        "SgdNoise.total": (scatter.total, {"start": spread, "n_neurons": 3, "step_size": 1e-3}),
        "band": (
            validation.band,
            {"solution": sol, "n_neurons": 3, "flow": GradientFlow(features), "batch_size": 1},
        ),
        "load_report": (validation.load_report, {"path": "report.h5"}),
        "load_trend": (validation.load_trend, {"path": "trend.h5"}),
        # What is left open is a run of minutes, none of them wrong.
        "dimension_study": (
            partial(validation.dimension_study, n_limit=4),
            {
                "system": system,
                "dimensions": (2, 3, 4),
                "neurons": 2,
                "neurons_per_dimension": 1.0,
                "steps_per_dimension": 50.0,
                "seeds": 2,
                "horizon": 0.1,
                "workers": 1,
            },
        ),
        "horizon_study": (
            partial(validation.horizon_study, n_limit=4, predictions=False),
            {
                "system": system,
                "times": (0.1, 0.2, 0.3),
                "neurons": 2,
                "seeds": 2,
                "step_size": 0.01,
                "workers": 1,
            },
        ),
        "relaxation_study": (
            partial(
                validation.relaxation_study,
                values=(2, 3, 4),
                temperature=0.1,
                ridge=0.2,
                n_grid=16,
                workers=1,
                executor=None,
            ),
            {
                "system": system,
                "over": "N",
                "neurons": 2,
                "delta": 0.2,
                "steps_per_dimension": 20.0,
                "batch_size": 1,
                "horizon": 1.0,
                "pool": 4,
            },
        ),
        "sgd_noise": (
            validation.sgd_noise,
            {"flow": GradientFlow(features), "law": cloud, "t_eval": [0.0, 0.1], "rtol": 1e-6}
            | {"batch_size": 2, "samples": features},
        ),
        "dean": (
            validation.dean,
            {"flow": GradientFlow(features), "law": cloud, "t_eval": [0.0, 0.1], "step_size": 0.01}
            | {"batch_size": 2, "paths": 2, "steps": 1, "seed": 0, "samples": features},
        ),
        "sgd_drift": (
            validation.sgd_drift,
            {"system": system, "t_eval": [0.0, 0.1], "n_neurons": 3, "paths": 2, "batch_size": 2}
            | {"steps": 1, "seed": 0},
        ),
        "observed_orders": (
            validation.observed_orders,
            {"method": "scharfetter-gummel", "exact": gaussian_well, "t_end": 0.1}
            | {"cells": (8, 16), "steps": (4, 8)},
        ),
        "solve_gibbs": (statics.solve_gibbs, {"flow": noisy, "where": rho}),
        "gibbs_gap": (statics.gibbs_gap, {"flow": noisy, "measure": rho}),
        "continue_in_temperature": (
            statics.continue_in_temperature,
            {"flow": flow, "where": rho, "temperatures": [1.0, 0.5]},
        ),
        "solve_euler_lagrange": (
            statics.solve_euler_lagrange,
            {"kernel": kernel, "target": kernel_sum, "points": at, "ridge": 0.1},
        ),
        "expected_excess": (statics.expected_excess, {"energy": energy, "measure": cloud}),
        "expected_risk": (statics.expected_risk, {"energy": energy, "measure": cloud, "n": 3}),
        "excess_bound": (statics.excess_bound, {"energy": energy, "minimiser": cloud}),
        "duality_gap": (
            statics.duality_gap,
            {"energy": features, "measure": cloud, "where": cloud},
        ),
        "null_space": (statics.null_space, {"energy": energy, "measure": cloud, "other": rho}),
        "stability": (
            statics.stability,
            {"flow": features, "measure": cloud, "where": rho, "count": 2, "clock": 1.0},
        ),
        "critical": (
            statics.critical,
            {
                "outcome": lambda x, s=0: (x > 1.5, s),
                "low": 1.0,
                "high": 2.0,
                "digits": 2,
                "max_calls": 9,
                "start": 1,
            },
        ),
        "minimise_on_grid": (statics.minimise_on_grid, {"energy": features, "where": rho}),
        "minimise_sparse": (
            statics.minimise_sparse,
            {"energy": features, "bounds": [(-2.0, 2.0)], "search": 21, "max_iterations": 3},
        ),
    }
    table |= layered_calls() | lazy_calls() | sharded_calls(features) | carried_calls()
    for name, method in solvers.methods().items():
        table[f"method {name}"] = (method, {"step_size": 0.1} if name == "sgd" else {})
    return table


def sharded_calls(features: FeatureEnergy) -> dict[str, Call]:
    """The same of runs in shards."""
    cloud = Particles([-1.0, 0.5, 1.0])
    start = {"flow": GradientFlow(features), "shards": cloud, "t_span": (0, 0.1), "n_shards": 2}
    more = {"method": "runge-kutta", "t_eval": [0.1], "rtol": 1e-3, "workers": 1, "scheduler": None}
    done = wflow.sharded.solve(**start)
    return {
        "solve in shards": (wflow.sharded.solve, start | more),
        "ShardedRun.gather": (done.gather, {"frame": 0, "n_most": 10}),
        "ShardedRun.shard": (done.shard, {"k": 0, "frame": 0}),
        "load of shards": (wflow.sharded.load, {"folder": "run"}),
        "frames of shards": (wflow.sharded.frames, {"folder": "run"}),
        "read_shard": (wflow.sharded.read_shard, {"folder": "run", "k": 0, "frame": 0}),
    }


def lazy_calls() -> dict[str, Call]:
    """The same of tangent kernels and linearised networks."""
    lazy = wflow.lazy
    energy = energies.FeatureEnergy("tanh", [-1.0, 1.0], [-0.5, 0.5], charges=True)
    flow, start = wflow.GradientFlow(energy), Particles([[1.0, 0.5], [-1.0, 0.3]])
    layers = wflow.multilayer.Flow([-1.0, 1.0], [-0.5, 0.5])
    net = wflow.multilayer.Ensemble([[1.0, 2.0], [[1.0, 0.5], [0.0, 1.0]], [1.0, -1.0]])
    at = {"flow": flow, "start": start}
    return {
        "doubled": (lazy.doubled, {"energy": energy, "start": start}),
        "ensemble_kernel_flow": (
            lazy.ensemble_kernel_flow,
            {"flow": layers, "ensemble": net, "t_eval": [0, 1], "x": [0.5]},
        ),
        "ensemble_laziness": (
            lazy.ensemble_laziness,
            {"flow": layers, "ensemble": net, "t_eval": [0.1], "scale": 2.0, "rtol": 1e-3},
        ),
        "scaled_ensemble": (
            lazy.scaled_ensemble,
            {"flow": layers, "scale": 2.0, "ensemble": net, "subtract": True},
        ),
        "ensemble_tangent_kernel": (
            lazy.ensemble_tangent_kernel,
            {"flow": layers, "ensemble": net, "x": [0.5], "x2": [1.0, 2.0]},
        ),
        "gaussian_tangent_kernel": (
            lazy.gaussian_tangent_kernel,
            {"unit": "relu", "x": [0.5], "x2": [1.0, 2.0]},
        ),
        "kernel_flow": (lazy.kernel_flow, {"flow": flow, "measure": start, "t_eval": [0, 1]}),
        "max_margin": (
            wflow.spaces.max_margin,
            {"x": [-1.0, 0.0, 1.0], "labels": [1, -1, 1], "norm": "F2", "features": [[1.0, 0.5]]},
        ),
        "trained_margin": (
            wflow.spaces.trained_margin,
            {
                "x": [-1.0, 0.0, 1.0],
                "labels": [1, -1, 1],
                "n_neurons": 5,
                "layers": "both",
                "n_steps": 3,
            },
        ),
        **space_calls(),
        "laziness": (lazy.laziness, at | {"t_eval": [0.1], "scale": 2.0, "rtol": 1e-3}),
        "linearised": (lazy.linearised, at),
        "scaled": (lazy.scaled, at | {"scale": 2.0}),
        "tangent_kernel": (
            lazy.tangent_kernel,
            {"energy": energy, "measure": start, "x": [0.5], "x2": [1.0, 2.0]},
        ),
    }


def space_calls() -> dict[str, Call]:
    """The same of fits in F₁ and F₂."""
    spaces = wflow.spaces
    data = {"x": [-1.0, 0.0, 1.0], "y": [1.0, 0.0, 1.0]}
    energy = energies.FeatureEnergy("relu", [-1.0, 1.0], [-0.5, 0.5], charges=True)
    law = Particles([[1.0, 0.5], [-1.0, 0.3]])
    return {
        "barron_norm": (
            spaces.barron_norm,
            {"energy": energy, "measure": law, "x": [-1.0, 0.5], "length": "l2"},
        ),
        "least_norm": (spaces.least_norm, data),
        "moment_bound": (
            spaces.moment_bound,
            {"flow": wflow.GradientFlow(energy), "measure": law, "t": [0.0, 1.0]},
        ),
        "penalised": (spaces.penalised, data | {"penalty": 0.1, "power": 2}),
        "random_features": (spaces.random_features, data | {"ridge": 0.1, "n": 5}),
        "ridge_fit": (spaces.ridge_fit, data | {"ridge": 0.1, "kernel": "sphere"}),
    }


def layered_calls() -> dict[str, Call]:
    """The same of networks of many layers."""
    layers = wflow.multilayer
    flow = layers.Flow([-1.0, 1.0], [-0.5, 0.5])
    net = layers.Ensemble([[1.0, 2.0], [[1.0, 0.5], [0.0, 1.0]], [1.0, -1.0]])
    limit = layers.iid_limit(4, [1.0, -1.0], [1.0, 0.5], 0.5)
    quick = {"flow": flow, "network": net, "step_size": 1e-2, "n_steps": 3}
    system = wflow.systems.get("multilayer", samples=4)
    return {
        "Ensemble": (layers.Ensemble, {"weights": [[1.0, 2.0], [1.0, -1.0]]}),
        "Ensemble.sample": (net.sample, {"widths": [3, 4], "seed": 0}),
        "Multilayer.flow": (system.flow, {"decay": 0.5}),
        "Multilayer.initial": (system.initial, {"kind": "ensemble", "n": 4}),
        "Multilayer.drawn": (system.drawn, {"widths": 3, "seed": 0, "n": 4}),
        "Ensemble.taken": (net.taken, {"atoms": [[0, 1], [1]]}),
        "FeatureFlow": (layers.FeatureFlow, {"gram": np.eye(2), "targets": [1.0, 2.0]}),
        "Flow": (layers.Flow, {"nodes": [-1.0, 1.0], "targets": [-0.5, 0.5]}),
        "Flow.risk": (flow.risk, {"ensemble": net}),
        "Flow.gradient": (flow.gradient, {"ensemble": net}),
        "Flow.hidden": (flow.hidden, {"ensemble": net, "x": [0.5]}),
        "Flow.predict": (flow.predict, {"measure": net, "x": [0.5]}),
        "Units": (
            layers.Units,
            {
                "phi": lambda b, w, h: b + w * h,
                "d_bias": lambda b, w, h: 1.0,
                "d_weight": lambda b, w, h: h,
                "d_hidden": lambda b, w, h: w,
            },
        ),
        "coupled": (layers.coupled, {"flow": flow, "limit": net, "widths": 3, "t_eval": [0, 0.1]}),
        "distance": (layers.distance, {"network": net, "limit": net, "atoms": [[0, 1], [0, 1]]}),
        "diversity": (layers.diversity, {"flow": flow, "ensemble": net}),
        "feature_regression": (layers.feature_regression, {"flow": flow, "widths": [3, 4]}),
        "WatchHypotheses": (layers.WatchHypotheses, {"flow": flow, "every": 0.1, "rest": 0.5}),
        "hypotheses": (layers.hypotheses, {"flow": flow, "ensemble": net, "t": 0.0}),
        "iid_limit": (
            layers.iid_limit,
            {"depth": 4, "first": [1.0, 2.0], "last": [1.0], "means": 0.5},
        ),
        "iid_network": (layers.iid_network, {"limit": limit, "widths": 3, "std": 1.0, "seed": 0}),
        "independence": (
            layers.independence,
            {"matrix": [[1.0, 2.0], [0.5, 0.0]], "size": 2, "draws": 9},
        ),
        "normal_atoms": (layers.normal_atoms, {"n": 4, "d": 2}),
        "positions": (layers.positions, {"inputs": 2, "widths": [3, 4]}),
        "sgd of layers": (layers.sgd, quick),
        "solve of layers": (wflow.solve, {"flow": flow, "rho0": net, "t_span": (0, 0.1)}),
        "step_study": (
            partial(validation.step_study, rtol=1e-3, workers=1, executor=None, seeds=2),
            {
                "flow": flow,
                "limit": net,
                "step_sizes": (0.01, 0.02, 0.04),
                "horizon": 0.4,
                "width": 2,
            }
            | {"batch_size": 1, "std": None},
        ),
        "types": (layers.types, {"inputs": 2, "widths": [3, 4]}),
        "width_study": (
            partial(validation.width_study, horizon=0.1, rtol=1e-3, workers=1, executor=None),
            {
                "flow": flow,
                "limit": net,
                "widths": (2, 3, 4),
                "std": None,
                "seeds": 2,
            },
        ),
        "validate of layers": (
            partial(wflow.validate, executor=None, scheduler=None, workers=1),
            {"system": system, "neurons": [3], "step_sizes": [0.01], "seeds": 2, "t_end": 0.5}
            | {"rates": False, "widths": [2, 3, 4], "horizon": 0.4, "rate_seeds": 4},
        ),
        "with_features": (layers.with_features, {"ensemble": net, "x": [0.5, 1.0]}),
    }


def attacks(table: dict[str, Call]) -> Iterator[tuple[str, str, str]]:
    """Callable, argument and value, by their names."""
    for name, (call, valid) in table.items():
        known = inspect.signature(call).parameters.values()
        fixed = getattr(call, "keywords", {})  # of a partial
        open_ = [p for p in known if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        own = [p.name for p in open_ if p.name not in fixed]
        for argument in dict.fromkeys([*own, *valid]):
            for value in VALUES:
                yield name, argument, value
