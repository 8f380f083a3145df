r"""A small matrix product that keeps its result in vector registers.

.. math:: C_{rv} \mathrel{+}= \sum_{l<L} A_{rl} B_{lv}, \qquad r < \text{ROWS},\quad v < \text{PANEL}

Stochastic gradient descent by blocks multiplies thin matrices (8 to 64 samples, 40 inputs). There a BLAS
call loses a third of its speed to packing, and it starts threads of its own inside ours. The loops that
numba would vectorise use half of a 512-bit register at most. So the inner loop is written as vector
instructions, and the arrays are laid out for it: neurons in panels of PANEL, so that B is read in order.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _tile_shape() -> tuple[int, int, int]:
    """Rows, vectors and lanes: what fits the registers, 32 of 8 numbers or 16 of 4 (or 32 of 2)."""
    if binding.get_host_cpu_features().get("avx512f"):
        return 8, 2, 8
    return 4, 2, 4


ROWS, _VECTORS, _LANES = _tile_shape()
PANEL = _VECTORS * _LANES
"""Columns of a tile: neurons, in blocked gradient descent."""


def _emit(
    builder: Any,
    rows: int,
    vectors: int,
    pointers: tuple[Any, Any, Any],
    strides: tuple[Any, Any, Any, Any],
    length: Any,
    base: Any,
) -> None:
    """The loop over l with rows * vectors accumulators, as LLVM instructions.

    They start from C itself, from zero (base "zero"), or all rows from the one that the pointer base names.
    """
    c, a, b = pointers
    c_row, a_row, a_inner, b_inner = strides
    index = length.type
    number = ir.DoubleType()
    vector = ir.VectorType(number, _LANES)
    # A fused multiplication and addition where the processor has one, two instructions elsewhere.
    insert: Any = cgutils.get_or_insert_function
    fma = insert(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_LANES}f64"
    )
    undefined = ir.Constant(vector, ir.Undefined)
    to_all_lanes = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)

    def at(pointer: Any, offset: Any) -> Any:
        return builder.gep(pointer, [offset])

    def vector_at(pointer: Any, v: int) -> Any:
        moved = at(pointer, ir.Constant(index, v * _LANES))
        return builder.bitcast(moved, vector.as_pointer())

    c_rows = [at(c, builder.mul(c_row, ir.Constant(index, r))) for r in range(rows)]
    a_offsets = [builder.mul(a_row, ir.Constant(index, r)) for r in range(rows)]
    zero = ir.Constant(vector, [ir.Constant(number, 0.0)] * _LANES)
    if base == "zero":
        start = [[zero] * vectors] * rows
    else:
        start = [
            [builder.load(vector_at(base or p, v), align=8) for v in range(vectors)] for p in c_rows
        ]
    before = builder.block
    head = builder.append_basic_block("tile.head")
    body = builder.append_basic_block("tile.body")
    done = builder.append_basic_block("tile.done")
    builder.branch(head)

    builder.position_at_end(head)
    counter = builder.phi(index)
    counter.add_incoming(ir.Constant(index, 0), before)
    total = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    for r in range(rows):
        for v in range(vectors):
            total[r][v].add_incoming(start[r][v], before)
    builder.cbranch(builder.icmp_signed("<", counter, length), body, done)

    builder.position_at_end(body)
    b_here = at(b, builder.mul(counter, b_inner))
    b_vectors = [builder.load(vector_at(b_here, v), align=8) for v in range(vectors)]
    a_here = at(a, builder.mul(counter, a_inner))
    for r in range(rows):
        scalar = builder.load(at(a_here, a_offsets[r]), align=8)
        one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        spread = builder.shuffle_vector(one, undefined, to_all_lanes)
        for v in range(vectors):
            new = builder.call(fma, [spread, b_vectors[v], total[r][v]])
            total[r][v].add_incoming(new, body)
    counter.add_incoming(builder.add(counter, ir.Constant(index, 1)), body)
    builder.branch(head)

    builder.position_at_end(done)
    for r in range(rows):
        for v in range(vectors):
            builder.store(total[r][v], vector_at(c_rows[r], v), align=8)


def _tile_intrinsic(rows: int, vectors: int, base: str | None, doc: str) -> Any:
    def typed(
        typingctx: Any,
        c: Any,
        c_start: Any,
        c_row: Any,
        a: Any,
        a_start: Any,
        a_row: Any,
        a_inner: Any,
        b: Any,
        b_start: Any,
        b_inner: Any,
        length: Any,
    ) -> Any:
        flat = types.Array(types.float64, 1, "C")
        n = types.intp
        signature = types.void(flat, n, n, flat, n, n, n, flat, n, n, n)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, c_start, c_row, a, a_start, a_row, a_inner, b, b_start, b_inner, length = args

            def pointer(array: Any, start: Any) -> Any:
                view = context.make_array(flat)(context, builder, array)
                return builder.gep(view.data, [start])

            _emit(
                builder,
                rows,
                vectors,
                (pointer(c, c_start), pointer(a, a_start), pointer(b, b_start)),
                (c_row, a_row, a_inner, b_inner),
                length,
                base,
            )
            return context.get_dummy_value()

        return signature, codegen

    typed.__doc__ = doc
    return intrinsic(typed)


multiply = _tile_intrinsic(
    ROWS,
    _VECTORS,
    "zero",
    """C[start + r row + v] = sum_l A[start + r row + l inner] B[start + l inner + v] for one tile.

    Arrays are flat; bounds are not checked. Arguments: C, its start and row stride; A, its start, row
    stride and inner stride; B, its start and inner stride; the number of terms.
    """,
)

multiply_add = _tile_intrinsic(ROWS, _VECTORS, None, """As ``multiply``, added to C.""")

multiply_add_row = _tile_intrinsic(1, _VECTORS, None, """As ``multiply_add``, of one row r = 0.""")
