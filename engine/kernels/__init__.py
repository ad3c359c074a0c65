"""Numba kernels: they compute and nothing else; their callers validate and allocate."""

from .cache import ensure_cache_folder
from .startup import import_without_blas

ensure_cache_folder()
import_without_blas()
