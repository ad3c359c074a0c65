"""Short names for the types of arrays."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Reals = npt.NDArray[np.floating]
"""float32 or float64, as it was given."""
