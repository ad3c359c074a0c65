"""Compiled kernels ahead of the first question."""

from __future__ import annotations

import numpy as np

from .analysis import analyze, analyze_batch
from .convention import CONVENTIONS
from .system import MultiHeadSystem


def warm_up() -> None:
    """Compile the kernels that analyses of dense heads run, or load them from disk.

    Compiling takes some ten seconds, once for each version of the engine; loading, under one. A
    program that will analyse attention calls this in a thread, or when it is installed, so that
    its first answer does not wait.

    Examples
    --------
    >>> import engine
    >>> engine.warm_up()
    """
    attention = np.tril(np.ones((2, 1, 2, 4, 4), dtype=np.float32))
    attention /= attention.sum(axis=-1, keepdims=True)
    for convention in CONVENTIONS:
        analyze_batch(attention, convention=convention)
    analyze(MultiHeadSystem.from_edges([[(0, 1), (1, 2)], [(0, 2), (1, 2)]]))
