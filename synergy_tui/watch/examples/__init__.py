"""Whole programs, one for each way to watch a training; run with ``python -m``."""
