r"""The upwind transport of a linearised minimising movement on a box of cells, and its linear systems.

A potential φ moves mass from cell K to a neighbour L at the rate :math:`c_{KL} = h\,a_{KL}(\varphi_K-\varphi_L)^+`, a
the face's area over the distance of the centres. With

.. math:: (N\rho)_K = m_K\rho_K + \sum_L (c_{KL}\rho_K - c_{LK}\rho_L), \qquad
          (L\varphi)_K = h\sum_L a_{KL}\,\rho_{up}\,(\varphi_K - \varphi_L)

the columns of N sum to the volumes m. No mass flows uphill: cells taken in falling order of φ make N triangular, and
Nρ = mρ₀ is solved in one sweep of sums of positive numbers.

Cells are flat, in C order. An axis has one face a cell, to the cell ``ahead``; behind the last one is a wall (a = 0,
``ahead`` the cell itself) or the first cell of a ring; ``behind`` is the other way round.
Source: Cancès, Gallouët & Todeschini, Numer. Math. 146 (2020) 437; the factor after Gustafsson, BIT 18
(1978) 142.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.jit import FUSED, jit

MODIFIED = 0.97
"""Share of the dropped fill that the incomplete factor keeps on its diagonal."""


@jit(fastmath=FUSED)
def rates(
    phi: np.ndarray, ahead: np.ndarray, faces: np.ndarray, h: float, c: np.ndarray, gain: np.ndarray
) -> None:
    """c (axes, n), signed: positive towards ``ahead``; ``gain`` = (h/2) Σ_L a ((φ_K − φ_L)⁺)², (n,)."""
    axes, n = ahead.shape
    for j in range(n):
        gain[j] = 0.0
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            fall = phi[j] - phi[i]
            flow = h * faces[k, j] * fall
            c[k, j] = flow
            work = 0.5 * flow * fall
            if fall > 0:
                gain[j] += work
            else:
                gain[i] += work


@jit(fastmath=FUSED)
def carry_down(
    order: np.ndarray,
    ahead: np.ndarray,
    behind: np.ndarray,
    c: np.ndarray,
    volumes: np.ndarray,
    start: np.ndarray,
    out: np.ndarray,
) -> None:
    """Solve N out = start, masses (n,) to densities; ``order`` has φ falling."""
    axes, n = ahead.shape
    for q in range(n):
        j = order[q]
        held, room = start[j], volumes[j]
        for k in range(axes):
            flow = c[k, j]
            if flow > 0:
                room += flow
            elif flow < 0:
                held -= flow * out[ahead[k, j]]
            i = behind[k, j]
            if i == j:
                continue
            flow = c[k, i]
            if flow < 0:
                room -= flow
            elif flow > 0:
                held += flow * out[i]
        out[j] = held / room


@jit(fastmath=FUSED)
def advect(
    x: np.ndarray, ahead: np.ndarray, c: np.ndarray, volumes: np.ndarray, out: np.ndarray
) -> None:
    """out = N x."""
    axes, n = ahead.shape
    for j in range(n):
        out[j] = volumes[j] * x[j]
    for k in range(axes):
        for j in range(n):
            i, flow = ahead[k, j], c[k, j]
            moved = max(flow, 0.0) * x[j] + min(flow, 0.0) * x[i]
            out[j] += moved
            out[i] -= moved


@jit(fastmath=FUSED)
def advect_back(
    x: np.ndarray, ahead: np.ndarray, c: np.ndarray, volumes: np.ndarray, out: np.ndarray
) -> None:
    """out = Nᵀ x."""
    axes, n = ahead.shape
    for j in range(n):
        out[j] = volumes[j] * x[j]
    for k in range(axes):
        for j in range(n):
            i, flow = ahead[k, j], c[k, j]
            fall = x[j] - x[i]
            out[j] += max(flow, 0.0) * fall
            out[i] += min(flow, 0.0) * fall


@jit(fastmath=FUSED)
def mobility(
    phi: np.ndarray,
    density: np.ndarray,
    ahead: np.ndarray,
    faces: np.ndarray,
    h: float,
    out: np.ndarray,
) -> None:
    """h a ρ_up of the faces (axes, n); the mean where φ is level."""
    axes, n = ahead.shape
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            fall = phi[j] - phi[i]
            up = density[j] if fall > 0 else density[i]
            if fall == 0:
                up = 0.5 * (density[j] + density[i])
            out[k, j] = h * faces[k, j] * up


@jit(fastmath=FUSED)
def schur(
    x: np.ndarray,
    ahead: np.ndarray,
    c: np.ndarray,
    volumes: np.ndarray,
    soft: np.ndarray,
    g: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
) -> None:
    """out = (N D Nᵀ + L) x with D = ``soft`` and the mobilities g of L."""
    axes, n = ahead.shape
    advect_back(x, ahead, c, volumes, scratch)
    for j in range(n):
        scratch[j] *= soft[j]
    advect(scratch, ahead, c, volumes, out)
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            flow = g[k, j] * (x[j] - x[i])
            out[j] += flow
            out[i] -= flow


@jit(fastmath=FUSED)
def factorise(
    ahead: np.ndarray,
    c: np.ndarray,
    volumes: np.ndarray,
    soft: np.ndarray,
    g: np.ndarray,
    off: np.ndarray,
    pivot: np.ndarray,
) -> None:
    """An incomplete factor of the part of N D Nᵀ + L between neighbours, with the same row sums.

    What couples cells two faces apart is positive and goes to the diagonal, so that the rest is an M-matrix.
    """
    axes, n = ahead.shape
    total = np.empty(n)  # the diagonal of N
    for j in range(n):
        total[j] = volumes[j]
        pivot[j] = soft[j] * volumes[j]
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            total[j] += max(c[k, j], 0.0)
            total[i] -= min(c[k, j], 0.0)
    advect(pivot.copy(), ahead, c, volumes, pivot)  # N D m, the row sums
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            tie = g[k, j] + max(c[k, j], 0.0) * total[j] * soft[j]
            tie -= min(c[k, j], 0.0) * total[i] * soft[i]
            if i == j:
                tie = 0.0
            pivot[j] += tie
            pivot[i] += tie
            # The face that closes a ring goes back in the order of elimination: left to the iteration.
            off[k, j] = tie if i > j else 0.0
    for j in range(n):
        row = 0.0
        for k in range(axes):
            row += off[k, j]
        per = 1.0 / pivot[j] if pivot[j] > 1e-300 else 0.0
        pivot[j] = per
        for k in range(axes):
            tie = off[k, j]
            pivot[ahead[k, j]] -= tie * per * (tie + MODIFIED * (row - tie))


@jit(fastmath=FUSED)
def resolve(
    r: np.ndarray, ahead: np.ndarray, off: np.ndarray, pivot: np.ndarray, out: np.ndarray
) -> None:
    """out = (incomplete factor)⁻¹ r; ``pivot`` holds reciprocals."""
    axes, n = ahead.shape
    for j in range(n):
        out[j] = r[j]
    for j in range(n):
        x = out[j] * pivot[j]
        out[j] = x
        for k in range(axes):
            out[ahead[k, j]] += off[k, j] * x
    for j in range(n - 1, -1, -1):
        x = 0.0
        for k in range(axes):
            x += off[k, j] * out[ahead[k, j]]
        out[j] += pivot[j] * x
