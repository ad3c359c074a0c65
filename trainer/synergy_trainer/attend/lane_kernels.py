"""Numba kernels: causal attention of sixteen heads at a time, forward and backward.

A head 4 to 16 wide fills no vector register, and its products are too short for a matrix library.
Here one register holds one number of each of sixteen *pairs* of sequence and head, one lane per
pair, and every pair runs the scalar algorithm. Nothing is summed across lanes, and attention is
never stored except for the rows at work. Rows go in twos, so that what is loaded of a key or value
serves both; an odd number of tokens is followed by a row of zeros. Of the future, only the score of
a row's next token is computed, for the sake of the other row, and thrown away.

One file, since Numba compiles a cached kernel again when its own file changes, but not when that
of a function it calls does.

Shapes: S sequences, n tokens, H heads, w numbers per head; a group is `LANES` pairs of one model,
the last one filled up with copies. With R = n rounded up to even, a group's attention has
R (R + 1) / 2 entries, those of row i from i (i + 1) / 2 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, extending, njit, types
from numba.core import cgutils
from numba.extending import models, register_model
from numba.np.arrayobj import make_array

from synergy_trainer import draws

ir = cgutils.ir
intrinsic: Any = extending.intrinsic  # kernels leave out the first parameter of what it decorates

JIT_IS_OFF: bool = config.DISABLE_JIT  # type: ignore[attr-defined]
"""Whether $NUMBA_DISABLE_JIT asks for Python, which has no registers."""

LANES = 16
"""Numbers in a register: one of AVX-512, two of AVX2, four of NEON, for all of which LLVM knows."""

_PART = 4  # numbers of a head that are worked on together, their sums in registers
_STEP = _PART * LANES

_LOG2_E = np.float32(1 / np.log(2))
_LN_2 = np.float32(np.log(2))
_ONE = np.float32(1.0)
_LEAST = np.float32(-3e38)

_floats = ir.VectorType(ir.FloatType(), LANES)
_ints = ir.VectorType(ir.IntType(32), LANES)
_FIRST, _SECOND = draws.FIRST, draws.SECOND
_fused = ("contract",)  # lets a product and a sum round once


class Lanes(types.Type):
    """Numba's type of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _floats)


def _constant(x: float) -> Any:
    return ir.Constant(_floats, [x] * LANES)


def _entries(ctx: Any, b: Any, kind: Any, array: Any, place: Any) -> Any:
    """Address of sixteen entries of a contiguous array from the flat index ``place`` on."""
    entry = ctx.get_value_type(kind.dtype)
    pointer = ir.VectorType(entry, LANES).as_pointer()
    return b.bitcast(b.gep(make_array(kind)(ctx, b, array).data, [place]), pointer)


@intrinsic
def load(typing: Any, array: Any, place: Any) -> Any:
    """Sixteen entries of a float32 array from the flat index ``place`` on."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.load(_entries(ctx, b, sig.args[0], *args), align=4)

    return lanes(array, types.int64), generate


@intrinsic
def store(typing: Any, array: Any, place: Any, x: Any) -> Any:
    """Write ``x`` to the flat index ``place`` and the fifteen after it."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        b.store(args[2], _entries(ctx, b, sig.args[0], *args[:2]), align=4)
        return ctx.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic
