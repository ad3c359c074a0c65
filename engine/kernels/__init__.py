"""Numba kernels: they compute and nothing else; their callers validate and allocate."""

from .cache import ensure_cache_folder

ensure_cache_folder()
