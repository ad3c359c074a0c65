"""Numba kernels, the records they work on, and the threads that run them; callers validate."""

from synergy_engine.kernels.cache import cache_folder, ensure_cache_folder, forget_stale_kernels
from synergy_engine.kernels.startup import load_array_functions

load_array_functions()
ensure_cache_folder()
forget_stale_kernels(compiled=cache_folder())
