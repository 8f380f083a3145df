r"""Implicit exchange of mass between neighbouring cells, many lines at once.

A jump process on a line has rates :math:`k^+_i` (cell i to i+1) and :math:`k^-_i` (cell i+1 to i). The implicit step
:math:`(I - hA)m = m_{old}` is an M-matrix whose columns sum to one: its solution is positive and keeps mass for every
h. States are eliminated one by one; the pivot is kept as (what stays) + (what flows on), a sum of positive numbers, so
nothing cancels and positivity is exact. A ring ties every state to the last one as well.
Source: Grassmann, Taksar & Heyman, Oper. Res. 33 (1985) 1107.

Lines lie along the middle axis of arrays (outer, n, inner), so that the loops run over contiguous neighbours.
Face i lies between cells i and i+1; face n−1 closes the ring and has rate 0 at a wall.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.kernels.grid.axes import GAP, PER_WIDTH
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.parallel import over_slabs
from wflow.kernels.scalars import exponential_and_less_one

COLUMNS = 128
"""Lines solved together: their pivots stay in the cache."""
Part = tuple[int, int, int, int]
"""First and last of the outer and of the inner axis."""


def scharfetter_gummel_rates(
    potential: np.ndarray,
    axis: np.ndarray,
    periodic: bool,
    diffusion: float,
    speed: float,
    up: np.ndarray,
    down: np.ndarray,
) -> None:
    r"""Rates of :math:`J = (D/\delta)[B(s)\rho_i - B(-s)\rho_{i+1}]`, s = ΔΨ/D, B(s) = s/(e^s − 1), along lines.

    For D → 0 these are the first-order upwind rates, reached without overflow. ``axis`` is an ``axis_geometry``.
    """
    _over_lines(
        potential.shape,
        lambda part: _rates(potential, axis, periodic, diffusion, speed, part, up, down),
    )


def exchange(
    mass: np.ndarray, up: np.ndarray, down: np.ndarray, periodic: bool, h: float, out: np.ndarray
) -> None:
    """Solve (I − hA) out = mass along lines, walls or rings."""
    solve = _ring if periodic else _line
    _over_lines(mass.shape, lambda part: solve(mass, up, down, h, part, out))


def patankar(
    rate0: np.ndarray,
    rate1: np.ndarray,
    mass0: np.ndarray,
    mass1: np.ndarray,
    weight: np.ndarray,
    shift: int,
    out: np.ndarray,
) -> None:
    """½(k₀m₀ + k₁m₁)/weight at the cell a face draws from, i + ``shift``; where the weight is 0, ½(k₀ + k₁)."""
    _over_lines(
        rate0.shape,
        lambda part: _weighted(rate0, rate1, mass0, mass1, weight, shift, part, out),
    )


def _over_lines(shape: tuple[int, int, int], run: Callable[[Part], None]) -> None:
    """Call ``run`` for parts of the lines (outer, n, inner), side by side."""
    outer, n, inner = shape
    if outer > 1:
        over_slabs(lambda first, last: run((first, last, 0, inner)), outer, n * inner)
    else:
        over_slabs(lambda first, last: run((0, 1, first, last)), inner, n)


@jit(fastmath=FUSED, apart=True)
def _rates(
    potential: np.ndarray,
    axis: np.ndarray,
    periodic: bool,
    diffusion: float,
    speed: float,
    part: Part,
    up: np.ndarray,
    down: np.ndarray,
) -> None:
    n = potential.shape[1]
    o0, o1, c0, c1 = part
    per_gap, per_width = axis[GAP], axis[PER_WIDTH]
    # Where D is so small that it is lost beside any ΔΨ, the rates are upwind.
    noisy = diffusion > 1e-290
    per_diffusion = 1.0 / diffusion if noisy else 0.0
    for o in range(o0, o1):
        for i in range(n):
            j = i + 1 if i + 1 < n else 0
            if j == 0 and not periodic:
                for c in range(c0, c1):
                    up[o, i, c] = down[o, i, c] = 0.0
                continue
            scale_up = speed * per_gap[i + 2] * per_width[i]
            scale_down = speed * per_gap[i + 2] * per_width[j]
            low, high = potential[o, i], potential[o, j]
            ups, downs = up[o, i], down[o, i]
            if noisy:
                for c in range(c0, c1):
                    jump = high[c] - low[c]
                    # B(|s|) = |s|/(e^{|s|} − 1) = |s|e^{−|s|}/(1 − e^{−|s|}) and B(−|s|) = B(|s|) + |s|.
                    s = max(min(abs(jump) * per_diffusion, 750.0), 1e-100)
                    e, less = exponential_and_less_one(-s)
                    spread = diffusion * (s * e / -less)
                    ups[c] = scale_up * (max(-jump, 0.0) + spread)
                    downs[c] = scale_down * (max(jump, 0.0) + spread)
            else:
                for c in range(c0, c1):
                    jump = high[c] - low[c]
                    ups[c] = scale_up * max(-jump, 0.0)
                    downs[c] = scale_down * max(jump, 0.0)


@jit(fastmath=FUSED, apart=True)
def _line(
    mass: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    h: float,
    part: Part,
    out: np.ndarray,
) -> None:
    n = mass.shape[1]
    o0, o1, c0, c1 = part
    leak = np.empty((n, COLUMNS))
    stays, carried = np.empty(COLUMNS), np.empty(COLUMNS)
    for o in range(o0, o1):
        for start in range(c0, c1, COLUMNS):
            m = min(COLUMNS, c1 - start)
            for c in range(m):
                stays[c] = 1.0
                carried[c] = mass[o, 0, start + c]
            for i in range(n - 1):
                now, then = out[o, i, start : start + m], mass[o, i + 1, start : start + m]
                ups, downs = up[o, i, start : start + m], down[o, i, start : start + m]
                leaks = leak[i]
                for c in range(m):
                    ahead, back = h * ups[c], h * downs[c]
                    per_pivot = 1.0 / (stays[c] + ahead)
                    settled = carried[c] * per_pivot
                    now[c] = settled
                    leaks[c] = back * per_pivot
                    carried[c] = then[c] + ahead * settled
                    stays[c] = 1.0 + back * (stays[c] * per_pivot)
            last = out[o, n - 1, start : start + m]
            for c in range(m):
                last[c] = carried[c] / stays[c]
            for i in range(n - 2, -1, -1):
                now, then = out[o, i, start : start + m], out[o, i + 1, start : start + m]
                leaks = leak[i]
                for c in range(m):
                    now[c] += leaks[c] * then[c]


@jit(fastmath=FUSED, apart=True)
def _ring(
    mass: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    h: float,
    part: Part,
    out: np.ndarray,
) -> None:
    n = mass.shape[1]
    o0, o1, c0, c1 = part
    leak, tie = np.zeros((n, COLUMNS)), np.zeros((n, COLUMNS))
    stays, carried = np.empty(COLUMNS), np.empty(COLUMNS)
    to_last, from_last = np.empty(COLUMNS), np.empty(COLUMNS)
    last_stays, last_carried = np.empty(COLUMNS), np.empty(COLUMNS)
    for o in range(o0, o1):
        for start in range(c0, c1, COLUMNS):
            m = min(COLUMNS, c1 - start)
            for c in range(m):
                stays[c] = last_stays[c] = 1.0
                carried[c] = mass[o, 0, start + c]
                last_carried[c] = mass[o, n - 1, start + c]
                to_last[c] = h * down[o, n - 1, start + c]
                from_last[c] = h * up[o, n - 1, start + c]
            for i in range(n - 1):
                now, then = out[o, i, start : start + m], mass[o, i + 1, start : start + m]
                ups, downs = up[o, i, start : start + m], down[o, i, start : start + m]
                leaks, ties = leak[i], tie[i]
                # The last but one state has both its neighbours in the last.
                apart = 1.0 if i < n - 2 else 0.0
                for c in range(m):
                    ahead, back = h * ups[c], h * downs[c]
                    away, home = to_last[c], from_last[c]
                    per_pivot = 1.0 / (stays[c] + ahead + away)
                    settled = carried[c] * per_pivot
                    now[c] = settled
                    leaks[c] = apart * back * per_pivot
                    tied = home + (1.0 - apart) * back
                    ties[c] = tied * per_pivot
                    last_stays[c] += tied * (stays[c] * per_pivot)
                    last_carried[c] += (away + (1.0 - apart) * ahead) * settled
                    carried[c] = then[c] + ahead * settled
                    stays[c] = 1.0 + back * (stays[c] * per_pivot)
                    to_last[c] = back * (away * per_pivot)
                    from_last[c] = home * (ahead * per_pivot)
            last = out[o, n - 1, start : start + m]
            for c in range(m):
                last[c] = last_carried[c] / last_stays[c]
            for i in range(n - 2, -1, -1):
                now, then = out[o, i, start : start + m], out[o, i + 1, start : start + m]
                leaks, ties = leak[i], tie[i]
                for c in range(m):
                    now[c] += leaks[c] * then[c] + ties[c] * last[c]


@jit(fastmath=FUSED, apart=True)
def _weighted(
    rate0: np.ndarray,
    rate1: np.ndarray,
    mass0: np.ndarray,
    mass1: np.ndarray,
    weight: np.ndarray,
    shift: int,
    part: Part,
    out: np.ndarray,
) -> None:
    n = rate0.shape[1]
    o0, o1, c0, c1 = part
    for o in range(o0, o1):
        for i in range(n):
            j = i + shift if i + shift < n else 0
            k0, k1, to = rate0[o, i], rate1[o, i], out[o, i]
            m0, m1, w = mass0[o, j], mass1[o, j], weight[o, j]
            for c in range(c0, c1):
                full = w[c] > 1e-290
                per = 0.5 / (w[c] if full else 1.0)
                mean = (k0[c] * m0[c] + k1[c] * m1[c]) * per
                to[c] = mean if full else 0.5 * (k0[c] + k1[c])
