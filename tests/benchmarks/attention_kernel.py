"""Causal attention with dropout in one Triton kernel per direction: a prototype, not used yet.

For heads 4 to 64 wide and up to 128 tokens; one program per pair of sequence and head. Dropout is
a hash of a counter on the device, so that masks need no random state, repeat exactly on a resume
and can be the same on every device. Needs a GPU, or Triton's interpreter (`TRITON_INTERPRET=1`).

Tensors are contiguous: queries, keys and values (S, n, 3, H, w), outputs and gradients
(S, n, H, w); the backward kernel needs each row's log2 of its sum of exponentials, (S·H, N).
`W` is w, `WP` the same but at least 16, `N` at least n, both powers of two; `PREC` is the precision
of products, as in `tl.dot`.
"""

import triton
import triton.language as tl

LOG2_E = 1.4426950408889634


@triton.jit
def _mix(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _kept(key, pair, rows, cols, threshold, N: tl.constexpr):
    """Whether dropout keeps each entry of a pair's attention (N, N)."""
    place = (pair * (N * N) + rows[:, None] * N + cols[None, :]).to(tl.uint32)
    return _mix(_mix(place ^ key) ^ 0x9E3779B9) >= threshold


@triton.jit
def forward(
    QKV,
    OUT,
    LSE,
    KEY,
    n,
    heads,
    scale,
    threshold,
    share,
    W: tl.constexpr,
    WP: tl.constexpr,
    N: tl.constexpr,
    DROP: tl.constexpr,
    PREC: tl.constexpr,
):
    """Mix values by attention; `scale` is log2 e / √w, `share` 1 / the share that is kept."""
    pair = tl.program_id(0)
    s, h = pair // heads, pair % heads
    d = heads * W
    r = tl.arange(0, N)
    c = tl.arange(0, WP)
    ok = (r[:, None] < n) & (c[None, :] < W)
    at = QKV + s * n * 3 * d + r[:, None] * 3 * d + h * W + c[None, :]
    q = tl.load(at, ok, 0.0)
    k = tl.load(at + d, ok, 0.0)
    v = tl.load(at + 2 * d, ok, 0.0)
    x = tl.dot(q, tl.trans(k), input_precision=PREC) * scale
    x = tl.where(r[:, None] >= r[None, :], x, -1e30)
    top = tl.max(x, 1)
    p = tl.exp2(x - top[:, None])
    total = tl.sum(p, 1)
    p = p / total[:, None]
    if DROP:
        p = tl.where(_kept(tl.load(KEY).to(tl.uint32), pair, r, r, threshold, N), p * share, 0.0)
    o = tl.dot(p.to(v.dtype), v, input_precision=PREC)
    tl.store(OUT + s * n * d + r[:, None] * d + h * W + c[None, :], o, ok)
    tl.store(LSE + pair * N + r, top + tl.log2(total))


@triton.jit
def backward(
    QKV,
    OUT,
    LSE,
    GRAD,
    TO,
    KEY,
    n,
    heads,
    scale,
    threshold,
    share,
    W: tl.constexpr,
    WP: tl.constexpr,
    N: tl.constexpr,
    DROP: tl.constexpr,
    PREC: tl.constexpr,
):
    """Write the gradient of queries, keys and values into TO, from that of OUT."""
    pair = tl.program_id(0)
    s, h = pair // heads, pair % heads
    d = heads * W
    r = tl.arange(0, N)
    c = tl.arange(0, WP)
    ok = (r[:, None] < n) & (c[None, :] < W)
    place = s * n * 3 * d + r[:, None] * 3 * d + h * W + c[None, :]
    there = s * n * d + r[:, None] * d + h * W + c[None, :]
    q = tl.load(QKV + place, ok, 0.0)
    k = tl.load(QKV + place + d, ok, 0.0)
    v = tl.load(QKV + place + 2 * d, ok, 0.0)
    g = tl.load(GRAD + there, ok, 0.0)
    mean = tl.sum(g.to(tl.float32) * tl.load(OUT + there, ok, 0.0).to(tl.float32), 1)
    x = tl.dot(q, tl.trans(k), input_precision=PREC) * scale
    p = tl.exp2(x - tl.load(LSE + pair * N + r)[:, None])
    p = tl.where((r[:, None] >= r[None, :]) & (r[:, None] < n), p, 0.0)
    gain = tl.dot(g, tl.trans(v), input_precision=PREC)
    if DROP:
        kept = _kept(tl.load(KEY).to(tl.uint32), pair, r, r, threshold, N)
        gain = tl.where(kept, gain * share, 0.0)
        m = tl.where(kept, p * share, 0.0)
    else:
        m = p
    tl.store(TO + place + 2 * d, tl.dot(tl.trans(m.to(g.dtype)), g, input_precision=PREC), ok)
    x = (p * (gain - mean[:, None]) * (scale * 0.6931471805599453)).to(q.dtype)
    tl.store(TO + place, tl.dot(x, k, input_precision=PREC), ok)
    tl.store(TO + place + d, tl.dot(tl.trans(x), q, input_precision=PREC), ok)


def launch(qkv, gradient, drop, precision, key):
    """Run both kernels on (S, n, 3, H, w); return the output and the gradient of `qkv`."""
    sequences, length, _, heads, width = qkv.shape
    out, to = gradient.new_empty(gradient.shape), qkv.new_empty(qkv.shape)
    lse = qkv.new_empty(sequences * heads, 128)
    numbers = (length, heads, width**-0.5 * LOG2_E, int(drop * 2**32), 1 / (1 - drop))
    options = {"W": width, "WP": max(16, width), "N": 128, "DROP": drop > 0, "PREC": precision}
    grid = (sequences * heads,)
    forward[grid](qkv, out, lse, key, *numbers, **options, num_warps=8, num_stages=1)
    backward[grid](qkv, out, lse, gradient, to, key, *numbers, **options, num_warps=8, num_stages=1)
    return out, to
