r"""Small matrix products that keep their result in vector registers, and what else steps on such tiles.

.. math:: C_{rv} \mathrel{+}= \sum_{l<L} A_{rl} B_{lv}, \qquad r < \text{ROWS},\quad v < \text{PANEL}

Stochastic gradient descent by blocks and layers of neurons multiply thin matrices (8 to 64 samples, 40 inputs). There
a BLAS call loses a third of its speed to packing, and it starts threads of its own inside ours. The loops that numba
would vectorise use half of a 512-bit register at most, and loops over PANEL numbers inside loops over rows it leaves
half vectorised. So the inner loop is written as vector instructions, and the arrays are laid out for it: neurons in
panels of PANEL, so that B is read in order.

Arrays are flat; bounds are not checked. Without the JIT numpy does the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from wflow.kernels.jit import instructions, jit


def _tile_shape() -> tuple[int, int, int]:
    """Rows, vectors and lanes: what fits the registers, 32 of 8 numbers or 16 of 4 (or 32 of 2)."""
    if binding.get_host_cpu_features().get("avx512f"):
        return 8, 2, 8
    return 4, 2, 4


ROWS, _VECTORS, _LANES = _tile_shape()
PANEL = _VECTORS * _LANES
"""Columns of a tile: neurons, in blocked gradient descent."""

_FLAT = types.Array(types.float64, 1, "C")
_N = types.intp


@jit
def on_line(size: int) -> np.ndarray:
    """A vector of any numbers that begins with a cache line; numba's own begin in the middle of one half the time."""
    room = np.empty(size + 8)
    first = (-room.ctypes.data % 64) // 8
    return room[first : first + size]


def _pointer(context: Any, builder: Any, array: Any, start: Any) -> Any:
    view = context.make_array(_FLAT)(context, builder, array)
    return builder.gep(view.data, [start])


def _vector_at(builder: Any, pointer: Any, offset: Any, lanes: int = _LANES) -> Any:
    vector = ir.VectorType(ir.DoubleType(), lanes)
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _fused(builder: Any, lanes: int = _LANES) -> Any:
    """a b + c of vectors: one instruction where the processor has it, two elsewhere."""
    vector = ir.VectorType(ir.DoubleType(), lanes)
    kind = ir.FunctionType(vector, [vector] * 3)
    insert: Any = cgutils.get_or_insert_function
    return insert(builder.module, kind, f"llvm.fmuladd.v{lanes}f64")


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    """A number in all lanes of a vector."""
    undefined = ir.Constant(ir.VectorType(ir.DoubleType(), lanes), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, undefined, everywhere)


