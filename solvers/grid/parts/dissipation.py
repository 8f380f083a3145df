r"""Where a density's free energy goes: ∫|∇Φ|²dρ over the faces of a grid, and Var_ρ Φ.

.. math:: \int|\nabla\Phi|^2 d\rho \approx \sum_{faces} |f|\,J_f\,(\Phi_i - \Phi_{i+1}), \qquad
          J = \tfrac\tau\delta\,[B(s)\rho_i - B(-s)\rho_{i+1}], \quad s = \Delta\Psi_\lambda/\tau,

with the Scharfetter–Gummel flux J and :math:`B(s) = s/(e^s-1)`, each term not negative. It is second order in the cells
and exactly what the Scharfetter–Gummel methods dissipate, up to their time step. At τ = 0 it becomes
:math:`\frac12(\rho_i+\rho_{i+1})(\Delta\Psi_\lambda)^2/\delta`.
Source: Chatard (2011), in Finite Volumes for Complex Applications VI, for the entropy dissipation of this flux.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def shares(
    grid: Any, mobile: Sequence[Any] | np.ndarray, tau: float, rho: np.ndarray, psi: np.ndarray
) -> tuple[float, float]:
    """∫|∇Φ|²dρ and Var_ρ Φ; the first is infinite where noise meets an empty cell beside a full one.

    ``grid`` is a TensorGrid or GridDensity, ``mobile`` says along which axes mass moves, ``psi`` is Ψ_λ − τ log vol.
    """
    phi, held = psi, rho > 0
    log = np.zeros_like(rho)
    if tau > 0:
        log[held] = np.log(rho[held])
        phi = psi + tau * log
    transport = sum(
        _along(axis, grid, tau, rho, psi, log, held) for axis in range(rho.ndim) if mobile[axis]
    )
    masses = rho * grid.volumes
    mean = float((masses * phi).sum()) / float(masses.sum())
    return float(transport), float((masses * (phi - mean) ** 2).sum())


def _along(
    axis: int,
    grid: Any,
    tau: float,
    rho: np.ndarray,
    psi: np.ndarray,
    log: np.ndarray,
    held: np.ndarray,
) -> float:
    """Σ |f| J (Φ_i − Φ_{i+1}) over the faces across one axis."""
    widths = grid.widths[axis]
    # The last face closes a ring and is left out at a wall.
    count = widths.size if grid.periodic[axis] and widths.size > 1 else widths.size - 1

    def faces(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = np.moveaxis(field, axis, -1)
        return moved[..., :count], np.roll(moved, -1, axis=-1)[..., :count]

    gap = (0.5 * (widths + np.roll(widths, -1)))[:count]
    area = np.moveaxis(np.asarray(grid.volumes), axis, -1)[..., :count] / widths[:count]
    low, high = faces(rho)
    jump = np.subtract(*faces(psi)[::-1])
    if tau == 0:
        return float((area / gap * 0.5 * (low + high) * jump**2).sum())
    one, other = faces(held)
    if bool((one != other).any()):
        return float("inf")
    s = np.clip(np.abs(jump) / tau, 1e-100, 700.0)
    weak = s / np.expm1(s)
    flux = tau * weak * (low - high) + np.where(jump > 0, -jump * high, -jump * low)
    drop = -jump - tau * np.subtract(*faces(log)[::-1])
    return float((area / gap * flux * drop).sum())
