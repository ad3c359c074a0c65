"""Numba kernels: they compute and nothing else; their callers validate and allocate."""
