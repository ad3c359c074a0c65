"""The sink's rows and the binding node's columns, carried through the layers of dense heads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synergy_engine.arrays import Floats, Ints, Reals
from synergy_engine.kernels import layers as kernels
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.limits import report


class Carried(NamedTuple):
    """What B networks of L layers and H heads carry to one sink. Shares are not normalised."""

    node: Floats  # (B, n) how clearly the sink hears each node
    argmin: Ints  # (B,) the node heard least, the sink aside
    gradient: Floats  # (B, L, H) derivatives by the head weights at that node
    skip: Floats  # (B, L) what passes a layer by its residual path
    pairs: Floats | None  # (B, L - 1, H, H): from a head of one layer to one of the next


def clearest(
    heads: Reals, weights: Floats, gamma: Floats, sink: int, *, whole: bool = True
) -> tuple[list[Floats], Floats]:
    """Rows ``v_L = e_sink, v_{l-1} = v_l M_l`` (L + 1 of (B, n), by layer) and ``(v_l ∘ γ_l) D``.

    ``M_l = (1 - γ_l) I + γ_l Σ_h β_{l,h} D_{l,h}``; heads (B, L, H, n, n), weights (B, L, H), gamma
    (B, L, n); the second result (B, L, H, n) is of every head. ``whole`` as in
    `synergy_engine.operators.dense.head_stack`.
    """
    inputs, layers, count, n = heads.shape[:4]
    row = np.zeros((inputs, n))
    row[:, sink] = 1.0
    rows = [row]
    by_head = np.empty((inputs, layers, count, n))
    for layer in range(layers - 1, -1, -1):
        report("layers, from the sink down", layers - 1 - layer, layers)
        through = row * gamma[:, layer]

        def task(low: int, high: int, layer: int = layer, through: Floats = through) -> None:
            kernels.push(heads, layer, through, whole, low, high, by_head)

        over_ranges(task, inputs * count, inputs * count * n * n / 2)
        row = row * (1.0 - gamma[:, layer]) + _mixed(weights[:, layer], by_head[:, layer])
        rows.append(row)
    return rows[::-1], by_head


def carried(
    heads: Reals, weights: Floats, gamma: Floats, sink: int, *, pairs: bool, whole: bool = True
) -> Carried:
    """Follow the sink's row down and the column of the node heard least up again.

    Arguments as in `clearest`; two passes over the lower triangles of the heads.
    """
    inputs, layers, count, n = heads.shape[:4]
    rows, by_head = clearest(heads, weights, gamma, sink, whole=whole)
    argmin = np.argmin(rows[0][:, : max(sink, 1)], axis=1)
    column = np.zeros((inputs, n))
    column[np.arange(inputs), argmin] = 1.0
    switches = np.empty((inputs, layers - 1, count, count)) if pairs else None
    heard = np.zeros((inputs, count, n))
    kept = 1.0 - gamma
    columns = [column]
    for layer in range(layers - 1):
        report("layers, from the node heard least up", layer, layers)

        def task(low: int, high: int, layer: int = layer, column: Floats = column) -> None:
            kernels.pull(heads, layer, column, argmin, sink, whole, low, high, heard)

        over_ranges(task, inputs * count, inputs * count * n * n / 2)
        if switches is not None:
            through = heard * gamma[:, layer, None]
            switches[:, layer] = np.einsum("bkn,bhn->bhk", by_head[:, layer + 1], through)
        column = kept[:, layer] * column + gamma[:, layer] * _mixed(weights[:, layer], heard)
        columns.append(column)
    below = np.stack(columns, axis=1)
    gradient = np.einsum("blhn,bln->blh", by_head, below)
    skip = np.einsum("bln,bln->bl", np.stack(rows[1:], axis=1) * kept, below)
    return Carried(rows[0], argmin, gradient, skip, switches)


def _mixed(weights: Floats, values: Floats) -> Floats:
    """``Σ_h weights[b, h] · values[b, h]``: (B, n), in the order of the heads."""
    return np.einsum("bh,bhn->bn", weights, values)
