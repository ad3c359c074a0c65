"""One update as one CUDA graph: small models wait for launches, not for arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .data import Batch

_WARM_UPS = 3


class GraphedUpdate:
    """Records an update once and replays it with new data.

    Args:
        update: makes the whole update from a batch, with no wait for the device in it.
        example: a batch of the right shape.
        state: every tensor that the update changes; warming up leaves them as they were.
    """

    def __init__(
        self,
        update: Callable[[Batch], tuple[Tensor, Tensor]],
        example: Batch,
        state: Sequence[Tensor],
    ) -> None:
        self._batch = Batch(
            example.inputs.contiguous().clone(), example.targets.contiguous().clone()
        )
        before = [values.detach().clone() for values in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                update(self._batch)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad():
            for values, old in zip(state, before, strict=True):
                values.copy_(old)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses, self._accuracies = update(self._batch)

    def run(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Make the update with this batch; losses and accuracies (M,) of it."""
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        self._graph.replay()
        return self._losses.clone(), self._accuracies.clone()
