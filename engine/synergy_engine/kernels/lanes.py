"""Eight float64 at a time, for kernels whose sums must stay in registers.

Numba's vectoriser works on arrays: it writes every partial sum to memory and reads it back. Where
that costs more than the arithmetic, a kernel says here which eight numbers belong together. One
value is one AVX-512 register, two of AVX2, four of NEON: LLVM translates for any of them, and
every lane does what the scalar code would.
"""

from __future__ import annotations

from typing import Any

from numba import extending, njit, types
from numba.core import cgutils
from numba.extending import models, register_model
from numba.np.arrayobj import make_array

ir = cgutils.ir
intrinsic: Any = extending.intrinsic  # kernels leave out the first parameter of what it decorates

WIDTH = 8
"""Numbers in a value: a cache line of float64."""

HALF = WIDTH // 2
"""Numbers in a short value, for chains in which each step waits for the last."""


class Lanes(types.Type):
    """Numba's type of ``width`` float64."""

    def __init__(self, width: int) -> None:
        super().__init__(name=f"float64x{width}")
        self.width = width


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _vector(kind))


eight = Lanes(WIDTH)
four = Lanes(HALF)


def _vector(kind: Lanes) -> Any:
    return ir.VectorType(ir.DoubleType(), kind.width)


def _spread(b: Any, x: Any, kind: Lanes) -> Any:
    one = b.insert_element(ir.Constant(_vector(kind), ir.Undefined), x, ir.IntType(32)(0))
    first = ir.Constant(ir.VectorType(ir.IntType(32), kind.width), [0] * kind.width)
    return b.shuffle_vector(one, one, first)


def _entries(ctx: Any, b: Any, kind: Any, args: Any, width: int) -> Any:
    """Address of ``width`` entries of a contiguous array from a flat index on: ``args``."""
    array, place = args[:2]
    entry = ctx.get_value_type(kind.dtype)
    pointer = ir.VectorType(entry, width).as_pointer()
    return b.bitcast(b.gep(make_array(kind)(ctx, b, array).data, [place]), pointer)


def _loads(kind: Lanes, array: Any) -> Any:
    """Typing and code of a load, for `intrinsic`."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        address = _entries(ctx, b, sig.args[0], args, kind.width)
        found = b.load(address, align=array.dtype.bitwidth // 8)
        return b.fpext(found, _vector(kind)) if array.dtype == types.float32 else found

    return kind(array, types.int64), generate


@intrinsic
def load(typing: Any, array: Any, place: Any) -> Any:
    """Eight entries from the flat index ``place`` on; float32 becomes float64."""
    return _loads(eight, array)


@intrinsic
def load_four(typing: Any, array: Any, place: Any) -> Any:
    """Four entries, as `load`."""
    return _loads(four, array)


@intrinsic
def store(typing: Any, array: Any, place: Any, x: Any) -> Any:
    """Write ``x`` to the flat index ``place`` and those after it."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        b.store(args[2], _entries(ctx, b, sig.args[0], args, x.width), align=8)
        return ctx.get_dummy_value()

    return types.void(array, types.int64, x), generate


@intrinsic
def spread(typing: Any, x: Any) -> Any:
    """``x`` eight times."""
    return eight(types.float64), lambda ctx, b, sig, args: _spread(b, args[0], eight)


@intrinsic
def zeros_four(typing: Any) -> Any:
    """0 four times."""
    return four(), lambda ctx, b, sig, args: ir.Constant(_vector(four), None)


@intrinsic
def lane(typing: Any, x: Any, place: Any) -> Any:
    """The number at ``place``, from 0, of ``x``."""
    return types.float64(x, types.int64), lambda ctx, b, sig, args: b.extract_element(*args)


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Any:
    """``x + y``."""
    return x(x, x), lambda ctx, b, sig, args: b.fadd(*args)


@intrinsic
def times(typing: Any, x: Any, y: Any) -> Any:
    """``x · y``, lane by lane."""
    return x(x, x), lambda ctx, b, sig, args: b.fmul(*args)


@intrinsic
def add_times(typing: Any, total: Any, factor: Any, x: Any) -> Any:
    """``total + factor · x``, rounded once where the processor can."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        product = b.fmul(_spread(b, args[1], x), args[2], flags=("contract",))
        return b.fadd(args[0], product, flags=("contract",))

    return x(x, types.float64, x), generate


@intrinsic
def at_least(typing: Any, x: Any, least: Any) -> Any:
    """``x``, and 0 where it is below ``least``."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        enough = b.fcmp_ordered(">=", args[0], _spread(b, args[1], x))
        return b.select(enough, args[0], ir.Constant(_vector(x), None))

    return x(x, types.float64), generate


@intrinsic
def where_above(typing: Any, x: Any, y: Any, one: Any, other: Any) -> Any:
    """``one`` where ``x > y``, ``other`` elsewhere."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.select(b.fcmp_ordered(">", args[0], args[1]), args[2], args[3])

    return x(x, x, x, x), generate


@njit(cache=True, nogil=True)
def sum_of(x):
    """The sum of the eight."""
    return ((lane(x, 0) + lane(x, 1)) + (lane(x, 2) + lane(x, 3))) + (
        (lane(x, 4) + lane(x, 5)) + (lane(x, 6) + lane(x, 7))
    )


@njit(cache=True, nogil=True)
def largest_of(x):
    """The largest of the eight."""
    return max(
        max(max(lane(x, 0), lane(x, 1)), max(lane(x, 2), lane(x, 3))),
        max(max(lane(x, 4), lane(x, 5)), max(lane(x, 6), lane(x, 7))),
    )
