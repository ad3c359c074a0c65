"""Buffers that live as long as a training, so that a step asks the system for no memory.

Fresh large tensors cost a CPU more than filling them: the system maps and zeroes every page again
at each step, about a fifth of the time of a product of this size.
"""

from __future__ import annotations

import math

import torch


class Workspace:
    """Named float32 buffers of one device, made when first asked for.

    A buffer keeps what was last written to it until the same name is taken again; its first
    contents are undefined.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[str, torch.Tensor] = {}

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """The buffer of this name as a contiguous tensor of this shape."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[name] = torch.empty(size, device=self._device)
        return buffer[:size].view(shape)
