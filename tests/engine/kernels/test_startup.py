"""A new process answers without SciPy's linear algebra, and Numba still has it where it is asked.

In processes of their own: what is loaded cannot be unloaded.
"""

from __future__ import annotations

import subprocess
import sys

FIRST_ANSWERS = """
import sys
import numpy as np, synergy_engine as engine
system = engine.MultiHeadSystem.from_attention(np.eye(4))
engine.hitting_times(system), engine.fidelity(system), engine.mixing_time(system)
print("scipy.linalg" in sys.modules)
"""

A_PRODUCT_OF_ANOTHER = """
import numba
print(numba.njit(lambda a, b: np.dot(a, b))(np.ones((2, 3)), np.ones((3, 2))).tolist())
from numba.np import arraymath, linalg
print(arraymath.ensure_blas is linalg.ensure_blas, "scipy.linalg.cython_blas" in sys.modules)
"""


def printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_first_answers_load_no_linear_algebra_and_others_still_find_it() -> None:
    assert printed(FIRST_ANSWERS + A_PRODUCT_OF_ANOTHER) == [
        "False",
        "[[3.0, 3.0], [3.0, 3.0]]",
        "True True",
    ]
