r"""The matrix tiles of :mod:`wflow.kernels.tile` in float32, twice as many numbers to a register.

.. math:: C_{rv} = \sum_{l<L} A_{rl} B_{lv}, \qquad r < \text{ROWS},\quad v < \text{PANEL}

Sums of L terms are formed in registers in float32; ``multiply_into`` adds them to float64. Arrays are flat; bounds are
not checked. Without the JIT numpy does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from wflow.kernels import tile
from wflow.kernels.jit import instructions, jit

ROWS = 8 if tile.ROWS == 8 else 6
"""Accumulators of 12 registers of 16, or 16 of 32: enough that none waits for itself."""
PANEL = 2 * tile.PANEL
_VECTORS, _LANES = 2, tile.PANEL

_SINGLE, _DOUBLE = types.Array(types.float32, 1, "C"), types.Array(types.float64, 1, "C")
_N = types.intp
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, _LANES)


@jit
def on_line(size: int) -> np.ndarray:
    """A float32 vector of any numbers that begins with a cache line."""
    room = np.empty(size + 16, np.float32)
    first = (-room.ctypes.data % 64) // 4
    return room[first : first + size]


def _at(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [start])


def _vector(builder: Any, pointer: Any, offset: Any, vector: Any = _VECTOR) -> Any:
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _fused(builder: Any) -> Any:
    insert: Any = cgutils.get_or_insert_function
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return insert(builder.module, kind, f"llvm.fmuladd.v{_LANES}f32")


def _spread(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(
        ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), everywhere)


def _emit(
    builder: Any,
    rows: int,
    operands: tuple[Any, Any, Any, Any, Any],
    length: Any,
    start: list[list[Any]],
) -> list[list[Any]]:
    """The loop over l with rows times PANEL accumulators; what they are at its end."""
    a, a_row, a_inner, b, b_inner = operands
    index, fma = length.type, _fused(builder)
    a_rows = [builder.gep(a, [builder.mul(a_row, ir.Constant(index, r))]) for r in range(rows)]
    before = builder.block
    head, body, done = (builder.append_basic_block(f"single.{k}") for k in ("head", "body", "done"))
    builder.branch(head)

    builder.position_at_end(head)
    counter = builder.phi(index)
    counter.add_incoming(ir.Constant(index, 0), before)
    total = [[builder.phi(_VECTOR) for _ in range(_VECTORS)] for _ in range(rows)]
    for phis, values in zip(total, start, strict=True):
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", counter, length), body, done)

    builder.position_at_end(body)
    b_here = builder.gep(b, [builder.mul(counter, b_inner)])
    b_vectors = [
        builder.load(_vector(builder, b_here, ir.Constant(index, v * _LANES)), align=4)
        for v in range(_VECTORS)
    ]
    step = builder.mul(counter, a_inner)
    for r in range(rows):
        scalar = _spread(builder, builder.load(builder.gep(a_rows[r], [step]), align=4))
        for v in range(_VECTORS):
            new = builder.call(fma, [scalar, b_vectors[v], total[r][v]])
            total[r][v].add_incoming(new, body)
    counter.add_incoming(builder.add(counter, ir.Constant(index, 1)), body)
    builder.branch(head)
    builder.position_at_end(done)
    return total


def _view(
    x: np.ndarray, start: int, shape: tuple[int, int], row: int, column: int = 1
) -> np.ndarray:
    size = x.itemsize
    return np.lib.stride_tricks.as_strided(x[start:], shape, (size * row, size * column))


def _product(rows: int, into: str) -> Any:
    """C[start + r row + v] = sum_l A[start + r row + l inner] B[start + l inner + v] of one tile, or += it.

    ``into`` says what C is: "new", "single" (sums go on in float32) or "double" (they are added in float64).
    Arguments: C, its start and row stride; A, its start, row stride and inner stride; B, its start and inner stride;
    the number of terms.
    """
    kind = _DOUBLE if into == "double" else _SINGLE

    def plain(
        c: np.ndarray, c_start: int, c_row: int, a: np.ndarray, a_start: int, a_row: int, a_inner: int,
        b: np.ndarray, b_start: int, b_inner: int, length: int,
    ) -> None:  # fmt: skip
        there = _view(c, c_start, (rows, PANEL), c_row)
        left = _view(a, a_start, (rows, length), a_row, a_inner)
        product = left @ _view(b, b_start, (length, PANEL), b_inner)
        there[...] = product if into == "new" else there + product

    @instructions(plain)
    def typed(
        _context: Any, c: Any, c_start: Any, c_row: Any, a: Any, a_start: Any, a_row: Any, a_inner: Any,
        b: Any, b_start: Any, b_inner: Any, length: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(kind, _N, _N, _SINGLE, _N, _N, _N, _SINGLE, _N, _N, _N)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, c_start, c_row, a, a_start, a_row, a_inner, b, b_start, b_inner, length = args
            index = length.type
            left = _at(context, builder, _SINGLE, a, a_start)
            right = _at(context, builder, _SINGLE, b, b_start)
            to = _at(context, builder, kind, c, c_start)
            to_rows = [
                builder.gep(to, [builder.mul(c_row, ir.Constant(index, r))]) for r in range(rows)
            ]
            lanes = [ir.Constant(index, v * _LANES) for v in range(_VECTORS)]
            if into == "single":
                start = [
                    [builder.load(_vector(builder, p, v), align=4) for v in lanes] for p in to_rows
                ]
            else:
                zero = ir.Constant(_VECTOR, [ir.Constant(_FLOAT, 0.0)] * _LANES)
                start = [[zero] * _VECTORS] * rows
            operands = (left, a_row, a_inner, right, b_inner)
            total = _emit(builder, rows, operands, length, start)
            wide = ir.VectorType(ir.DoubleType(), _LANES)
            for pointer, sums in zip(to_rows, total, strict=True):
                for v, found in zip(lanes, sums, strict=True):
                    if into == "double":
                        there = _vector(builder, pointer, v, wide)
                        old = builder.load(there, align=8)
                        builder.store(builder.fadd(old, builder.fpext(found, wide)), there, align=8)
                    else:
                        builder.store(found, _vector(builder, pointer, v), align=4)
            return context.get_dummy_value()

        return signature, codegen

    return typed


multiply = _product(ROWS, "new")
multiply_add = _product(ROWS, "single")
multiply_into = _product(ROWS, "double")
multiply_row_into = _product(1, "double")


def _weighted(
    total: np.ndarray, weights: np.ndarray, at: int, value: np.ndarray, count: int
) -> None:
    rows = _view(value, 0, (count, PANEL), PANEL)
    _view(total, 0, (count, PANEL), PANEL)[...] += weights[at : at + PANEL] * rows


@instructions(_weighted)
def add_weighted(_context: Any, total: Any, weights: Any, at: Any, value: Any, count: Any) -> Any:
    """total[k PANEL + v] += weights[at + v] value[k PANEL + v] for k < count."""
    signature = types.void(_SINGLE, _SINGLE, _N, _SINGLE, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, weights, at, value, count = args
        index, fma = count.type, _fused(builder)
        zero = ir.Constant(index, 0)
        to, source = (_at(context, builder, _SINGLE, x, zero) for x in (total, value))
        e = _at(context, builder, _SINGLE, weights, at)
        lanes = [ir.Constant(index, v * _LANES) for v in range(_VECTORS)]
        parts = [builder.load(_vector(builder, e, v), align=4) for v in lanes]
        with cgutils.for_range(builder, count) as loop:
            row = builder.mul(loop.index, ir.Constant(index, PANEL))
            for part, v in zip(parts, lanes, strict=True):
                here = builder.add(row, v)
                there = _vector(builder, to, here)
                new = builder.load(_vector(builder, source, here), align=4)
                old = builder.load(there, align=4)
                builder.store(builder.call(fma, [part, new, old]), there, align=4)
        return context.get_dummy_value()

    return signature, codegen
