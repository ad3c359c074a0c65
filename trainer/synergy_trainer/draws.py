"""Random integers with the same bits on every device, from a counter-based hash of integers.

The hash is the two-round xor-shift-multiply of Chris Wellons' search for low-bias 32-bit functions
(`lowbias32`), keyed twice.
"""

from __future__ import annotations

import math

import torch

_MASK = 0xFFFFFFFF
FIRST, SECOND = 0x7FEB352D, 0x846CA68B


def _mix_python(value: int) -> int:
    """Hash a Python integer to 64 bits (the finaliser of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return value ^ (value >> 31)


def key_of(*parts: int) -> int:
    """Hash a tuple of integers to one 64-bit key, sensitive to their order."""
    key = len(parts)
    for part in parts:
        key = _mix_python(key ^ (part & (2**64 - 1)))
    return key


def mix(values: torch.Tensor) -> torch.Tensor:
    """Hash 32-bit integers held in int64; a product that wraps keeps its low 32 bits."""
    values = ((values ^ (values >> 16)) * FIRST) & _MASK
    values = ((values ^ (values >> 15)) * SECOND) & _MASK
    return values ^ (values >> 16)


class Draw:
    """Random integers for one batch: the n-th request always gives the same numbers.

    They depend on the key, from :func:`key_of`, alone, not on the device they are made on.
    """

    def __init__(self, key: int, device: torch.device) -> None:
        self._key = key
        self._device = device
        self._requests = 0

    def bits(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw uniform integers in 0..2³²-1, int64."""
        key = key_of(self._key, self._requests)
        self._requests += 1
        counter = torch.arange(math.prod(shape), device=self._device)
        return mix(mix(counter ^ (key & _MASK)) ^ (key >> 32)).view(shape)

    def integers(self, high: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw integers in 0..high-1, int64, uniform up to a bias of high/2³²."""
        return (self.bits(shape) * high) >> 32

    def permutations(self, size: int, rows: int) -> torch.Tensor:
        """Draw `rows` permutations of 0..size-1, int64 (rows, size)."""
        return self.bits((rows, size)).argsort(dim=1, stable=True)
