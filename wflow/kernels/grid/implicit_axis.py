r"""An implicit step of drift and diffusion along one axis, in one pass: rates, Patankar weights, elimination.

.. math:: (I - hA)\,\mu' = \mu, \quad \mu = w\rho, \qquad
          k = \frac{\xi}{\delta w}\,D\,B(\pm s), \quad s = \frac{\Psi_{i+1}-\Psi_i}{D}, \qquad
          \bar k = \frac{k_0\rho_0 + k_1\rho_1}{2\sigma}

with k of one potential (:func:`implicit_step`), or k̄ of two ends and a weight σ (:func:`patankar_step`). Lines go side
by side, one a lane of the vectors, whichever axis they lie along: a tile of each is copied to where the cache has it,
lines of the last axis are turned there, and nothing but ρ' is written. The elimination is that of ``tridiagonal``,
the twin array by array, which does the work where there are only a few lines.

A block of lines is worked on by the same operations whoever takes it: threads change no bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.kernels.grid.axes import GAP, HALF, PER_WIDTH
from wflow.kernels.grid.drift_diffusion import SMALLEST
from wflow.kernels.grid.lines import (
    LINES,
    TILE,
    eliminate,
    eliminate_ring,
    gather,
    open_ring,
    scatter,
    substitute,
)
from wflow.kernels.jit import FUSED, jit
from wflow.kernels.memory import kept_room
from wflow.kernels.parallel import over_slabs
from wflow.kernels.scalars import exponential_and_less_one

FEWEST = 16
"""Below this many lines most lanes would be empty."""


class End(NamedTuple):
    """One end of a step: its density, its potential, and the speed there; boxes (n0, n1, n2)."""

    density: np.ndarray
    potential: np.ndarray
    speed: float


def implicit_step(
    density: np.ndarray,
    potential: np.ndarray,
    along: int,
    geometry: np.ndarray,
    periodic: bool,
    law: tuple[float, float],
    h: float,
    out: np.ndarray,
) -> None:
    """Backward Euler along one axis of a box, from the cell averages ``density`` to ``out``; ``law`` is (D, ξ)."""
    diffusion, speed = law
    given = density, density, density, density, potential, potential
    _over_lines(given, along, geometry, periodic, (diffusion, speed, speed, h), False, out)


def patankar_step(
    density: np.ndarray,
    ends: tuple[End, End],
    weight: np.ndarray,
    along: int,
    geometry: np.ndarray,
    periodic: bool,
    diffusion: float,
    h: float,
    out: np.ndarray,
) -> None:
    """The same with rates that, times a mass near ``weight``, give the mean of both ends' fluxes.

    Where the weight is 0 they are the mean of both ends' rates.
    """
    old, new = ends
    given = density, old.density, new.density, weight, old.potential, new.potential
    _over_lines(given, along, geometry, periodic, (diffusion, old.speed, new.speed, h), True, out)


def _over_lines(
    given: tuple[np.ndarray, ...],
    along: int,
    geometry: np.ndarray,
    periodic: bool,
    law: tuple[float, float, float, float],
    weighted: bool,
    out: np.ndarray,
) -> None:
    shape = out.shape
    n = shape[along]
    inner = int(np.prod(shape[along + 1 :]))
    outer = out.size // (n * inner)
    # Lines of a group lie ``across`` apart, and cells of a line ``step``.
    groups, group, step, across = (outer, inner, inner, 1) if inner > 1 else (1, outer, 1, n)
    blocks = -(-group // LINES)
    d, speed0, speed1, h = map(float, law)
    numbers = (d if d > SMALLEST else 0.0, speed0 * h, speed1 * h)
    # What stands for two things is read once: the start along the first axis, the predicted end along the last.
    at = [x.ctypes.data for x in given]
    same = at[0] == at[1], at[3] == at[2]
    flat, to = tuple(x.reshape(-1) for x in given), out.reshape(-1)
    shapes = (
        ((TILE + 1, LINES),) * 7 + ((TILE, LINES),) * 4 + ((n, LINES),) * 3 + ((6, LINES), (LINES,))
    )

    def run(first: int, last: int) -> None:
        room = kept_room(shapes)
        layout = (n, blocks, group, step, across, n * inner)
        _blocks(flat, geometry, periodic, numbers, weighted, same, layout, first, last, to, room)

    over_slabs(run, groups * blocks, n * min(LINES, group))


@jit(fastmath=FUSED, apart=True)
def _blocks(
    given: tuple[np.ndarray, ...],
    axis: np.ndarray,
    periodic: bool,
    law: tuple[float, float, float],
    weighted: bool,
    same: tuple[bool, bool],
    layout: tuple[int, ...],
    first: int,
    last: int,
    out: np.ndarray,
    room: tuple[np.ndarray, ...],
) -> None:
    """The blocks of lines first ≤ b < last."""
    density, density0, density1, weight, potential0, potential1 = given
    (
        mass,
        one,
        two,
        share0,
        share1,
        level0,
        level1,
        jump,
        spread,
        up,
        down,
        lines,
        leak,
        tie,
        state,
        steepest,
    ) = room
    n, blocks, group, step, across, stride = layout
    diffusion, speed0, speed1 = law
    for b in range(first, last):
        start = b % blocks * LINES
        base, m = b // blocks * stride + start * across, min(LINES, group - start)
        place = (base, step, across, m, n)
        # A ring is opened at its last face, whose rates are needed first.
        for chunk in range(-1 if periodic else 0, (n - 1 + TILE - 1) // TILE):
            face = n - 1 if chunk < 0 else chunk * TILE
            count = 1 if chunk < 0 else min(TILE, n - 1 - face)
            source = one
            if not same[0]:
                gather(density, place, face, count + 1, level0)
                source = level0
            else:
                gather(density0, place, face, count + 1, one)
            _times_widths(source, mass, axis, face, count, n)
            gather(potential1, place, face, count + 1, level1)
            _spreads(level1, diffusion, count, jump, spread, steepest)
            if not weighted:
                _plain(jump, spread, up, down, axis, face, count, n, speed1)
            else:
                if not same[0]:
                    gather(density0, place, face, count + 1, one)
                gather(density1, place, face, count + 1, two)
                per = two
                if not same[1]:
                    gather(weight, place, face, count + 1, level0)
                    per = level0
                _shares(one, two, per, speed0, speed1, count, share0, share1)
                _half(jump, spread, share1, up, down, count)
                gather(potential0, place, face, count + 1, level0)
                _spreads(level0, diffusion, count, jump, spread, steepest)
                _whole(jump, spread, share0, up, down, axis, face, count, n)
            if chunk < 0:
                open_ring(mass, up, down, state)
            else:
                if chunk == 0:
                    for k in range(LINES):
                        state[0, k] = 1.0
                        state[1, k] = mass[0, k]
                if periodic:
                    eliminate_ring(mass, up, down, face, count, lines, leak, tie, state)
                else:
                    eliminate(mass, up, down, face, count, lines, leak, state)
        substitute(periodic, n, lines, leak, tie, state)
        scatter(lines, axis, place, out)


@jit(fastmath=FUSED, apart=True)
def _spreads(
    level: np.ndarray,
    diffusion: float,
    count: int,
    jump: np.ndarray,
    spread: np.ndarray,
    steepest: np.ndarray,
) -> None:
    """The jumps of Ψ through ``count`` faces of every line and D B(|s|), by the polynomial of ``spreads`` up to 1."""
    per_diffusion = 1.0 / diffusion if diffusion > 0.0 else 0.0
    for k in range(LINES):
        steepest[k] = 0.0
    for c in range(count):
        for k in range(LINES):
            rise = level[c + 1, k] - level[c, k]
            s = abs(rise) * per_diffusion
            jump[c, k] = rise
            steepest[k] = s if s > steepest[k] else steepest[k]
            q = s * s
            p = -3.0659722541194154e-13
            p = p * q + 1.3330961991201414e-11
            p = p * q - 5.283757898636377e-10
            p = p * q + 2.087673683638037e-08
            p = p * q - 8.267195716069155e-07
            p = p * q + 3.3068783068145235e-05
            p = p * q - 0.0013888888888888586
            p = p * q + 0.08333333333333333
            spread[c, k] = diffusion * ((1.0 - 0.5 * s) + p * q)
    wild = False
    for k in range(LINES):
        wild |= steepest[k] > 1.0
    if not wild:
        return
    for c in range(count):
        for k in range(LINES):
            steep = abs(jump[c, k]) * per_diffusion
            s = max(min(steep, 750.0), 1e-100)
            e, less = exponential_and_less_one(-s)
            # What the polynomial holds for stays, whatever the cells beside it are.
            spread[c, k] = spread[c, k] if steep <= 1.0 else diffusion * (s * e / -less)


@jit(fastmath=FUSED, apart=True)
def _shares(
    one: np.ndarray,
    two: np.ndarray,
    weight: np.ndarray,
    speed0: float,
    speed1: float,
    count: int,
    share0: np.ndarray,
    share1: np.ndarray,
) -> None:
    """½ρ₀/σ and ½ρ₁/σ of the cells beside ``count`` faces, with their speeds; ½ each where σ is 0."""
    for c in range(count + 1):
        for k in range(LINES):
            full = weight[c, k] > 1e-290
            share = 0.5 / (weight[c, k] if full else 1.0)
            share0[c, k] = speed0 * share * (one[c, k] if full else 1.0)
            share1[c, k] = speed1 * share * (two[c, k] if full else 1.0)


@jit(fastmath=FUSED, apart=True)
def _times_widths(
    source: np.ndarray, mass: np.ndarray, axis: np.ndarray, face: int, count: int, n: int
) -> None:
    """μ = wρ."""
    for c in range(count + 1):
        i = face + c if face + c < n else 0
        width = 2.0 * axis[HALF, i + 1]
        for k in range(LINES):
            mass[c, k] = width * source[c, k]


@jit(fastmath=FUSED, apart=True)
def _plain(
    jump: np.ndarray,
    spread: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    axis: np.ndarray,
    face: int,
    count: int,
    n: int,
    speed: float,
) -> None:
    """hk of one potential."""
    for c in range(count):
        i, j = face + c, face + c + 1 if face + c + 1 < n else 0
        scale_up = speed * axis[GAP, i + 2] * axis[PER_WIDTH, i]
        scale_down = speed * axis[GAP, i + 2] * axis[PER_WIDTH, j]
        for k in range(LINES):
            up[c, k] = scale_up * (max(-jump[c, k], 0.0) + spread[c, k])
            down[c, k] = scale_down * (max(jump[c, k], 0.0) + spread[c, k])


@jit(fastmath=FUSED, apart=True)
def _half(
    jump: np.ndarray,
    spread: np.ndarray,
    share: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    count: int,
) -> None:
    """The new end's part of hk̄, without the cells' widths."""
    for c in range(count):
        for k in range(LINES):
            up[c, k] = share[c, k] * (max(-jump[c, k], 0.0) + spread[c, k])
            down[c, k] = share[c + 1, k] * (max(jump[c, k], 0.0) + spread[c, k])


@jit(fastmath=FUSED, apart=True)
def _whole(
    jump: np.ndarray,
    spread: np.ndarray,
    share: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    axis: np.ndarray,
    face: int,
    count: int,
    n: int,
) -> None:
    """The old end's part added to it, and the widths."""
    for c in range(count):
        i, j = face + c, face + c + 1 if face + c + 1 < n else 0
        scale_up = axis[GAP, i + 2] * axis[PER_WIDTH, i]
        scale_down = axis[GAP, i + 2] * axis[PER_WIDTH, j]
        for k in range(LINES):
            before = share[c, k] * (max(-jump[c, k], 0.0) + spread[c, k])
            after = share[c + 1, k] * (max(jump[c, k], 0.0) + spread[c, k])
            up[c, k] = scale_up * (up[c, k] + before)
            down[c, k] = scale_down * (down[c, k] + after)
