"""Causal attention for CPUs, forward and backward, in tiles, by a matrix library.

Fused attention kernels are written for heads 64 wide; the heads compared here are 4 to 64 wide,
and 16 heads of width 4 spend their time on exponentials and on products with a short inner side.
So all heads of many sequences are multiplied at once; a tile is a block of query rows, which sees
no key beyond its last row, and as many sequences as the cache takes; what a product reads is copied
together first; and the backward pass computes the attention again instead of keeping it.

Shapes: S sequences, n tokens, H heads, w numbers per head, P = S·H pairs of sequence and head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synergy_trainer.attend.workspace import Workspace

_softmax_backward = torch.ops.aten._softmax_backward_data.out

ROWS = 64  # per block: rows of keys then end where vectors do, which makes exponentials fast
TILE = 2**21  # attention entries per tile, on a full square: 8 MiB of float32
WIDE = 32  # numbers per head from which on a product streams along them; below, along the tokens


@dataclass(frozen=True)
class Tile:
    """Rows first..last, block number `block`, of some sequences; they see keys 0..last."""

    sequences: slice
    pairs: slice
    block: int
    first: int
    last: int

    @property
    def rows(self) -> slice:
        return slice(self.first, self.last)


def row_blocks(length: int) -> list[tuple[int, int]]:
    """Cut the query rows into blocks of `ROWS` and a rest, as (first, last)."""
    return [(first, min(first + ROWS, length)) for first in range(0, length, ROWS)]


def tiles(sequences: int, length: int, heads: int) -> Iterator[Tile]:
    """Cut the attention of all sequences; the last rows of a sequence come first."""
    blocks = list(enumerate(row_blocks(length)))
    step = max(1, TILE // (heads * length**2))
    for start in range(0, sequences, step):
        for block, (first, last) in reversed(blocks):
            stop = min(start + step, sequences)
            pairs = slice(start * heads, stop * heads)
            yield Tile(slice(start, stop), pairs, block, first, last)


class TiledAttention:
    """The attention of one layer for all sequences and heads.

    What the backward pass needs stays with the caller. oneDNN and MKL are fast in different
    layouts, so it matters which multiplies.
    """

    def __init__(self, workspace: Workspace, onednn: bool = False) -> None:
        self._workspace = workspace
        self._onednn = onednn
        self._future: dict[int, Tensor] = {}

    def kept_shapes(self, sequences: int, length: int, heads: int) -> list[tuple[int, ...]]:
        """Shapes of one model's dropout mask by row block: pairs, rows, keys."""
        return [(sequences * heads, last - first, last) for first, last in row_blocks(length)]

    def forward(self, name: str, qkv: Tensor, out: Tensor, kept: Sequence[Tensor] = ()) -> None:
        """Mix values (M, S, n, H, w) by attention, into `out`; `backward` takes the same `name`.

        `qkv` are queries (already divided by √w), keys and values, (M, S, n, 3, H, w); `kept` is
        what dropout keeps, uint8 of `kept_shapes` for all models, empty without dropout. Values
        must already be divided by the share that is kept.
        """
        qkv, out, kept = qkv.flatten(0, 1), out.flatten(0, 1), [part.flatten(0, 1) for part in kept]
        for tile in tiles(qkv.shape[0], qkv.shape[1], qkv.shape[3]):
            queries, keys, values = self._seen(qkv, tile)
            attention = self._attention(queries, keys)
            if kept:
                attention.mul_(self._mask(kept, tile))
            mixed = self._by_keys(attention, values)
            out[tile.sequences, tile.rows] = _by_head(mixed, out.shape[2])

    def backward(
        self,
        name: str,
        qkv: Tensor,
        out: Tensor,
        gradient: Tensor,
        to: Tensor,
        kept: Sequence[Tensor] = (),
    ) -> None:
        """Write the gradient of `qkv` into `to`, from that of the output.

        The other arguments are as :meth:`forward` took and left them.
        """
        qkv, gradient, to = qkv.flatten(0, 1), gradient.flatten(0, 1), to.flatten(0, 1)
        kept = [part.flatten(0, 1) for part in kept]
        heads, length = qkv.shape[3], qkv.shape[1]
        for tile in tiles(qkv.shape[0], length, heads):
            queries, keys, values = self._seen(qkv, tile)
            arriving = self._tokens("arriving", gradient[tile.sequences, tile.rows])
            attention = self._attention(queries, keys)
            scores = self._product("scores", arriving, values.mT)
            if kept:
                mask = self._mask(kept, tile)
                scores.mul_(mask)
            _softmax_backward(scores, attention, -1, scores.dtype, grad_input=scores)
            if kept:
                attention.mul_(mask)
            to_tile = to[tile.sequences, : tile.last]
            to_tile[:, tile.first :, 0] = _by_head(self._by_keys(scores, keys), heads)
            for part, entries, factor in ((1, scores, queries), (2, attention, arriving)):
                found = self._by_queries(entries, factor)
                if tile.last == length:  # the last rows come first and see every key
                    to_tile[:, :, part] = _by_head(found, heads)
                else:
                    to_tile[:, :, part] += _by_head(found, heads)

    def _seen(self, qkv: Tensor, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the tile's rows, and the keys and values they see."""
        seen = qkv[tile.sequences, : tile.last]
        return (
            self._tokens("queries", seen[:, tile.first :, 0]),
            self._tokens("keys", seen[:, :, 1]),
            self._tokens("values", seen[:, :, 2]),
        )

    def _tokens(self, name: str, x: Tensor) -> Tensor:
        """Copy (S, n, H, w) to (P, n, w)."""
        x = x.transpose(1, 2)
        return self._take(name, *x.shape).copy_(x).flatten(0, 1)

    def _attention(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attention (P, rows, keys) of queries, the last ones, to the keys."""
        scores = self._product("attention", queries, keys.mT)
        rows = queries.shape[1]
        scores[:, :, -rows:].add_(self._bias(rows))
        return torch.softmax(scores, -1, out=scores)

    def _by_keys(self, entries: Tensor, factor: Tensor) -> Tensor:
        """Sum a factor (P, keys, w) over the keys, by entries (P, rows, keys)."""
        if self._onednn:
            return self._product("by_keys", entries, factor)
        return self._product("by_keys", factor.mT, entries.mT).mT

    def _by_queries(self, entries: Tensor, factor: Tensor) -> Tensor:
        """Sum a factor (P, rows, w) over the queries, by entries (P, rows, keys)."""
        if factor.shape[-1] >= WIDE:
            return self._product("by_queries", entries.mT, factor)
        return self._product("by_queries", factor.mT, entries).mT

    def _product(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """Multiply into a contiguous buffer: any other result is multiplied pair by pair."""
        out = self._take(name, left.shape[0], left.shape[1], right.shape[2])
        return torch.bmm(left, right, out=out)

    def _take(self, name: str, *shape: int) -> Tensor:
        return self._workspace.take(f"attention.{name}", *shape)

    def _mask(self, kept: Sequence[Tensor], tile: Tile) -> Tensor:
        """1.0 where attention is kept and 0.0 where dropped; floats multiply faster than bytes."""
        kept_here = kept[tile.block][tile.pairs]
        return self._take("mask", *kept_here.shape).copy_(kept_here)

    def _bias(self, count: int) -> Tensor:
        if count not in self._future:
            self._future[count] = torch.full((count, count), -torch.inf).triu_(1)
        return self._future[count]


def _by_head(tokens: Tensor, heads: int) -> Tensor:
    """View (P, n, w) as (S, n, H, w)."""
    return tokens.unflatten(0, (-1, heads)).transpose(1, 2)
