"""Twins of the engine in exact rational arithmetic: slow, obvious, and without rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Matrix = list[list[Fraction]]


def fractions(array: npt.ArrayLike) -> Matrix:
    """A float matrix as the rationals that its floats are."""
    return [[Fraction(float(x)) for x in row] for row in np.asarray(array)]


def normalise_rows(matrix: Matrix) -> Matrix:
    """Divide rows by their sums; a row of zeros keeps its place (a 1 on the diagonal)."""
    out = []
    for k, row in enumerate(matrix):
        total = sum(row)
        out.append(
            [x / total for x in row] if total else [Fraction(int(i == k)) for i in range(len(row))]
        )
    return out


def transpose(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def mix(matrices: list[Matrix], weights: list[Fraction]) -> Matrix:
    n = len(matrices[0])
    return [
        [
            sum((w * m[j][i] for w, m in zip(weights, matrices, strict=True)), Fraction(0))
            for i in range(n)
        ]
        for j in range(n)
    ]


def walk(heads: list[Matrix], weights: list[Fraction], combine: str = "walks") -> Matrix:
    """P (rows = senders) of raw heads (rows = receivers)."""
    if combine == "attention":
        return normalise_rows(transpose(mix(heads, weights)))
    return mix([normalise_rows(transpose(head)) for head in heads], weights)


def diffusion(heads: list[Matrix], weights: list[Fraction]) -> Matrix:
    return mix([normalise_rows(head) for head in heads], weights)


def hitting(p: Matrix) -> list[Fraction | None]:
    """Expected steps to the last state, ``None`` where the walk may never arrive."""
    n = len(p)
    times: list[Fraction | None] = [Fraction(0)] * n
    for i in range(n - 2, -1, -1):
        leave = sum(p[i][i + 1 :], Fraction(0))
        onward = [(p[i][j], times[j]) for j in range(i + 1, n) if p[i][j]]
        if not leave or any(t is None for _, t in onward):
            times[i] = None
        else:
            times[i] = (1 + sum((q * t for q, t in onward if t is not None), Fraction(0))) / leave
    return times


def vector_times(v: list[Fraction], matrix: Matrix) -> list[Fraction]:
    n = len(v)
    return [sum((v[j] * matrix[j][i] for j in range(n)), Fraction(0)) for i in range(n)]


def matrix_times(matrix: Matrix, v: list[Fraction]) -> list[Fraction]:
    return [sum((a * x for a, x in zip(row, v, strict=True)), Fraction(0)) for row in matrix]


@st.composite
def raw_heads(draw: st.DrawFn, most_nodes: int = 6, most_heads: int = 3) -> np.ndarray:
    """Raw weights (H, n, n): sparse, uneven, with self-loops up to 1 - 1e-14 of all there is."""
    n = draw(st.integers(1, most_nodes))
    count = draw(st.integers(1, most_heads))
    entry = st.sampled_from([0.0, 0.0, 1.0, 2.0, 0.3, 1e-3, 1e-7, 1e-14])
    loop = st.sampled_from([0.0, 1.0, 1.0, 5.0, 0.1])
    heads = np.zeros((count, n, n))
    for h in range(count):
        for j in range(n):
            for i in range(j):
                heads[h, j, i] = draw(entry)
            heads[h, j, j] = draw(loop)
    return heads


@st.composite
def systems(
    draw: st.DrawFn, most_nodes: int = 6, most_heads: int = 3
) -> tuple[np.ndarray, list[int]]:
    """Raw heads and whole-number head weights that are not all zero."""
    heads = draw(raw_heads(most_nodes, most_heads))
    weights = draw(
        st.lists(st.integers(0, 4), min_size=len(heads), max_size=len(heads)).filter(any)
    )
    return heads, weights
