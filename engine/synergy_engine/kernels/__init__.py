"""Numba kernels, the records they work on, and the threads that run them; callers validate."""

from synergy_engine.kernels.cache import cache_folder, ensure_cache_folder, forget_stale_kernels

ensure_cache_folder()
forget_stale_kernels(compiled=cache_folder())
