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
def _hash_of_head(KEYS, model, sequence, head, rank, size, DROPS: tl.constexpr):
    """What the hash of places has seen before it comes to row and column."""
    bits = head.to(tl.uint32)
    if DROPS:
        key = tl.load(KEYS + model).to(tl.uint32)
        bits = _mix(_mix(key ^ (sequence * size + rank).to(tl.uint32)) ^ bits)
    return bits


@triton.jit
def _kept(bits, rows, columns, threshold):
    """Whether dropout keeps each entry (rows, columns) of one head."""
    bits = _mix(bits ^ rows.to(tl.uint32))
    return _mix(bits[:, None] ^ columns.to(tl.uint32)[None, :]) >= threshold


@triton.jit
def _read(AT, rows, stride, n, W: tl.constexpr, PADDED: tl.constexpr):
    """Rows of one head's queries, keys or values, and 0 past the last."""
    c = tl.arange(0, PADDED)
    inside = (rows[:, None] < n) & (c[None, :] < W)
    return tl.load(AT + rows[:, None] * stride + c[None, :], inside, 0.0)


@triton.jit
def _write(AT, values, rows, stride, n, W: tl.constexpr, PADDED: tl.constexpr):
    c = tl.arange(0, PADDED)
    inside = (rows[:, None] < n) & (c[None, :] < W)
    tl.store(AT + rows[:, None] * stride + c[None, :], values, inside)


