r"""Two more steps on tiles, written as vector instructions: a product above offsets, a weighted sum of rows.

.. math:: C_{rv} = b_v + \sum_{l<L} A_{rl} B_{lv}, \qquad T_{kv} \mathrel{+}= e_v\,S_{kv}

As loops over PANEL numbers inside loops over rows, numba leaves them half vectorised and they cost as much as the
matrix products.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from wflow.kernels.tile import _LANES, _VECTORS, PANEL, ROWS, _emit

_FLAT = types.Array(types.float64, 1, "C")
_N = types.intp


def _pointer(context: Any, builder: Any, array: Any, start: Any) -> Any:
    view = context.make_array(_FLAT)(context, builder, array)
    return builder.gep(view.data, [start])


def _above(
    typingctx: Any, c: Any, c_start: Any, offsets: Any, at: Any, a: Any, a_start: Any, a_row: Any,
    b: Any, b_start: Any, length: Any,
) -> Any:  # fmt: skip
    """C[start + r PANEL + v] = offsets[at + v] + sum_l A[start + r row + l] B[start + l PANEL + v], one tile."""
    signature = types.void(_FLAT, _N, _FLAT, _N, _FLAT, _N, _N, _FLAT, _N, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        c, c_start, offsets, at, a, a_start, a_row, b, b_start, length = args
        one, panel = ir.Constant(length.type, 1), ir.Constant(length.type, PANEL)
        pointers = tuple(
            _pointer(context, builder, *p) for p in ((c, c_start), (a, a_start), (b, b_start))
        )
        base = _pointer(context, builder, offsets, at)
        strides = (panel, a_row, one, panel)
        _emit(builder, ROWS, _VECTORS, pointers, strides, length, base)
        return context.get_dummy_value()

    return signature, codegen


def _weighted(
    typingctx: Any, total: Any, weights: Any, at: Any, value: Any, value_start: Any, count: Any
) -> Any:
    """total[k PANEL + v] += weights[at + v] value[start + k PANEL + v] for k < count."""
    signature = types.void(_FLAT, _FLAT, _N, _FLAT, _N, _N)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, weights, at, value, value_start, count = args
        index, number = count.type, ir.DoubleType()
        vector = ir.VectorType(number, _LANES)
        insert: Any = cgutils.get_or_insert_function
        fma = insert(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_LANES}f64"
        )
        zero = ir.Constant(index, 0)
        to = _pointer(context, builder, total, zero)
        e = _pointer(context, builder, weights, at)
        source = _pointer(context, builder, value, value_start)

        def vector_at(pointer: Any, offset: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

        parts = [
            builder.load(vector_at(e, ir.Constant(index, v * _LANES)), align=8)
            for v in range(_VECTORS)
        ]
        with cgutils.for_range(builder, count) as loop:
            row = builder.mul(loop.index, ir.Constant(index, PANEL))
            for v in range(_VECTORS):
                here = builder.add(row, ir.Constant(index, v * _LANES))
                there = vector_at(to, here)
                new = builder.load(vector_at(source, here), align=8)
                old = builder.load(there, align=8)
                builder.store(builder.call(fma, [parts[v], new, old]), there, align=8)
        return context.get_dummy_value()

    return signature, codegen


# mypy takes an intrinsic for the function that types it, which has one argument more.
multiply_above: Any = intrinsic(_above)
add_weighted: Any = intrinsic(_weighted)
