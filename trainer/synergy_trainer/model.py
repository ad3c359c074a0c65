"""Causal Transformers, many at a time: the leading dimension of every tensor is the model.

One model is a stack of one. Parameter shapes do not depend on the number of heads, so models with
different head counts share every matrix product; only attention itself runs once for each head
count, with the models folded into its batch.

The block is that of the published checkpoints (Sáez de Ocáriz Borde, arXiv 2507.02944):
`x += attention(rmsnorm(x)); x += mlp(rmsnorm(x))`, no final norm. Symbols in the shapes below:
M models, B sequences, n tokens, d = embed, H heads, V tokens in the vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synergy_trainer.attend.attention import ByHead, attend, dropout
from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.fused import (
    Affine,
    FusedAttention,
    FusedNormalise,
    attention_is_fused,
    fused_serves,
)
from synergy_trainer.draws import key_of
from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import Intervention, ModelShape

RMS_EPSILON = 1e-8  # what the published attention was computed with
_QKV = ("W_q", "W_k", "W_v")

Mixed = Callable[[int, Tensor], Tensor]
"""Of a layer and the values (M, B·n, d) that its heads mix: what takes their place."""


def initial_state(shape: ModelShape, seed: int) -> dict[str, Tensor]:
    """Draw a model's first parameters: uniform ±1/√fan_in for products, N(0, 1) for embeddings.

    Every parameter has a random stream of its own, named by the seed and its name, so models
    start from equal numbers wherever their shapes agree. With tied weights the embedding is
    N(0, 1/d), since it also makes the logits.
    """
    state = {}
    for name, size in shape.parameter_shapes().items():
        stream = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
        generator = torch.Generator().manual_seed(key_of(seed, stream) >> 1)
        values = torch.empty(size)
        if name.endswith("_emb.weight"):
            scale = shape.embed**-0.5 if shape.tie_weights else 1.0
            values.normal_(0.0, scale, generator=generator)
        elif ".ln" in name:
            values.fill_(1.0)
        else:
            fan_in = shape.mlp if ".mlp.2." in name else shape.embed
            values.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        state[name] = values
    return state


def sinusoids(length: int, width: int, device: torch.device) -> Tensor:
    """Sine and cosine positions (n, d) of Vaswani et al. 2017, wavelengths 2π to 10000·2π."""
    return torch.cat(_turns(length, math.ceil(width / 2), device), dim=1)[:, :width]


def _turns(length: int, pairs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sine and cosine (n, pairs) of position times frequency 10000^(-k/pairs)."""
    frequencies = 10000.0 ** (-torch.arange(pairs, device=device) / pairs)
    angles = torch.arange(length, device=device)[:, None] * frequencies
    return angles.sin(), angles.cos()


def rotate(x: Tensor) -> Tensor:
    """Turn queries or keys (M, B, n, H, w) by their position (rotary positions, Su et al. 2021)."""
    turns = _turns(x.shape[2], x.shape[-1] // 2, x.device)
    sine, cosine = (each.to(x.dtype)[:, None] for each in turns)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)