@triton.jit(do_not_specialize_on_alignment=["KEYS"])
def attention_forward(
    QKV, OUT, NORMALISERS, KEYS, sequences, n, heads, scale, rank, size, threshold, gain,
    W: tl.constexpr, PADDED: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr,
    DROPS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per model, sequence and head: qkv (M, B, n, 3, H, w) to out (M, B, n, H, w).

    `scale` is log2 e / √w. NORMALISERS (M·B·H, N) receives the base-2 logarithm of each row's sum
    of exponentials. PADDED, N and BLOCK are powers of two: at least 16, W and n; N is one or two
    blocks of rows, of which the first needs only the first block of columns.
    """
    pair = tl.program_id(0)
    sequence, head = pair // heads, pair % heads
    d = heads * W
    first = sequence.to(tl.int64) * n  # of the tokens; a large batch has more than 2³¹ numbers
    QKV += first * 3 * d + head * W
    OUT += first * d + head * W
    NORMALISERS += pair.to(tl.int64) * N
    bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size, DROPS)
    for block in tl.static_range(N // BLOCK):
        r = block * BLOCK + tl.arange(0, BLOCK)
        c = tl.arange(0, (block + 1) * BLOCK)
        q = _read(QKV, r, 3 * d, n, W, PADDED)
        k = _read(QKV + d, c, 3 * d, n, W, PADDED)
        v = _read(QKV + 2 * d, c, 3 * d, n, W, PADDED)
        x = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        x = tl.where(r[:, None] >= c[None, :], x, -1e30)
        top = tl.max(x, 1)
        p = tl.exp2(x - top[:, None])
        total = tl.sum(p, 1)
        p = p / total[:, None]
        if DROPS:
            p = tl.where(_kept(bits, r, c, threshold), p * gain, 0.0)
        o = tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
        _write(OUT, o, r, d, n, W, PADDED)
        tl.store(NORMALISERS + r, top + tl.log2(total))


@triton.jit
def _gradients(
    q, k, v, g, mean, normalisers, r, c, n, scale, bits, threshold, gain,
    DROPS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """What mixes values at rows r and columns c, and the gradient of the logits there."""
    x = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    p = tl.exp2(x - normalisers[:, None])
    p = tl.where((r[:, None] >= c[None, :]) & (r[:, None] < n), p, 0.0)
    of_p = tl.dot(g, tl.trans(v), input_precision=PRECISION)
    mixing = p
    if DROPS:
        kept = _kept(bits, r, c, threshold)
        of_p = tl.where(kept, of_p * gain, 0.0)
        mixing = tl.where(kept, p * gain, 0.0)
    of_x = p * (of_p - mean[:, None]) * (scale * 0.6931471805599453)
    return mixing.to(g.dtype), of_x.to(q.dtype)


@triton.jit(do_not_specialize_on_alignment=["KEYS"])
def attention_backward(
    QKV, OUT, NORMALISERS, GRADIENT, TO, KEYS, sequences, n, heads, scale, rank, size, threshold,
    gain, W: tl.constexpr, PADDED: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr,
    DROPS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write into TO the gradient of QKV from that of OUT; attention is computed again."""
    pair = tl.program_id(0)
    sequence, head = pair // heads, pair % heads
    d = heads * W
    first = sequence.to(tl.int64) * n
    QKV += first * 3 * d + head * W
    TO += first * 3 * d + head * W
    OUT += first * d + head * W
    GRADIENT += first * d + head * W
    NORMALISERS += pair.to(tl.int64) * N
    bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size, DROPS)
    r = tl.arange(0, BLOCK)
    q = _read(QKV, r, 3 * d, n, W, PADDED)
    k = _read(QKV + d, r, 3 * d, n, W, PADDED)
    v = _read(QKV + 2 * d, r, 3 * d, n, W, PADDED)
    g = _read(GRADIENT, r, d, n, W, PADDED)
    mean = tl.sum(g.to(tl.float32) * _read(OUT, r, d, n, W, PADDED).to(tl.float32), 1)
    mixing, of_x = _gradients(
        q, k, v, g, mean, tl.load(NORMALISERS + r), r, r, n, scale, bits, threshold, gain, DROPS,
        PRECISION,
    )  # fmt: skip
    of_q = tl.dot(of_x, k, input_precision=PRECISION)
    of_k = tl.dot(tl.trans(of_x), q, input_precision=PRECISION)
    of_v = tl.dot(tl.trans(mixing), g, input_precision=PRECISION)
    if N > BLOCK:
        _write(TO, of_q, r, 3 * d, n, W, PADDED)
        c, r = r, BLOCK + tl.arange(0, BLOCK)
        q = _read(QKV, r, 3 * d, n, W, PADDED)
        g = _read(GRADIENT, r, d, n, W, PADDED)
        mean = tl.sum(g.to(tl.float32) * _read(OUT, r, d, n, W, PADDED).to(tl.float32), 1)
        normalisers = tl.load(NORMALISERS + r)
        mixing, of_x = _gradients(
            q, k, v, g, mean, normalisers, r, c, n, scale, bits, threshold, gain, DROPS, PRECISION
        )
        of_q = tl.dot(of_x, k, input_precision=PRECISION)
        of_k += tl.dot(tl.trans(of_x), q, input_precision=PRECISION)
        of_v += tl.dot(tl.trans(mixing), g, input_precision=PRECISION)
        _write(TO + d, of_k, c, 3 * d, n, W, PADDED)
        _write(TO + 2 * d, of_v, c, 3 * d, n, W, PADDED)
        k = _read(QKV + d, r, 3 * d, n, W, PADDED)
        v = _read(QKV + 2 * d, r, 3 * d, n, W, PADDED)
        mixing, of_x = _gradients(
            q, k, v, g, mean, normalisers, r, r, n, scale, bits, threshold, gain, DROPS, PRECISION
        )
        of_q += tl.dot(of_x, k, input_precision=PRECISION)
        of_k = tl.dot(tl.trans(of_x), q, input_precision=PRECISION)
        of_v = tl.dot(tl.trans(mixing), g, input_precision=PRECISION)
    _write(TO, of_q, r, 3 * d, n, W, PADDED)
    _write(TO + d, of_k, r, 3 * d, n, W, PADDED)
    _write(TO + 2 * d, of_v, r, 3 * d, n, W, PADDED)


@triton.jit(do_not_specialize_on_alignment=["KEYS"])
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
    bits = _hash_of_head(KEYS, sequence // sequences, sequence % sequences, head, rank, size, True)
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


@triton.jit
def affine(
    X, WEIGHT, BIAS, OUT, tokens, inputs, outputs, R: tl.constexpr, C: tl.constexpr,
    K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """x Wᵀ + b of x (M, tokens, inputs), one program per model and tile (R, C); K is all inputs."""
    model = tl.program_id(2).to(tl.int64)
    r = tl.program_id(0) * R + tl.arange(0, R)
    o = tl.program_id(1) * C + tl.arange(0, C)
    k = tl.arange(0, K)
    rows, columns, within = r[:, None] < tokens, o < outputs, k[None, :] < inputs
    x = tl.load(X + (model * tokens + r)[:, None] * inputs + k[None, :], rows & within, 0.0)
    at = (model * outputs + o)[:, None] * inputs + k[None, :]
    w = tl.load(WEIGHT + at, columns[:, None] & within, 0.0)
    b = tl.load(BIAS + model * outputs + o, columns, 0.0).to(tl.float32)
    y = tl.dot(x, tl.trans(w), input_precision=PRECISION) + b[None, :]
    at = (model * tokens + r)[:, None] * outputs + o[None, :]
    tl.store(OUT + at, y, rows & columns[None, :])