def _emit(
    builder: Any,
    rows: int,
    pointers: tuple[Any, Any, Any],
    strides: tuple[Any, Any, Any, Any],
    length: Any,
    base: Any,
    columns: int = PANEL,
    terms: Any = None,
) -> None:
    """The loop over l with accumulators for rows times columns, as LLVM instructions.

    They start from C itself, from zero (base "zero"), or all rows from the one that the pointer base names. The last
    vector is half as wide as the others where the columns end in it. The pointer ``terms`` names the l to be taken.
    """
    c, a, b = pointers
    c_row, a_row, a_inner, b_inner = strides
    index = length.type
    widths = [_LANES] * (columns // _LANES) + [_LANES // 2] * (columns % _LANES > 0)
    kinds = {lanes: ir.VectorType(ir.DoubleType(), lanes) for lanes in set(widths)}
    fma = {lanes: _fused(builder, lanes) for lanes in kinds}

    def at(pointer: Any, offset: Any) -> Any:
        return builder.gep(pointer, [offset])

    def vector_at(pointer: Any, v: int) -> Any:
        return _vector_at(builder, pointer, ir.Constant(index, v * _LANES), widths[v])

    c_rows = [at(c, builder.mul(c_row, ir.Constant(index, r))) for r in range(rows)]
    a_offsets = [builder.mul(a_row, ir.Constant(index, r)) for r in range(rows)]
    if base == "zero":
        zero = ir.Constant(ir.DoubleType(), 0.0)
        start = [[ir.Constant(kinds[lanes], [zero] * lanes) for lanes in widths]] * rows
    else:
        start = [
            [builder.load(vector_at(base or p, v), align=8) for v in range(len(widths))]
            for p in c_rows
        ]
    before = builder.block
    head = builder.append_basic_block("tile.head")
    body = builder.append_basic_block("tile.body")
    done = builder.append_basic_block("tile.done")
    builder.branch(head)

    builder.position_at_end(head)
    counter = builder.phi(index)
    counter.add_incoming(ir.Constant(index, 0), before)
    total = [[builder.phi(kinds[lanes]) for lanes in widths] for _ in range(rows)]
    for r in range(rows):
        for v in range(len(widths)):
            total[r][v].add_incoming(start[r][v], before)
    builder.cbranch(builder.icmp_signed("<", counter, length), body, done)

    builder.position_at_end(body)
    term = counter if terms is None else builder.load(at(terms, counter))
    b_here = at(b, builder.mul(term, b_inner))
    b_vectors = [builder.load(vector_at(b_here, v), align=8) for v in range(len(widths))]
    a_here = at(a, builder.mul(term, a_inner))
    for r in range(rows):
        scalar = builder.load(at(a_here, a_offsets[r]), align=8)
        spreads = {lanes: _spread(builder, scalar, lanes) for lanes in kinds}
        for v, lanes in enumerate(widths):
            new = builder.call(fma[lanes], [spreads[lanes], b_vectors[v], total[r][v]])
            total[r][v].add_incoming(new, body)
    counter.add_incoming(builder.add(counter, ir.Constant(index, 1)), body)
    builder.branch(head)

    builder.position_at_end(done)
    for r in range(rows):
        for v in range(len(widths)):
            builder.store(total[r][v], vector_at(c_rows[r], v), align=8)


def _view(
    x: np.ndarray, start: int, rows: int, row: int, columns: int = PANEL, column: int = 1
) -> np.ndarray:
    """A matrix inside a flat array, by its strides."""
    return np.lib.stride_tricks.as_strided(x[start:], (rows, columns), (8 * row, 8 * column))


def _product(rows: int, base: str | None, columns: int = PANEL) -> Any:
    """C[start + r row + v] = or += sum_l A[start + r row + l inner] B[start + l inner + v] of one tile.

    Arguments: C, its start and row stride; A, its start, row stride and inner stride; B, its start and inner stride;
    the number of terms.
    """

    def plain(
        c: np.ndarray, c_start: int, c_row: int, a: np.ndarray, a_start: int, a_row: int, a_inner: int,
        b: np.ndarray, b_start: int, b_inner: int, length: int,
    ) -> None:  # fmt: skip
        tile = _view(c, c_start, rows, c_row, columns)
        a_tile = _view(a, a_start, rows, a_row, length, a_inner)
        tile[...] = (0.0 if base else tile) + a_tile @ _view(b, b_start, length, b_inner, columns)

    @instructions(plain)
    def typed(
        _context: Any, c: Any, c_start: Any, c_row: Any, a: Any, a_start: Any, a_row: Any, a_inner: Any,
        b: Any, b_start: Any, b_inner: Any, length: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(_FLAT, _N, _N, _FLAT, _N, _N, _N, _FLAT, _N, _N, _N)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, c_start, c_row, a, a_start, a_row, a_inner, b, b_start, b_inner, length = args
            starts = ((c, c_start), (a, a_start), (b, b_start))
            pointers = tuple(_pointer(context, builder, *p) for p in starts)
            _emit(builder, rows, pointers, (c_row, a_row, a_inner, b_inner), length, base, columns)
            return context.get_dummy_value()

        return signature, codegen

    return typed


multiply = _product(ROWS, "zero")
multiply_add = _product(ROWS, None)
multiply_add_half = _product(ROWS // 2, None)
multiply_add_quarter = _product(ROWS // 4, None)
multiply_add_row = _product(1, None)
"""As ``multiply_add``, of ROWS/2, ROWS/4 rows and of one."""
QUARTER = PANEL // 4
multiply_add_narrow = _product(ROWS, None, QUARTER)
multiply_add_middling = _product(ROWS, None, 2 * QUARTER)
multiply_add_broad = _product(ROWS, None, 3 * QUARTER)
"""As ``multiply_add``, of one, two and three quarters of a PANEL of columns."""


def _above(
    c: np.ndarray, c_start: int, offsets: np.ndarray, at: int, a: np.ndarray, a_start: int, a_row: int,
    b: np.ndarray, b_start: int, length: int,
) -> None:  # fmt: skip
    a_tile, b_tile = _view(a, a_start, ROWS, a_row, length), _view(b, b_start, length, PANEL)
    _view(c, c_start, ROWS, PANEL)[...] = offsets[at : at + PANEL] + a_tile @ b_tile


@instructions(_above)
def multiply_above(
    _context: Any, c: Any, c_start: Any, offsets: Any, at: Any, a: Any, a_start: Any, a_row: Any,
    b: Any, b_start: Any, length: Any,
) -> Any:  # fmt: skip
    """C[start + r PANEL + v] = offsets[at + v] + sum_l A[start + r row + l] B[start + l PANEL + v], one tile."""
    signature = types.void(_FLAT, _N, _FLAT, _N, _FLAT, _N, _N, _FLAT, _N, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        c, c_start, offsets, at, a, a_start, a_row, b, b_start, length = args
        one, panel = ir.Constant(length.type, 1), ir.Constant(length.type, PANEL)
        starts = ((c, c_start), (a, a_start), (b, b_start))
        pointers = tuple(_pointer(context, builder, *p) for p in starts)
        base = _pointer(context, builder, offsets, at)
        _emit(builder, ROWS, pointers, (panel, a_row, one, panel), length, base)
        return context.get_dummy_value()

    return signature, codegen


def _chosen(
    c: np.ndarray, c_start: int, a: np.ndarray, a_start: int, a_inner: int,
    b: np.ndarray, b_start: int, b_inner: int, terms: np.ndarray, length: int,
) -> None:  # fmt: skip
    for t in terms[:length].tolist():
        column, row = a[a_start + t * a_inner :][:ROWS], b[b_start + t * b_inner :][:PANEL]
        _view(c, c_start, ROWS, PANEL)[...] += np.multiply.outer(column, row)


@instructions(_chosen)
def multiply_add_chosen(
    _context: Any, c: Any, c_start: Any, a: Any, a_start: Any, a_inner: Any,
    b: Any, b_start: Any, b_inner: Any, terms: Any, length: Any,
) -> Any:  # fmt: skip
    """C[start + r PANEL + v] += sum_k A[start + r + l inner] B[start + l inner + v] over the l = terms[k], one tile."""
    signature = types.void(_FLAT, _N, _FLAT, _N, _N, _FLAT, _N, _N, types.Array(_N, 1, "C"), _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        c, c_start, a, a_start, a_inner, b, b_start, b_inner, terms, length = args
        one, panel = ir.Constant(length.type, 1), ir.Constant(length.type, PANEL)
        starts = ((c, c_start), (a, a_start), (b, b_start))
        pointers = tuple(_pointer(context, builder, *p) for p in starts)
        chosen = context.make_array(sig.args[8])(context, builder, terms).data
        _emit(builder, ROWS, pointers, (panel, one, a_inner, b_inner), length, None, terms=chosen)
        return context.get_dummy_value()

    return signature, codegen


@instructions(lambda array, start: bool(array[start : start + PANEL].any()))
def any_in_panel(_context: Any, array: Any, start: Any) -> Any:
    """Whether one of array[start : start + PANEL] is not 0."""
    signature = types.boolean(_FLAT, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        here = _pointer(context, builder, *args)
        zero = ir.Constant(ir.VectorType(ir.DoubleType(), _LANES), [0.0] * _LANES)
        lanes = [
            builder.load(_vector_at(builder, here, ir.Constant(args[1].type, v * _LANES)), align=8)
            for v in range(_VECTORS)
        ]
        differ = [builder.fcmp_unordered("!=", x, zero) for x in lanes]
        some = builder.bitcast(builder.or_(*differ), ir.IntType(_LANES))
        return builder.icmp_unsigned("!=", some, ir.Constant(some.type, 0))

    return signature, codegen


def _weighted(
    total: np.ndarray, weights: np.ndarray, at: int, value: np.ndarray, start: int, count: int
) -> None:
    rows = _view(value, start, count, PANEL)
    _view(total, 0, count, PANEL)[...] += weights[at : at + PANEL] * rows


@instructions(_weighted)
def add_weighted(
    _context: Any, total: Any, weights: Any, at: Any, value: Any, value_start: Any, count: Any
) -> Any:
    """total[k PANEL + v] += weights[at + v] value[start + k PANEL + v] for k < count."""
    signature = types.void(_FLAT, _FLAT, _N, _FLAT, _N, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, weights, at, value, value_start, count = args
        index, fma = count.type, _fused(builder)
        to = _pointer(context, builder, total, ir.Constant(index, 0))
        e = _pointer(context, builder, weights, at)
        source = _pointer(context, builder, value, value_start)
        parts = [
            builder.load(_vector_at(builder, e, ir.Constant(index, v * _LANES)), align=8)
            for v in range(_VECTORS)
        ]
        with cgutils.for_range(builder, count) as loop:
            row = builder.mul(loop.index, ir.Constant(index, PANEL))
            for v in range(_VECTORS):
                here = builder.add(row, ir.Constant(index, v * _LANES))
                there = _vector_at(builder, to, here)
                new = builder.load(_vector_at(builder, source, here), align=8)
                old = builder.load(there, align=8)
                builder.store(builder.call(fma, [parts[v], new, old]), there, align=8)
        return context.get_dummy_value()

    return signature, codegen


def _pair(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray, at: int, value: np.ndarray, slope: np.ndarray,
    count: int,
) -> None:  # fmt: skip
    w = weights[at : at + count]
    first[:PANEL] += w @ _view(value, 0, count, PANEL)
    second[:PANEL] += w @ _view(slope, 0, count, PANEL)


@instructions(_pair)
def add_two_sums(
    _context: Any,
    first: Any,
    second: Any,
    weights: Any,
    at: Any,
    value: Any,
    slope: Any,
    count: Any,
) -> Any:
    """first[v] += sum_k w[at + k] value[k PANEL + v], and second[v] the same of slope: one alone waits for itself."""
    signature = types.void(_FLAT, _FLAT, _FLAT, _N, _FLAT, _FLAT, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, second, weights, at, value, slope, count = args
        zero, fma = ir.Constant(count.type, 0), _fused(builder)
        sums = [_pointer(context, builder, x, zero) for x in (first, second)]
        terms = [_pointer(context, builder, x, zero) for x in (value, slope)]
        w = _pointer(context, builder, weights, at)
        lanes = [ir.Constant(count.type, v * _LANES) for v in range(_VECTORS)]
        places = [_vector_at(builder, p, v) for p in sums for v in lanes]
        insert: Any = cgutils.alloca_once_value
        totals = [insert(builder, builder.load(p, align=8)) for p in places]
        with cgutils.for_range(builder, count) as loop:
            weight = _spread(builder, builder.load(builder.gep(w, [loop.index]), align=8), _LANES)
            row = builder.mul(loop.index, ir.Constant(count.type, PANEL))
            rows = [_vector_at(builder, p, builder.add(row, v)) for p in terms for v in lanes]
            for total, there in zip(totals, rows, strict=True):
                new = builder.call(fma, [weight, builder.load(there, align=8), builder.load(total)])
                builder.store(new, total)
        for total, place in zip(totals, places, strict=True):
            builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return signature, codegen


def _prefetch(write: int) -> Any:
    @instructions(lambda array, start, count: None)
    def typed(_context: Any, array: Any, start: Any, count: Any) -> Any:
        signature = types.void(_FLAT, _N, _N)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            array, start, count = args
            byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            insert: Any = cgutils.get_or_insert_function
            kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
            fetch = insert(builder.module, kind, "llvm.prefetch.p0")
            how = [ir.Constant(flag, k) for k in (write, _SECOND_LEVEL, 1)]
            begin, line = _pointer(context, builder, array, start), ir.Constant(count.type, _LINE)
            with cgutils.for_range(builder, builder.sdiv(count, line)) as loop:
                there = builder.gep(begin, [builder.mul(loop.index, line)])
                builder.call(fetch, [builder.bitcast(there, byte), *how])
            return context.get_dummy_value()

        return signature, codegen

    return typed


_LINE = 8
_SECOND_LEVEL = 2
prefetch = _prefetch(0)
prefetch_to_write = _prefetch(1)
"""(array, start, count): have these numbers fetched into the second-level cache meanwhile; they may lie past the end.

A few dozen lines at a time: what is asked for while so many are under way makes the processor wait.
"""
