"""Triton kernels of `fused`: attention, dropout and normalisation, one per direction.

Dropout is the hash of places of `dropout`, computed where it is used; its keys are read from the
device, so that a CUDA graph which is replayed drops by the keys of its step. No kernel adds
atomically: equal numbers give equal bits. Without a GPU, Triton's interpreter
(`TRITON_INTERPRET=1`) runs them.

Shapes: M models, B sequences, n tokens, H heads of width w; tensors are contiguous.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _mix(x):
    """`draws.mix` of unsigned 32-bit integers, whose products wrap."""
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _hash_of_head(KEYS, model, sequence, head, rank, size):
    """What the hash of places has seen before it comes to row and column."""
    bits = tl.load(KEYS + model).to(tl.uint32)
    bits = _mix(bits ^ (sequence * size + rank).to(tl.uint32))
    return _mix(bits ^ head.to(tl.uint32))


@triton.jit
def _kept(bits, rows, columns, threshold):
    """Whether dropout keeps each entry (rows, columns) of one head."""
    bits = _mix(bits ^ rows.to(tl.uint32))
    return _mix(bits[:, None] ^ columns.to(tl.uint32)[None, :]) >= threshold


@triton.jit
def attention_forward(
    QKV, OUT, NORMALISERS, KEYS, sequences, n, heads, scale, rank, size, threshold, gain,
    W: tl.constexpr, PADDED: tl.constexpr, N: tl.constexpr, DROPS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per model, sequence and head: qkv (M, B, n, 3, H, w) to out (M, B, n, H, w).

    `scale` is log2 e / √w. NORMALISERS (M·B·H, N) receives the base-2 logarithm of each row's sum
    of exponentials. PADDED and N are powers of two, at least 16, W and n.
    """
    pair = tl.program_id(0)
    sequence, head = pair // heads, pair % heads
    d = heads * W
    r, c = tl.arange(0, N), tl.arange(0, PADDED)
    inside = (r[:, None] < n) & (c[None, :] < W)
    at = QKV + sequence * n * 3 * d + r[:, None] * 3 * d + head * W + c[None, :]
    q = tl.load(at, inside, 0.0)
    k = tl.load(at + d, inside, 0.0)
    v = tl.load(at + 2 * d, inside, 0.0)
    x = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    x = tl.where(r[:, None] >= r[None, :], x, -1e30)
    top = tl.max(x, 1)
    p = tl.exp2(x - top[:, None])
    total = tl.sum(p, 1)
    p = p / total[:, None]
    if DROPS:
        bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size)
        p = tl.where(_kept(bits, r, r, threshold), p * gain, 0.0)
    o = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
    tl.store(OUT + sequence * n * d + r[:, None] * d + head * W + c[None, :], o, inside)
    tl.store(NORMALISERS + pair * N + r, top + tl.log2(total))


@triton.jit
def attention_backward(
    QKV, OUT, NORMALISERS, GRADIENT, TO, KEYS, sequences, n, heads, scale, rank, size, threshold,
    gain, W: tl.constexpr, PADDED: tl.constexpr, N: tl.constexpr, DROPS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Write into TO the gradient of QKV from that of OUT; attention is computed again."""
    pair = tl.program_id(0)
    sequence, head = pair // heads, pair % heads
    d = heads * W
    r, c = tl.arange(0, N), tl.arange(0, PADDED)
    inside = (r[:, None] < n) & (c[None, :] < W)
    at = sequence * n * 3 * d + r[:, None] * 3 * d + head * W + c[None, :]
    there = sequence * n * d + r[:, None] * d + head * W + c[None, :]
    q = tl.load(QKV + at, inside, 0.0)
    k = tl.load(QKV + at + d, inside, 0.0)
    v = tl.load(QKV + at + 2 * d, inside, 0.0)
    g = tl.load(GRADIENT + there, inside, 0.0)
    mean = tl.sum(g.to(tl.float32) * tl.load(OUT + there, inside, 0.0).to(tl.float32), 1)
    x = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    p = tl.exp2(x - tl.load(NORMALISERS + pair * N + r)[:, None])
    p = tl.where((r[:, None] >= r[None, :]) & (r[:, None] < n), p, 0.0)
    of_p = tl.dot(g, tl.trans(v), input_precision=PRECISION)
    mixing = p
    if DROPS:
        bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size)
        kept = _kept(bits, r, r, threshold)
        of_p = tl.where(kept, of_p * gain, 0.0)
        mixing = tl.where(kept, p * gain, 0.0)
    of_v = tl.dot(tl.trans(mixing.to(g.dtype)), g, input_precision=PRECISION)
    tl.store(TO + at + 2 * d, of_v, inside)
    of_x = (p * (of_p - mean[:, None]) * (scale * 0.6931471805599453)).to(q.dtype)
    tl.store(TO + at, tl.dot(of_x, k, input_precision=PRECISION), inside)
    tl.store(TO + at + d, tl.dot(tl.trans(of_x), q, input_precision=PRECISION), inside)


@triton.jit
def drop(
    X, ADDED, OUT, KEYS, sequences, heads, rows, columns, rank, size, threshold, gain,
    R: tl.constexpr, C: tl.constexpr, ADDS: tl.constexpr,
):  # fmt: skip
    """Dropout of x (M, B, H, rows, columns), to which ADDED is then added if ADDS.

    One program per model, sequence and head, and per tile (R, C) of its entries.
    """
    pair = tl.program_id(0)
    sequence, head = pair // heads, pair % heads
    r = tl.program_id(1) * R + tl.arange(0, R)
    c = tl.program_id(2) * C + tl.arange(0, C)
    inside = (r[:, None] < rows) & (c[None, :] < columns)
    at = pair.to(tl.int64) * rows * columns + r[:, None] * columns + c[None, :]
    bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size)
    x = tl.load(X + at, inside, 0.0).to(tl.float32)
    x = tl.where(_kept(bits, r, c, threshold), x * gain, 0.0)
    if ADDS:
        x += tl.load(ADDED + at, inside, 0.0)
    tl.store(OUT + at, x, inside)


@triton.jit
def normalise_forward(
    X, OUT, FACTORS, rows, width, epsilon, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """Rows of x (rows, width) over their root mean square, and the factors (rows,) that do it."""
    r, c = tl.program_id(0) * R + tl.arange(0, R), tl.arange(0, C)
    inside = (r[:, None] < rows) & (c[None, :] < width)
    at = r[:, None].to(tl.int64) * width + c[None, :]
    x = tl.load(X + at, inside, 0.0)
    factor = 1.0 / tl.sqrt(tl.sum(x * x, 1) / width + epsilon)
    tl.store(OUT + at, x * factor[:, None], inside)
    tl.store(FACTORS + r, factor, r < rows)


@triton.jit
def normalise_backward(
    OUT, FACTORS, GRADIENT, TO, rows, width, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """(g - x̂ mean(g x̂)) times the factor of each row."""
    r, c = tl.program_id(0) * R + tl.arange(0, R), tl.arange(0, C)
    inside = (r[:, None] < rows) & (c[None, :] < width)
    at = r[:, None].to(tl.int64) * width + c[None, :]
    g, x = tl.load(GRADIENT + at, inside, 0.0), tl.load(OUT + at, inside, 0.0)
    factor = tl.load(FACTORS + r, r < rows, 0.0)
    g = (g - x * (tl.sum(g * x, 1) / width)[:, None]) * factor[:, None]
    tl.store(TO + at, g, inside)
