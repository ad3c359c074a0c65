"""Numba kernels: they compute and nothing else; their callers validate and allocate."""

from synergy_engine.kernels.cache import ensure_cache_folder, forget_stale_kernels

ensure_cache_folder()
forget_stale_kernels()
