"""Attention on CPUs: compiled kernels for narrow heads, matrix products for wide ones."""
