"""Numba's own imports, without the one that no kernel of ours needs."""

from __future__ import annotations

import sys
from contextlib import suppress


def load_array_functions() -> None:
    """Import Numba's array functions without SciPy's linear algebra.

    They import it only to see that it is there, which takes a fifth of a new process's time until
    its first answer. It is a dependency of this package, so the answer is known; whoever compiles a
    product of matrices still has Numba look for it then. Where these private names of Numba have
    changed, nothing is saved and nothing else happens.
    """
    if "scipy.linalg" in sys.modules or "numba.np.arraymath" in sys.modules:
        return
    with suppress(ImportError, AttributeError):
        from numba.np import linalg

        look = linalg.ensure_blas
        linalg.ensure_blas = _assume_blas
        try:
            from numba.np import arraymath
        finally:
            linalg.ensure_blas = look
        arraymath.ensure_blas = look


def _assume_blas() -> None:
    """Stands for Numba's look at SciPy's linear algebra."""
