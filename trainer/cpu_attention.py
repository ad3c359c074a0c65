"""Causal attention for CPUs, forward and backward, in tiles that stay in the cache.

Fused attention kernels are written for heads 64 wide; the heads compared here are 4 to 64 wide,
and 16 heads of width 4 spend their time on exponentials and on products with a short inner side.
So queries, keys and values are kept with the tokens as the contiguous side, (P, w, n) for P pairs
of sequence and head, which makes every product stream; a tile is a few pairs and a block of query
rows, which sees no key beyond its last row; and the backward pass computes the attention again
instead of keeping it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .workspace import Workspace

# Random 16-bit lanes and the threshold from which on an entry is kept.
Kept = tuple[Tensor, int]

ROWS = 33  # query rows a block: fewer waste less on the future, more make longer products
TILE = 2**20  # attention entries a tile, on a full square: 4 MiB


@dataclass(frozen=True)
class Tile:
    """Pairs start..stop and block `block` of the query rows, first..last; they see keys 0..last."""

    start: int
    stop: int
    block: int
    first: int
    last: int


def row_blocks(length: int) -> list[tuple[int, int]]:
    """Cut the query rows into blocks of about `ROWS`, as (first, last)."""
    blocks = max(1, round(length / ROWS))
    edges = [round(length * block / blocks) for block in range(blocks + 1)]
    return list(pairwise(edges))


def tiles(pairs: int, length: int) -> Iterator[Tile]:
    """Cut the attention of all pairs; of the same pairs, the last rows come first."""
    blocks = list(enumerate(row_blocks(length)))
    step = max(1, TILE // length**2)
    for start in range(0, pairs, step):
        for block, (first, last) in reversed(blocks):
            yield Tile(start, min(start + step, pairs), block, first, last)


class CausalAttention:
    """The attention of one layer for all pairs of sequence and head.

    Args:
        workspace: where buffers come from; what the backward pass needs stays with the caller.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._future: dict[int, Tensor] = {}

    def forward(self, qkv: Tensor, out: Tensor, kept: Sequence[Kept] = ()) -> None:
        """Mix values by attention.

        Args:
            qkv: queries (already divided by √w), keys and values, (P, 3, w, n).
            out: written to, (P, w, n).
            kept: for dropout, what each row block keeps (P, rows, keys); empty for none. Values
                must already be divided by the share that is kept.
        """
        queries, keys, values = qkv.unbind(1)
        for tile in tiles(qkv.shape[0], qkv.shape[-1]):
            pairs = slice(tile.start, tile.stop)
            attention = self._attention(queries, keys, tile)
            if kept:
                attention.mul_(self._mask(kept, tile))
            mixed = self._product("mixed", values[pairs, :, : tile.last], attention.mT)
            out[pairs, :, tile.first : tile.last].copy_(mixed)

    def backward(
        self, qkv: Tensor, out: Tensor, gradient: Tensor, to: Tensor, kept: Sequence[Kept] = ()
    ) -> None:
        """Propagate a gradient through the attention.

        Args:
            qkv, out, kept: as in :meth:`forward`.
            gradient: of the output, (P, w, n).
            to: written to, the gradient of `qkv`.
        """
        queries, keys, values = qkv.unbind(1)
        to_queries, to_keys, to_values = to.unbind(1)
        length = qkv.shape[-1]
        product = torch.mul(gradient, out, out=self._workspace.take("delta", *out.shape))
        delta = product.sum(1).neg_()[:, :, None]
        for tile in tiles(qkv.shape[0], length):
            pairs, rows, seen = (
                slice(tile.start, tile.stop), slice(tile.first, tile.last), slice(0, tile.last)
            )  # fmt: skip
            attention = self._attention(queries, keys, tile)
            arriving, asked = gradient[pairs, :, rows], queries[pairs, :, rows]
            scores = self._workspace.take("scores", *attention.shape)
            if kept:
                mask = self._mask(kept, tile)
                torch.bmm(arriving.mT, values[pairs, :, seen], out=scores)
                scores.mul_(mask).add_(delta[pairs, rows]).mul_(attention)
                attention.mul_(mask)
            else:
                torch.baddbmm(delta[pairs, rows], arriving.mT, values[pairs, :, seen], out=scores)
                scores.mul_(attention)
            for_values = self._product("for_values", arriving, attention)
            for_queries = self._product("for_queries", keys[pairs, :, seen], scores.mT)
            for_keys = self._product("for_keys", asked, scores)
            to_queries[pairs, :, rows].copy_(for_queries)
            if tile.last == length:  # the last rows come first and see every key
                to_keys[pairs].copy_(for_keys)
                to_values[pairs].copy_(for_values)
            else:
                to_keys[pairs, :, seen].add_(for_keys)
                to_values[pairs, :, seen].add_(for_values)

    def _mask(self, kept: Sequence[Kept], tile: Tile) -> Tensor:
        """1.0 where attention is kept and 0.0 where dropped."""
        lanes, threshold = kept[tile.block]
        lanes = lanes[tile.start : tile.stop]
        return torch.ge(lanes, threshold, out=self._workspace.take("mask", *lanes.shape))

    def _product(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """Multiply into a contiguous buffer: any other result is multiplied pair by pair."""
        out = self._workspace.take(name, left.shape[0], left.shape[1], right.shape[2])
        return torch.bmm(left, right, out=out)

    def _attention(self, queries: Tensor, keys: Tensor, tile: Tile) -> Tensor:
        pairs, rows = slice(tile.start, tile.stop), slice(tile.first, tile.last)
        count = tile.last - tile.first
        scores = self._workspace.take("attention", tile.stop - tile.start, count, tile.last)
        torch.bmm(queries[pairs, :, rows].mT, keys[pairs, :, : tile.last], out=scores)
        scores[:, :, tile.first :].add_(self._bias(count))
        return torch.softmax(scores, -1, out=scores)

    def _bias(self, count: int) -> Tensor:
        if count not in self._future:
            self._future[count] = torch.full((count, count), -torch.inf).triu_(1)
        return self._future[count]
