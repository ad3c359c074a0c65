"""The inner loop of sparse propagation: one row, :data:`STEPS` times at once.

A row is gathered from the *histories* of the nodes it hears: ``STEPS`` successive values that lie
side by side, so that each cache line serves eight steps where one step at a time would fetch it
eight times. Numba's loop vectoriser does not see that the steps are independent, so the loop is
written here as vector instructions.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.np.arrayobj import make_array

from synergy_engine.kernels.lanes import intrinsic

STEPS = 16
"""Steps taken at once: two cache lines of float64."""

AHEAD = 64
"""How many edges ahead histories are fetched when they do not fit in cache (measured).

Negative where rows are met from the last to the first: what is ahead then lies before."""

_LANES = 4
_ir = cgutils.ir


def _fetch(b: Any, address: Any) -> None:
    """Have the cache line at ``address`` brought to the processor's first cache."""
    pointer = _ir.IntType(8).as_pointer()
    word = _ir.IntType(32)
    signature = _ir.FunctionType(_ir.VoidType(), [pointer, word, word, word])
    prefetch = cgutils.get_or_insert_function(b.module, signature, "llvm.prefetch.p0")
    b.call(prefetch, [b.bitcast(address, pointer), word(0), word(3), word(1)])


@intrinsic
def fetch(typing: Any, array: Any, place: Any) -> Any:
    """Have the entry at the flat index ``place`` brought to the processor before it is used."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _fetch(b, b.gep(make_array(sig.args[0])(ctx, b, args[0]).data, [args[1]]))
        return ctx.get_dummy_value()

    return types.void(array, types.int64), generate


def _emit(ctx: Any, b: Any, sig: Any, args: Any, *, weighted: bool, far: bool) -> Any:
    """Emit ``out[k] += Σ_{start<=e<stop} w_e · ring[(indices[e] & mask) · STEPS + k]``.

    ``far`` fetches the histories of the edges ``ahead`` before their use. Lanes are steps, so
    every sum is taken in the order of the edges: the same bits on every machine, whatever its
    vectors.
    """
    out, ring, indices, weights = (
        make_array(kind)(ctx, b, value) for kind, value in zip(sig.args[:4], args[:4], strict=True)
    )
    start, stop, mask = args[4:7]
    long, word = _ir.IntType(64), _ir.IntType(32)
    vector = _ir.VectorType(_ir.DoubleType(), _LANES)
    parts = range(STEPS // _LANES)
    ends = [
        b.bitcast(b.gep(out.data, [long(part * _LANES)]), vector.as_pointer()) for part in parts
    ]
    sums = [cgutils.alloca_once(b, vector) for _ in parts]
    for place, end in zip(sums, ends, strict=True):
        b.store(b.load(end, align=8), place)

    def history(edge: Any) -> Any:
        node = b.zext(b.load(b.gep(indices.data, [edge])), long)
        return b.gep(ring.data, [b.mul(b.and_(node, mask), long(STEPS))])

    if far:
        last = b.sub(indices.nitems, long(1))
    with cgutils.for_range_slice(b, start, stop, long(1), intp=long) as (edge, _):
        if far:
            coming = b.add(edge, args[7])
            coming = b.select(b.icmp_signed("<", coming, last), coming, last)
            coming = b.select(b.icmp_signed(">", coming, long(0)), coming, long(0))
            line = history(coming)
            for offset in range(0, STEPS, 8):
                _fetch(b, b.gep(line, [long(offset)]))
        here = history(edge)
        if weighted:
            weight = b.load(b.gep(weights.data, [edge]))
            spread = b.insert_element(_ir.Constant(vector, _ir.Undefined), weight, word(0))
            spread = b.shuffle_vector(
                spread, spread, _ir.Constant(_ir.VectorType(word, _LANES), [0] * _LANES)
            )
        for part in parts:
            address = b.bitcast(b.gep(here, [long(part * _LANES)]), vector.as_pointer())
            value = b.load(address, align=8)
            if weighted:
                value = b.fmul(spread, value, flags=("contract",))
            b.store(b.fadd(b.load(sums[part]), value, flags=("contract",)), sums[part])
    for place, end in zip(sums, ends, strict=True):
        b.store(b.load(place), end, align=8)
    return ctx.get_dummy_value()


def _row(weighted: bool, far: bool) -> Any:
    @intrinsic
    def row(
        typing: Any,
        out: Any,
        ring: Any,
        indices: Any,
        weights: Any,
        start: Any,
        stop: Any,
        mask: Any,
        ahead: Any,
    ) -> Any:
        signature = types.void(out, ring, indices, weights, *[types.int64] * 4)

        def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            return _emit(ctx, b, sig, args, weighted=weighted, far=far)

        return signature, generate

    return row


near_row = _row(weighted=False, far=False)
far_row = _row(weighted=False, far=True)
near_weighted_row = _row(weighted=True, far=False)
far_weighted_row = _row(weighted=True, far=True)
