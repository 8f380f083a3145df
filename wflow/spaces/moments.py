r"""How fast second moments of a flow can grow, and with them the norm of its function.

.. math:: \sqrt{M_2(t)} \le \sqrt{M_2(0)} + \sqrt{s\,(F(0) - F(t))} \le \sqrt{M_2(0)} + \sqrt{s\,F(0)}, \qquad
          s = \int_0^t\xi, \quad M_2 = \int|\theta|^2d\rho

where F ≥ 0 at temperature 0: a neuron moves by :math:`\int\xi|\nabla\Phi|`, and what F has lost is
:math:`\int\xi\int|\nabla\Phi|^2d\rho`. Without a ridge :math:`F(0) = \tfrac12R_0`, so that it is :math:`\sqrt{sR_0/2}`.
Of neurons :math:`a\langle w, x\rangle_+` the norm in F₁ is at most :math:`\tfrac12M_2`: it grows linearly in t at most.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.lazy.flow import own_times
from wflow.measures import Measure
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_kind


def moment_bound(flow: GradientFlow, measure: Measure, t: Any) -> np.ndarray:
    r"""The most that ∫|θ|²dρ can be at times t of a flow without noise and births.

    .. math:: M_2(t) \le \Bigl(\sqrt{M_2(0)} + \sqrt{s(t)\,F(\rho_0)}\Bigr)^2, \qquad s(t) = \int_0^t\xi

    Parameters
    ----------
    flow : at temperature 0 and reaction rate 0, of a loss that is not negative: with F < 0 later on, which F(0) does
        not tell, the bound does not hold
    measure : ρ at time 0
    t : times ≥ 0, (m,)

    Returns
    -------
    numpy.ndarray
        (m,)

    Raises
    ------
    InputError
        for a flow with noise or births, negative times, and a measure of another dimension
    ComputationError
        where the integral of a schedule does not converge

    Source: Wojtowytsch & E, arXiv:2005.10815, on another clock; on ours the energy is ½R.

    >>> from wflow.energies import FeatureEnergy
    >>> from wflow.measures import Particles
    >>> flow = GradientFlow(FeatureEnergy("identity", [1.0], [2.0]))  # R = (2 - w)², from w = 0
    >>> moment_bound(flow, Particles([[0.0]]), [0.5, 2.0]).tolist()  # 2(1 - e^-t) squared is .62, 2.99
    [1.0, 4.0]
    """
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    check_kind("measure", measure, Measure, "give a wflow.GridDensity or wflow.Particles")
    for name in ("temperature", "reaction_rate"):
        if getattr(flow, name) > 0:
            raise InputError(
                f"{name} = {getattr(flow, name):g}: the bound is of flows that move mass by their force alone; give 0"
            )
    times = as_floats("t", t)
    if times.ndim != 1 or (times < 0).any():
        raise InputError(f"t of shape {times.shape}: give times from 0 on, one after another")
    start = flow.free_energy(measure)
    if start < 0:
        raise InputError(
            f"F = {start:.3g} at the start: the bound needs a loss that is not negative"
        )
    moment = float(measure.weights() @ (measure.points() ** 2).sum(axis=1))
    rising, place = np.unique(times, return_inverse=True)
    clock = own_times(flow, rising)[place] if times.size else times
    return np.asarray((math.sqrt(moment) + np.sqrt(clock * start)) ** 2)
