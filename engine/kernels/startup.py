"""Starts Numba without `scipy.linalg`, which it imports only to learn whether it is there."""

from __future__ import annotations

import sys


def import_without_blas() -> None:
    """Answer Numba's question whether SciPy's BLAS is there without importing it.

    The first kernel of a process loads all of Numba's array library, which tries to import
    ``scipy.linalg`` (a quarter of the start) and remembers whether that worked. SciPy is a
    requirement of this package, so the answer is known to be yes; a kernel that does use BLAS
    imports it when it is compiled. If Numba is not as expected it starts in its usual way.
    """
    if "numba.np.arraymath" in sys.modules or "scipy.linalg" in sys.modules:
        return
    from numba.np import linalg

    ensure_blas = getattr(linalg, "ensure_blas", None)
    if ensure_blas is None:
        return

    def not_yet() -> None:
        raise ImportError

    linalg.ensure_blas = not_yet
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = ensure_blas
    arraymath.ensure_blas = ensure_blas
    arraymath._HAVE_BLAS = True