def spread(typing: Any, x: Any) -> Any:
    """``x`` sixteen times."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        one = b.insert_element(ir.Constant(_floats, ir.Undefined), args[0], ir.IntType(32)(0))
        return b.shuffle_vector(one, one, ir.Constant(_ints, [0] * LANES))

    return lanes(types.float32), generate


def _arithmetic(operation: str) -> Any:
    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return getattr(b, operation)(*args, flags=_fused)

    return generate


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Any:
    """``x + y``."""
    return lanes(lanes, lanes), _arithmetic("fadd")


@intrinsic
def minus(typing: Any, x: Any, y: Any) -> Any:
    """``x - y``."""
    return lanes(lanes, lanes), _arithmetic("fsub")


@intrinsic
def times(typing: Any, x: Any, y: Any) -> Any:
    """``x · y``."""
    return lanes(lanes, lanes), _arithmetic("fmul")


@intrinsic
def over(typing: Any, x: Any, y: Any) -> Any:
    """``x / y``."""
    return lanes(lanes, lanes), _arithmetic("fdiv")


@intrinsic
def larger(typing: Any, x: Any, y: Any) -> Any:
    """The larger of both; ``y`` where ``x`` is not a number."""

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.select(b.fcmp_ordered(">", *args), *args)

    return lanes(lanes, lanes), generate


def _integers(value: int) -> Any:
    return ir.Constant(_ints, [value] * LANES)


@intrinsic
def where_kept(typing: Any, x: Any, keys: Any, column: Any, threshold: Any) -> Any:
    """``x``, and 0 in lanes where the hash of the row's key and ``column`` is below the threshold.

    The hash is `mix`.
    """

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        def spread_out(value: Any) -> Any:
            narrow = b.trunc(value, ir.IntType(32)) if value.type.width > 32 else value
            one = b.insert_element(ir.Constant(_ints, ir.Undefined), narrow, ir.IntType(32)(0))
            return b.shuffle_vector(one, one, _integers(0))

        zero = ir.Constant(ir.IntType(64), 0)
        bits = b.load(_entries(ctx, b, sig.args[1], args[1], zero), align=4)
        bits = b.xor(bits, spread_out(args[2]))
        for shift, factor in ((16, _FIRST), (15, _SECOND)):
            bits = b.mul(b.xor(bits, b.lshr(bits, _integers(shift))), _integers(factor))
        bits = b.xor(bits, b.lshr(bits, _integers(16)))
        kept = b.icmp_unsigned(">=", bits, spread_out(args[3]))
        return b.select(kept, args[0], _constant(0.0))

    return lanes(lanes, keys, types.int64, types.uint32), generate


_BIG = 1.5 * 2**23  # a sum with it is rounded to a whole number, which its lowest bits contain
_POLYNOMIAL = (  # of 2^x on [-1/2, 1/2], through the seven Chebyshev points: to 2.6e-9
    1.0, 0.6931472067028329, 0.24022650922289554, 0.05550327226669895,
    0.00961805667843204, 0.0013400428177711937, 0.00015461444724808513,
)  # fmt: skip


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    """2 to the ``x``, for x of at most 127; 2^-96 below x = -96.

    Beside the 1 of a row's largest score, either is nothing; but products with anything smaller
    would fall below 2^-126, where processors are tens of times as slow.
    """

    def generate(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        least = _constant(-96.0)
        x = b.select(b.fcmp_ordered("<", args[0], least), least, args[0])
        shifted = b.fadd(x, _constant(_BIG))
        rest = b.fsub(x, b.fsub(shifted, _constant(_BIG)))
        power = _constant(_POLYNOMIAL[-1])
        for coefficient in reversed(_POLYNOMIAL[:-1]):
            product = b.fmul(power, rest, flags=_fused)
            power = b.fadd(product, _constant(coefficient), flags=_fused)
        exponent = b.shl(b.bitcast(shifted, _ints), ir.Constant(_ints, [23] * LANES))
        one = ir.Constant(_ints, [127 << 23] * LANES)  # the bits of 1.0
        return b.fmul(power, b.bitcast(b.add(exponent, one), _floats))

    return lanes(lanes), generate


def compiled(kernel: Any) -> Any:
    """Compile a kernel that releases the interpreter's lock, cached on disk where possible."""
    try:
        return njit(kernel, cache=True, nogil=True)
    except RuntimeError:  # neither the installation nor the home can be written
        return njit(kernel, nogil=True)


@njit(nogil=True)
def mix(bits):
    """`draws.mix` of one uint32."""
    bits = np.uint32((bits ^ (bits >> np.uint32(16))) * np.uint32(_FIRST))
    bits = np.uint32((bits ^ (bits >> np.uint32(15))) * np.uint32(_SECOND))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@njit(nogil=True)
def _mix_with(key, number):
    return mix(np.uint32(key ^ np.uint32(number)))


