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

import torch
import torch.nn.functional as F
from torch import Tensor

from synergy_trainer.draws import key_of
from synergy_trainer.errors import TrainerError
from synergy_trainer.settings import ModelShape

RMS_EPSILON = 1e-8  # what the published attention was computed with
_QKV = ("W_q", "W_k", "W_v")

# Mixes values (S, H, n, d/H) by the attention of queries and keys; S folds models and sequences.
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


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
    """Turn queries or keys (S, H, n, w) by their position (rotary positions, Su et al. 2021)."""
    sine, cosine = _turns(x.shape[-2], x.shape[-1] // 2, x.device)
    sine, cosine = sine.to(x.dtype), cosine.to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)


def causal_softmax(queries: Tensor, keys: Tensor) -> Tensor:
    """Attention (S, H, n, n) of each query (rows) to the keys up to its place, float32."""
    scores = queries.float() @ keys.float().mT / math.sqrt(queries.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill_(future, -math.inf).softmax(-1)


class ModelStack:
    """M Transformers of one shape, their parameters stacked in banks of shape (M, …).

    Models of equal head count must be adjacent (sort them): `groups` are such, as (start, stop,
    heads). `banks` are leaves that require gradients. Queries, keys and values share a bank
    `layers.{l}.attn.qkv`; otherwise names are those of the checkpoints. `fixed_positions` are
    sinusoids (1, length, d) that are added to the embeddings, if any.
    """

    def __init__(
        self, shape: ModelShape, heads: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        self.shape = shape
        self.heads = tuple(heads)
        self.device = torch.device(device)
        self.groups = list(head_groups(self.heads))
        if len(self.groups) != len(set(self.heads)):
            raise TrainerError("heads: models with equal head counts must be adjacent")
        sizes: dict[str, tuple[int, ...]] = {}
        for name, size in shape.parameter_shapes().items():
            bank, part = _bank_of(name)
            if part is None:
                sizes[bank] = size
            elif part == 0:
                sizes[bank] = (3 * size[0], *size[1:])
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

    def head_weights(self, model: int) -> Tensor:
        """Weight of each head in each layer, (L, H) float64, rows summing to 1.

        The L2 norm of the columns h·d/H..(h+1)·d/H of the layer's output projection, the part
        that reads head h, normalised over heads.
        """
        heads = self.heads[model]
        rows = []
        for layer in range(self.shape.layers):
            projection = self.banks[f"layers.{layer}.attn.out_proj.weight"][model].detach()
            slices = projection.double().view(self.shape.embed, heads, -1)
            norms = slices.square().sum(dim=(0, 2)).sqrt()
            rows.append(norms / norms.sum())
        return torch.stack(rows)

    def logits(
        self,
        inputs: Tensor,
        scored_from: int = 0,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Logits (M, B·(n - scored_from), V) of tokens (M, B, n), never materialising attention.

        `dtype` is that of the matrix products and the logits; the residual stream stays float32.
        Dropout falls on attention weights and on the MLP's output.
        """

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(
                queries, keys, values, dropout_p=dropout, is_causal=True
            )

        return self._forward(inputs, scored_from, dropout, dtype, attend)

    @torch.no_grad()
    def attention(self, inputs: Tensor, scored_from: int = 0) -> tuple[list[Tensor], Tensor]:
        """Attention (B, L, H, n, n) of each model, in float32 without dropout, and the logits."""
        found: list[list[Tensor]] = [[] for _ in self.groups]
        layers_seen = iter(range(self.shape.layers * len(self.groups)))

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            attention = causal_softmax(queries, keys)
            found[next(layers_seen) % len(self.groups)].append(attention)
            return attention @ values

        logits = self._forward(inputs, scored_from, 0.0, torch.float32, attend)
        models: list[Tensor] = []
        for (start, stop, _), layers in zip(self.groups, found, strict=True):
            stacked = torch.stack(layers, dim=1)
            models += stacked.unflatten(0, (stop - start, -1)).unbind(0)
        return models, logits

    def _forward(
        self,
        inputs: Tensor,
        scored_from: int,
        dropout: float,
        dtype: torch.dtype,
        attend: Attend,
    ) -> Tensor:
        models, batch, length = inputs.shape
        x = self._embed(inputs)
        for layer in range(self.shape.layers):
            at = f"layers.{layer}."
            qkv = self._product(x, at + "attn.qkv", dtype, norm=at + "ln1.weight")
            mixed = self._attention(layer, qkv, batch, length, attend)
            x = x + self._product(mixed, at + "attn.out_proj", dtype)
            hidden = self._product(x, at + "mlp.0", dtype, norm=at + "ln2.weight")
            hidden = F.relu(hidden) if self.shape.activation == "relu" else F.gelu(hidden)
            x = x + F.dropout(self._product(hidden, at + "mlp.2", dtype), dropout)
        if scored_from:
            x = x.view(models, batch, length, -1)[:, :, scored_from:].flatten(1, 2)
        return self._product(x, "out_proj", dtype)

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
            x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + RMS_EPSILON)
            weight = weight * self.banks[norm][:, None, :]
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        if len(weight) == 1:
            return F.linear(x[0], weight[0], bias[0])[None]
        return torch.baddbmm(bias[:, None, :], x, weight.mT)

    def _attention(
        self, layer: int, qkv: Tensor, batch: int, length: int, attend: Attend
    ) -> Tensor:
        """Mix values for every head count in turn: qkv (M, B·n, 3d) → (M, B·n, d)."""
        width = self.shape.embed
        mixed = []
        for start, stop, heads in self.groups:
            split = qkv[start:stop].view((stop - start) * batch, length, 3, heads, width // heads)
            queries, keys, values = split.permute(2, 0, 3, 1, 4)
            if self.shape.positions == "rotary":
                queries, keys = rotate(queries), rotate(keys)
            out = attend(layer, queries, keys, values)
            mixed.append(out.transpose(1, 2).reshape(stop - start, batch * length, width))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def token_offsets(inputs: Tensor, tokens: int) -> Tensor:
    """What to add to inputs (M, B, n) to get rows of the models' embeddings laid end to end."""
    return torch.arange(len(inputs), device=inputs.device)[:, None, None] * tokens


def head_groups(heads: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Stretches of models with equal head counts, as (start, stop, heads)."""
    start = 0
    for count, members in groupby(heads):
        stop = start + len(list(members))
        yield start, stop, count
        start = stop


def _bank_of(name: str) -> tuple[str, int | None]:
    """Bank that contains a parameter, and which third of it (None: all)."""
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
        state[name] = values if part is None else values[part * size[0] : (part + 1) * size[0]]
    return state