class ModelStack:
    """M Transformers of one shape, their parameters stacked in banks of shape (M, …).

    Models may differ in `heads` and in `changes`, the intervention on each one's attention if any.
    Those that agree in both attend together where they are adjacent (sort them): `groups` are such,
    as (start, stop, heads, change). `banks` are leaves that require gradients. Queries, keys and
    values share a bank `layers.{l}.attn.qkv`; otherwise names are those of the checkpoints.
    `fixed_positions` are sinusoids (1, length, d) that are added to the embeddings, if any.
    """

    def __init__(
        self,
        shape: ModelShape,
        heads: Sequence[int],
        device: torch.device | str = "cpu",
        changes: Sequence[Intervention | None] | None = None,
    ) -> None:
        self.shape = shape
        self.heads = tuple(heads)
        self.device = torch.device(device)
        self.groups = list(_groups(self.heads, changes or [None] * len(self.heads)))
        plain = all(change is None for *_, change in self.groups)
        # Queries, keys and values are used as the bank of their projections has them.
        self._ordinary = plain and shape.queries is None and shape.positions != "rotary"
        sizes: dict[str, tuple[int, ...]] = {}
        for name, size in shape.parameter_shapes().items():
            bank, part = _bank_of(name)
            if part is None:
                sizes[bank] = size
            elif part == 0:
                sizes[bank] = (2 * shape.query_width + shape.embed, *size[1:])
        self.banks = {
            name: torch.zeros((len(self.heads), *size), device=self.device, requires_grad=True)
            for name, size in sizes.items()
        }
        self.fixed_positions = (
            sinusoids(shape.length, shape.embed, self.device)[None]
            if shape.positions == "sinusoidal"
            else None
        )

    def state(self, model: int) -> dict[str, Tensor]:
        """Views of one model's parameters under their published names."""
        return split_banks(self.shape, {name: bank[model] for name, bank in self.banks.items()})

    def load(self, model: int, state: Mapping[str, Tensor]) -> None:
        """Copy a state dict into one model; a TrainerError lists all that does not fit."""
        expected = self.shape.parameter_shapes()
        problems = [f"{name}: missing" for name in expected if name not in state]
        problems += [f"{name}: not a parameter of this model" for name in state.keys() - expected]
        problems += [
            f"{name}: has shape {tuple(state[name].shape)}, needs {size}"
            for name, size in expected.items()
            if name in state and tuple(state[name].shape) != size
        ]
        if problems:
            raise TrainerError(problems)
        for name, values in self.state(model).items():
            values.copy_(state[name])

    def head_weights(self, model: int) -> NDArray[np.float64]:
        """Weight of each head in each layer, (L, H), rows summing to 1.

        The L2 norm of the columns h·d/H..(h+1)·d/H of the layer's output projection, the part
        that reads head h, normalised over heads.
        """
        names = (f"layers.{layer}.attn.out_proj.weight" for layer in range(self.shape.layers))
        banks = [self.banks[name][model].detach().cpu().numpy() for name in names]
        slices = np.reshape(banks, (len(banks), self.shape.embed, self.heads[model], -1))
        norms = np.sqrt(np.square(slices, dtype=np.float64).sum(axis=(1, 3)))
        total = norms.sum(axis=1, keepdims=True)
        weights = np.full_like(norms, 1 / norms.shape[1])  # where nothing is projected
        with np.errstate(invalid="ignore"):  # of parameters that are not finite
            np.divide(norms, total, out=weights, where=total != 0)
        return weights

    def logits(
        self,
        inputs: Tensor,
        scored_from: int = 0,
        drops: Sequence[tuple[Drops, Drops]] = (),
        dtype: torch.dtype = torch.float32,
        found: list[Tensor] | None = None,
        norms: list[Tensor] | None = None,
        changed: Mixed | None = None,
    ) -> Tensor:
        """Logits (M, B·(n - scored_from), V) of tokens (M, B, n).

        `drops` are those of every layer, of attention weights and of the MLP's output; empty
        without dropout. `dtype` is that of the matrix products but the last; the residual stream
        and the logits are float32. Where `found` is given, the attention (M·B, H, n, n) of each
        layer's groups is appended to it, and to `norms` what its output has of the norms (M, B·n)
        where it is added. `changed` is given each layer and what its heads mix (M, B·n, d), head
        by head, and returns what the output projection reads instead.
        """
        models, batch, length = inputs.shape
        x = self._embed(inputs)
        for layer in range(self.shape.layers):
            at = f"layers.{layer}."
            of_attention, of_mlp = drops[layer] if drops else (None, None)
            qkv = self._product(x, at + "attn.qkv", dtype, norm=at + "ln1.weight")
            qkv = qkv.view(models, batch, length, -1)
            mixed = self._attention(qkv, of_attention, found)
            if changed is not None:
                mixed = changed(layer, mixed)
            added = self._product(mixed, at + "attn.out_proj", dtype)
            if norms is not None:
                own, stream = (torch.linalg.vector_norm(each, dim=-1) for each in (added, x))
                norms.append(own / (own + stream))
            x = x + added
            hidden = self._product(x, at + "mlp.0", dtype, norm=at + "ln2.weight")
            hidden = F.relu(hidden) if self.shape.activation == "relu" else F.gelu(hidden)
            made = self._product(hidden, at + "mlp.2", dtype)
            if of_mlp is None:
                x = x + made
            else:
                places = (models, batch, 1, length, -1)
                x = dropout(made.view(places), of_mlp, x.view(places)).view(x.shape)
        if scored_from:
            x = x.view(models, batch, length, -1)[:, :, scored_from:].flatten(1, 2)
        return self._product(x, "out_proj", torch.float32)

    @torch.no_grad()
    def attention(
        self, inputs: Tensor, scored_from: int = 0, norms: list[Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Attention (B, L, H, n, n) of each model, in float32 without dropout, and the logits.

        `norms` is filled as by :meth:`logits`.
        """
        found: list[Tensor] = []
        logits = self.logits(inputs, scored_from, found=found, norms=norms)
        models: list[Tensor] = []
        for group, (start, stop, *_) in enumerate(self.groups):
            stacked = torch.stack(found[group :: len(self.groups)], dim=1)
            models += stacked.unflatten(0, (stop - start, -1)).unbind(0)
        return models, logits

    def without(self, layer: int, head: int, means: Tensor | None = None) -> Mixed:
        """Remove a head from every model that has it, for :meth:`logits`.

        What it writes becomes zero or, where given, what layer's heads mix in the mean over
        sequences, (M, n, d).
        """
        kept = torch.ones(len(self.heads), 1, self.shape.embed, device=self.device)
        for model, heads in enumerate(self.heads):
            if head < heads:
                own = self.shape.embed // heads
                kept[model, :, head * own : (head + 1) * own] = 0.0

        def changed(at: int, mixed: Tensor) -> Tensor:
            if at != layer:
                return mixed
            if means is None:
                return mixed * kept
            sequences = mixed.shape[1] // means.shape[1]
            return torch.where(kept == 0, means.repeat(1, sequences, 1), mixed)

        return changed

    def _embed(self, inputs: Tensor) -> Tensor:
        """Token and position embeddings (M, B·n, d)."""
        length = inputs.shape[-1]
        bank = self.banks["token_emb.weight"]
        x = F.embedding(inputs + token_offsets(inputs, self.shape.tokens), bank.flatten(0, 1))
        learned = self.banks.get("pos_emb.weight")
        positions = self.fixed_positions if learned is None else learned
        if positions is not None:
            x = x + positions[:, None, :length]
        return x.flatten(1, 2)

    def _product(self, x: Tensor, name: str, dtype: torch.dtype, norm: str | None = None) -> Tensor:
        """Apply the affine map `name` to (M, T, i), after RMSNorm where `norm` names its scale."""
        tied = name == "out_proj" and self.shape.tie_weights
        weight = self.banks["token_emb.weight" if tied else name + ".weight"]
        bias = self.banks[name + ".bias"]
        if norm is not None:
            # The scale goes into the matrix: d·o numbers instead of one more pass over T·d.
            x = normalised(x)
            weight = weight * self.banks[norm][:, None, :]
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        if x.is_cuda:
            return Affine.apply(x, weight, bias)
        if len(weight) == 1:
            return F.linear(x.squeeze(0), weight.squeeze(0), bias.squeeze(0))[None]
        return torch.baddbmm(bias[:, None, :], x, weight.mT)

    def _attention(self, qkv: Tensor, drops: Drops | None, found: list[Tensor] | None) -> Tensor:
        """Mix values, group by group or all at once: qkv (M, B, n, ·) → (M, B·n, d)."""
        if found is None and self._ordinary and attention_is_fused(qkv, self.heads):
            return FusedAttention.apply(qkv, self.heads, drops).flatten(1, 2)
        mixed = []
        sizes = [stop - start for start, stop, *_ in self.groups]
        parts = qkv.split(sizes) if len(sizes) > 1 else [qkv]
        for (start, stop, heads, change), part in zip(self.groups, parts, strict=True):
            by_head = self._by_head(part, heads)
            of_group = None if drops is None else drops.of(slice(start, stop))
            mixed.append(
                attend(by_head, of_group, change, found).reshape(stop - start, -1, self.shape.embed)
            )
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _by_head(self, qkv: Tensor, heads: int) -> ByHead:
        """Queries, keys and values (M, B, n, ·), head by head."""
        width, rotary = self.shape.query_width, self.shape.positions == "rotary"
        if width == self.shape.embed and not rotary:
            return qkv.unflatten(3, (3, heads, -1))
        parts = qkv.split([width, width, self.shape.embed], 3)
        queries, keys, values = (part.unflatten(3, (heads, -1)) for part in parts)
        if rotary:
            queries, keys = rotate(queries), rotate(keys)
        if width == self.shape.embed:
            return torch.stack([queries, keys, values], 3)
        return queries, keys, values


def normalised(x: Tensor) -> Tensor:
    """x / rms(x) along the last axis: RMSNorm without its scale."""
    if fused_serves(x):
        return FusedNormalise.apply(x, RMS_EPSILON)
    return _Normalise.apply(x)


class _Normalise(torch.autograd.Function):
    """The same in two passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        factor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor.square_().div_(x.shape[-1]).add_(RMS_EPSILON).rsqrt_()
        values = x * factor
        ctx.save_for_backward(values, factor)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(g - x̂ mean(g x̂)) / rms."""
        values, factor = ctx.saved_tensors
        share = (gradient * values).mean(-1, keepdim=True)
        return torch.addcmul(gradient, values, share, value=-1.0).mul_(factor)


def answered(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and accuracy (M,) of logits (M, T, V) for targets (M, T).

    Spoils the logits, and can be differentiated once: fresh memory of their size costs a CPU more
    than computing.
    """
    return _Answered.apply(logits, targets)


class _Answered(torch.autograd.Function):
    """Only the answers' entries are read of the logits, and no logarithm of another one is taken.

    -log p of an answer is the largest logit minus its own, plus -log of the largest p.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        targets = targets[:, :, None]
        largest, answers = logits.amax(-1, keepdim=True), logits.gather(-1, targets)
        own = logits if logits.dtype == torch.float32 else None
        shares = torch.softmax(logits, -1, dtype=torch.float32, out=own)
        ctx.save_for_backward(shares, targets)
        losses = largest - answers - shares.amax(-1, keepdim=True).log()
        accuracies = (answers == largest).float().mean((1, 2))
        ctx.mark_non_differentiable(accuracies)
        return losses.mean((1, 2)), accuracies

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        shares, targets = ctx.saved_tensors
        scale = gradient[:, None, None] / targets.shape[1]
        to = shares.mul_(scale)
        return to.scatter_add_(-1, targets, (-scale).expand(targets.shape)), None


def token_offsets(inputs: Tensor, tokens: int) -> Tensor:
    """What to add to inputs (M, B, n) to get rows of the models' embeddings laid end to end."""
    return torch.arange(len(inputs), device=inputs.device)[:, None, None] * tokens


def _groups(
    heads: Sequence[int], changes: Sequence[Intervention | None]
) -> Iterator[tuple[int, int, int, Intervention | None]]:
    """Stretches of models that attend alike, as (start, stop, heads, change)."""
    start = 0
    for (count, change), members in groupby(zip(heads, changes, strict=True)):
        stop = start + len(list(members))
        yield start, stop, count, change
        start = stop


def _bank_of(name: str) -> tuple[str, int | None]:
    """Bank that contains a parameter, and which part of it (None: all)."""
    for part, product in enumerate(_QKV):
        if f".{product}." in name:
            return name.replace(product, "qkv"), part
    return name, None


def split_banks(shape: ModelShape, banks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Views under the published names of one model's parameters (or moments) in banks."""
    state = {}
    for name, size in shape.parameter_shapes().items():
        bank, part = _bank_of(name)
        values = banks[bank].detach()
        if part is not None:
            start = part * shape.query_width
            values = values[start : start + size[0]]
        state[name] = values
    return state