@njit(nogil=True)
def _pair_keys(key, sequences, pairs, first, rank, size, heads, keys):
    """Dropout's key of each lane's sequence and head; ``rank`` and ``size`` as in `forward`."""
    for lane in range(LANES):
        pair = min(first + lane, pairs - 1)
        keys[lane] = _mix_with(_mix_with(key, rank + size * (pair // heads)), pair % heads)


@njit(nogil=True)
def _row_keys(pair_keys, row, keys):
    for lane in range(LANES):
        keys[lane] = _mix_with(pair_keys[lane], row)


@njit(nogil=True)
def _add_times(total, x, y):
    return add(total, times(x, y))


@njit(nogil=True)
def _load_part(array, at):
    """Four numbers of every lane's head."""
    return (
        load(array, at),
        load(array, at + LANES),
        load(array, at + 2 * LANES),
        load(array, at + 3 * LANES),
    )


@njit(nogil=True)
def _store_part(array, at, x):
    store(array, at, x[0])
    store(array, at + LANES, x[1])
    store(array, at + 2 * LANES, x[2])
    store(array, at + 3 * LANES, x[3])


@njit(nogil=True)
def _dot(total, x, y):
    """Add the inner product of two parts."""
    total = _add_times(_add_times(total, x[0], y[0]), x[1], y[1])
    return _add_times(_add_times(total, x[2], y[2]), x[3], y[3])


@njit(nogil=True)
def _grow(totals, factor, x):
    """Add a multiple of a part to a part."""
    return (
        _add_times(totals[0], factor, x[0]),
        _add_times(totals[1], factor, x[1]),
        _add_times(totals[2], factor, x[2]),
        _add_times(totals[3], factor, x[3]),
    )


@njit(nogil=True)
def _scale(x, factor):
    return times(x[0], factor), times(x[1], factor), times(x[2], factor), times(x[3], factor)


@njit(nogil=True)
def _padded(width):
    """Numbers of a head, padded to whole parts."""
    return (width + _PART - 1) // _PART * _PART


@njit(nogil=True)
def _sizes(x, sequences):
    """Pairs and groups of one model, rows of a group, and numbers in one of its rows."""
    tokens, heads, width = x.shape[1], x.shape[2], x.shape[3]
    pairs = sequences * heads
    groups = (pairs + LANES - 1) // LANES
    return pairs, groups, tokens + tokens % 2, _padded(width) * LANES


@njit(nogil=True)
def _group(rows, row):
    """Room for a group; where its heads are padded, it stays zero."""
    return np.zeros(rows * row, np.float32)


@njit(nogil=True)
def _keys():
    return np.empty(LANES, np.uint32)


@njit(nogil=True)
def _gather(x, start, pairs, first, factor, to):
    """Copy a group of ``x`` (S, n, H, w) to (R, padded w, LANES), times ``factor``.

    The model's sequences start at ``start``; the group is its pairs from ``first`` on.
    """
    tokens, heads, width = x.shape[1], x.shape[2], x.shape[3]
    padded = _padded(width)
    for lane in range(LANES):
        pair = min(first + lane, pairs - 1)
        sequence, head = start + pair // heads, pair % heads
        for token in range(tokens):
            for c in range(width):
                to[(token * padded + c) * LANES + lane] = x[sequence, token, head, c] * factor
    to[tokens * padded * LANES :] = np.float32(0.0)  # there may be results of the last group


@njit(nogil=True)
def _scatter(group, start, pairs, first, factor, x):
    """Copy a group back; the reverse of ``_gather``."""
    tokens, heads, width = x.shape[1], x.shape[2], x.shape[3]
    padded = _padded(width)
    for lane in range(min(LANES, pairs - first)):
        pair = first + lane
        sequence, head = start + pair // heads, pair % heads
        for token in range(tokens):
            for c in range(width):
                x[sequence, token, head, c] = group[(token * padded + c) * LANES + lane] * factor


@njit(nogil=True)
def _exponentials(scores, count, top, keys, threshold):
    """Replace scores by 2^(score - top), dropped ones by 0; return the sum before dropping."""
    total = spread(np.float32(0.0))
    for j in range(count):
        x = exp2(minus(load(scores, j * LANES), top))
        total = add(total, x)
        if threshold > 0:
            x = where_kept(x, keys, j, threshold)
        store(scores, j * LANES, x)
    return total


@njit(nogil=True)
def _mix(weights, others, values, i, row, c):
    """Sum part ``c`` of values by the weights of row ``i`` (up to key i) and of the next row."""
    zero = spread(np.float32(0.0))
    totals = other_totals = (zero, zero, zero, zero)
    for j in range(i + 1):
        part = _load_part(values, j * row + c)
        totals = _grow(totals, load(weights, j * LANES), part)
        other_totals = _grow(other_totals, load(others, j * LANES), part)
    part = _load_part(values, (i + 1) * row + c)
    return totals, _grow(other_totals, load(others, (i + 1) * LANES), part)


@njit(nogil=True)
def _spill(weights, others, part, other, totals, i, row, c):
    """Add to part ``c`` of totals the parts of row ``i`` and of the next, by their weights."""
    for j in range(i + 1):
        at = j * row + c
        sums = _grow(_load_part(totals, at), load(weights, j * LANES), part)
        _store_part(totals, at, _grow(sums, load(others, j * LANES), other))
    at = (i + 1) * row + c
    sums = _grow(_load_part(totals, at), load(others, (i + 1) * LANES), other)
    _store_part(totals, at, sums)


@compiled
def forward(first, last, qkv, sequences, scale, drops, out, normalisers):
    """Mix values by attention into ``out`` (S, n, H, w), groups ``first`` to ``last - 1``.

    ``qkv`` are queries, keys and values, float32 (S, n, 3, H, w), contiguous; queries are
    multiplied by ``scale``; one model has so many ``sequences``, a divisor of S. ``drops`` are
    dropout's keys of the models (uint32), the numbers of the first sequence and from each to the
    next (int64), the threshold below which a hash is dropped (uint32; 0: nothing) and what kept
    attention is multiplied by. ``normalisers`` are written for `backward`: the largest score of
    each row, times log2 e, and 1 / its sum of exponentials, flat: groups × R × 2 × `LANES`.
    """
    queries, keys, values = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    model_keys, rank, size, threshold, gain = drops
    pairs, groups, rows, row = _sizes(queries, sequences)
    q, k, v = _group(rows, row), _group(rows, row), _group(rows, row)
    p, p_next = np.empty(rows * LANES, np.float32), np.empty(rows * LANES, np.float32)
    pair_keys, key, key_next = _keys(), _keys(), _keys()
    zero, least, one = spread(np.float32(0.0)), spread(_LEAST), spread(_ONE)
    for group in range(first, last):
        start, pair = group // groups * sequences, group % groups * LANES
        model = group // groups
        _gather(queries, start, pairs, pair, _LOG2_E * scale, q)
        _gather(keys, start, pairs, pair, _ONE, k)
        _gather(values, start, pairs, pair, gain, v)
        if threshold > 0:
            heads = qkv.shape[3]
            _pair_keys(model_keys[model], sequences, pairs, pair, rank, size, heads, pair_keys)
        for i in range(0, rows, 2):
            at, at_next = i * row, (i + 1) * row
            top = top_next = least
            for j in range(i + 2):
                x = y = zero
                for c in range(0, row, _STEP):
                    part = _load_part(k, j * row + c)
                    x = _dot(x, _load_part(q, at + c), part)
                    y = _dot(y, _load_part(q, at_next + c), part)
                store(p, j * LANES, x)
                store(p_next, j * LANES, y)
                if j <= i:
                    top = larger(x, top)
                top_next = larger(y, top_next)
            if threshold > 0:
                _row_keys(pair_keys, i, key)
                _row_keys(pair_keys, i + 1, key_next)
            total = _exponentials(p, i + 1, top, key, threshold)
            total_next = _exponentials(p_next, i + 2, top_next, key_next, threshold)
            share, share_next = over(one, total), over(one, total_next)
            at_normalisers = (group * rows + i) * 2 * LANES
            _store_part(normalisers, at_normalisers, (top, share, top_next, share_next))
            for c in range(0, row, _STEP):
                mixed, mixed_next = _mix(p, p_next, v, i, row, c)
                _store_part(q, at + c, _scale(mixed, share))  # the queries are done with
                _store_part(q, at_next + c, _scale(mixed_next, share_next))
        _scatter(q, start, pairs, pair, _ONE, out)


@compiled
def backward(first, last, qkv, sequences, scale, drops, out, normalisers, gradient, to):
    """Write the gradient of ``qkv`` into ``to``, groups ``first`` to ``last - 1``.

    ``gradient`` is that of ``out``; the other arguments are as `forward` took and left them. With
    attention p, dropout's mask m and the gradient g of the output, a row's scores have the gradient
    p (m g·v - g·out): g·out is the mean of g·v, so that nothing has to be summed over the row
    first.
    """
    queries, keys, values = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    model_keys, rank, size, threshold, gain_kept = drops
    pairs, groups, rows, row = _sizes(queries, sequences)
    q, k, v, g = _group(rows, row), _group(rows, row), _group(rows, row), _group(rows, row)
    o, to_k, to_v = _group(rows, row), _group(rows, row), _group(rows, row)
    p, p_next = np.empty(rows * LANES, np.float32), np.empty(rows * LANES, np.float32)
    s, s_next = np.empty(rows * LANES, np.float32), np.empty(rows * LANES, np.float32)
    pair_keys, key, key_next = _keys(), _keys(), _keys()
    zero = spread(np.float32(0.0))
    for group in range(first, last):
        start, pair = group // groups * sequences, group % groups * LANES
        model = group // groups
        _gather(queries, start, pairs, pair, _LOG2_E * scale, q)
        _gather(keys, start, pairs, pair, _ONE, k)
        _gather(values, start, pairs, pair, gain_kept, v)
        _gather(gradient, start, pairs, pair, _ONE, g)
        _gather(out, start, pairs, pair, _ONE, o)
        to_k[:] = np.float32(0.0)
        to_v[:] = np.float32(0.0)
        if threshold > 0:
            heads = qkv.shape[3]
            _pair_keys(model_keys[model], sequences, pairs, pair, rank, size, heads, pair_keys)
        for i in range(0, rows, 2):
            at, at_next = i * row, (i + 1) * row
            mean = mean_next = zero
            for c in range(0, row, _STEP):
                mean = _dot(mean, _load_part(g, at + c), _load_part(o, at + c))
                mean_next = _dot(mean_next, _load_part(g, at_next + c), _load_part(o, at_next + c))
            at_normalisers = (group * rows + i) * 2 * LANES
            top, share, top_next, share_next = _load_part(normalisers, at_normalisers)
            if threshold > 0:
                _row_keys(pair_keys, i, key)
                _row_keys(pair_keys, i + 1, key_next)
            for j in range(i + 2):
                x = y = gain = gain_next = zero
                for c in range(0, row, _STEP):
                    part = _load_part(k, j * row + c)
                    x = _dot(x, _load_part(q, at + c), part)
                    y = _dot(y, _load_part(q, at_next + c), part)
                    part = _load_part(v, j * row + c)
                    gain = _dot(gain, _load_part(g, at + c), part)
                    gain_next = _dot(gain_next, _load_part(g, at_next + c), part)
                x = times(exp2(minus(x, top)), share)
                y = times(exp2(minus(y, top_next)), share_next)
                x_kept, y_kept = x, y
                if threshold > 0:
                    x_kept = where_kept(x, key, j, threshold)
                    gain = where_kept(gain, key, j, threshold)
                    y_kept = where_kept(y, key_next, j, threshold)
                    gain_next = where_kept(gain_next, key_next, j, threshold)
                store(p, j * LANES, x_kept)
                store(p_next, j * LANES, y_kept)
                store(s, j * LANES, times(x, minus(gain, mean)))
                store(s_next, j * LANES, times(y, minus(gain_next, mean_next)))
            for c in range(0, row, _STEP):
                part, part_next = _load_part(g, at + c), _load_part(g, at_next + c)
                _spill(p, p_next, part, part_next, to_v, i, row, c)
                part, part_next = _load_part(q, at + c), _load_part(q, at_next + c)
                _spill(s, s_next, part, part_next, to_k, i, row, c)
                to_q, to_q_next = _mix(s, s_next, k, i, row, c)
                _store_part(q, at + c, to_q)  # the queries are done with
                _store_part(q, at_next + c, to_q_next)
        _scatter(q, start, pairs, pair, scale, to[:, :, 0])
        _scatter(to_k, start, pairs, pair, _LN_2, to[:, :, 1])  # queries had log2 e in them
        _scatter(to_v, start, pairs, pair, gain_kept, to[:, :, 2])


@compiled
def drop(first, last, x, sequences, drops, out):
    """Drop entries of ``x`` (S, H, rows, columns) into ``out``, sequences ``first``..``last - 1``.

    ``sequences`` and ``drops`` are as in `forward`.
    """
    model_keys, rank, size, threshold, gain = drops
    for sequence in range(first, last):
        key = _mix_with(model_keys[sequence // sequences], rank + size * (sequence % sequences))
        for head in range(x.shape[1]):
            head_key = _mix_with(key, head)
            for row in range(x.shape[2]):
                row_key = _mix_with(head_key, row)
                for column in range(x.shape[3]):
                    kept = _mix_with(row_key, column) >= threshold
                    entry = x[sequence, head, row, column] * gain
                    out[sequence, head, row, column] = entry if kept else np.float32(0.0)
