r"""The upwind transport of a linearised minimising movement on a box of cells, and its linear systems.

A potential φ moves mass from cell K to a neighbour L at the rate :math:`c_{KL} = h\,a_{KL}(\varphi_K-\varphi_L)^+`, a
the face's area over the distance of the centres. With

.. math:: (N\rho)_K = m_K\rho_K + \sum_L (c_{KL}\rho_K - c_{LK}\rho_L), \qquad
          (L\varphi)_K = h\sum_L a_{KL}\,\rho_{up}\,(\varphi_K - \varphi_L)

the columns of N sum to the volumes m. No mass flows uphill: cells taken in falling order of φ make N triangular, and
Nρ = mρ₀ is solved in one sweep of sums of positive numbers.

Source: Cancès, Gallouët & Todeschini, Numer. Math. 146 (2020) 437; the factor after Gustafsson, BIT 18
(1978) 142.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.kernels.jit import FUSED, jit
from wflow.kernels.vectors import dot

MODIFIED = 0.97
"""Share of the dropped fill that the incomplete factor keeps on its diagonal."""


class Box(NamedTuple):
    """Cells, flat in C order; an axis that moves has one face a cell, to the one ahead.

    Behind the last cell is a wall (a = 0, ``ahead`` the cell itself) or the first cell of a ring; ``behind`` is the
    other way round.
    """

    volumes: np.ndarray  # m (n,)
    ahead: np.ndarray  # (axes, n)
    behind: np.ndarray  # (axes, n)
    faces: np.ndarray  # area over the distance of the centres, (axes, n)


class Schur(NamedTuple):
    """S = N D Nᵀ + L and its incomplete factor."""

    c: np.ndarray  # the rates of N (axes, n)
    soft: np.ndarray  # D (n,)
    g: np.ndarray  # the mobilities of L (axes, n)
    off: np.ndarray  # (axes, n)
    pivot: np.ndarray  # reciprocals (n,)


@jit(fastmath=FUSED)
def rates(phi: np.ndarray, box: Box, h: float, c: np.ndarray, gain: np.ndarray) -> None:
    """c (axes, n), signed: positive towards ``ahead``; ``gain`` = (h/2) Σ_L a ((φ_K − φ_L)⁺)², (n,)."""
    ahead, faces = box.ahead, box.faces
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
    order: np.ndarray, box: Box, c: np.ndarray, start: np.ndarray, out: np.ndarray
) -> None:
    """Solve N out = start, masses (n,) to densities; ``order`` has φ falling."""
    volumes, ahead, behind, _ = box
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
def advect(x: np.ndarray, box: Box, c: np.ndarray, out: np.ndarray) -> None:
    """out = N x."""
    volumes, ahead = box.volumes, box.ahead
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
def advect_back(x: np.ndarray, box: Box, c: np.ndarray, out: np.ndarray) -> None:
    """out = Nᵀ x."""
    volumes, ahead = box.volumes, box.ahead
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
def mobility(phi: np.ndarray, density: np.ndarray, box: Box, h: float, out: np.ndarray) -> None:
    """h a ρ_up of the faces (axes, n); the mean where φ is level."""
    ahead, faces = box.ahead, box.faces
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
def product(x: np.ndarray, box: Box, system: Schur, scratch: np.ndarray, out: np.ndarray) -> None:
    """out = S x."""
    ahead, soft, g = box.ahead, system.soft, system.g
    axes, n = ahead.shape
    advect_back(x, box, system.c, scratch)
    for j in range(n):
        scratch[j] *= soft[j]
    advect(scratch, box, system.c, out)
    for k in range(axes):
        for j in range(n):
            i = ahead[k, j]
            flow = g[k, j] * (x[j] - x[i])
            out[j] += flow
            out[i] -= flow


@jit(fastmath=FUSED)
def factorise(box: Box, system: Schur) -> None:
    """An incomplete factor of the part of S between neighbours, with the same row sums.

    What couples cells two faces apart is positive and goes to the diagonal, so that the rest is an M-matrix.
    """
    volumes, ahead, _, _ = box
    c, soft, g, off, pivot = system
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
    advect(pivot.copy(), box, c, pivot)  # N D m, the row sums
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
def resolve(r: np.ndarray, box: Box, system: Schur, out: np.ndarray) -> None:
    """out = (incomplete factor)⁻¹ r."""
    ahead, off, pivot = box.ahead, system.off, system.pivot
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


@jit(fastmath=FUSED)
def solve(
    right: np.ndarray, box: Box, system: Schur, tolerance: float, most: int, x: np.ndarray
) -> None:
    """x = S⁻¹ right, by at most so many steps of conjugate gradients with the incomplete factor."""
    n = right.size
    r, z, image, scratch = right.copy(), np.empty(n), np.empty(n), np.empty(n)
    resolve(r, box, system, z)
    along, rz = z.copy(), dot(r, z)
    enough = tolerance**2 * rz
    for j in range(n):
        x[j] = 0.0
    for _ in range(most):
        if not rz > enough:
            break
        product(along, box, system, scratch, image)
        a = rz / dot(along, image)
        for j in range(n):
            x[j] += a * along[j]
            r[j] -= a * image[j]
        resolve(r, box, system, z)
        before = rz
        rz = dot(r, z)
        b = rz / before
        for j in range(n):
            along[j] = z[j] + b * along[j]
