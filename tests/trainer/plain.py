"""The plain way: the published Transformer as a textbook writes it, one model at a time.

Tests hold the trainer's numbers to it and benchmarks its speed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-8) * self.weight


class Attention(nn.Module):
    """Attention whose logits may be pulled towards the heads' mean, or shared in groups."""

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        *,
        diversity: float = 1.0,
        match_scale: bool = False,
        tied: int = 1,
        head_width: int | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.diversity, self.match_scale, self.tied = diversity, match_scale, tied
        self.W_q = nn.Linear(width, heads * head_width if head_width else width)
        self.W_k = nn.Linear(width, heads * head_width if head_width else width)
        self.W_v = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            product(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for product in (self.W_q, self.W_k, self.W_v)
        )
        scores = self.changed(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        attention = scores.masked_fill(future, -math.inf).softmax(-1)
        attention = F.dropout(attention, self.dropout, self.training)
        return self.out_proj((attention @ v).transpose(1, 2).reshape(batch, length, width))

    def changed(self, scores: Tensor) -> Tensor:
        """Logits (B, H, n, n) after the interventions, one head at a time."""
        if self.diversity == 1.0 and self.tied == 1:
            return scores
        group, groups = self.tied, self.heads // self.tied
        own = []
        for head in range(self.heads):
            first = head // group * group
            mean = scores[:, first : first + group].mean(1)
            own.append(mean * math.sqrt(group) if self.match_scale else mean)
        total = math.sqrt(groups - (groups - 1) * self.diversity**2) if self.match_scale else 1.0
        mean = torch.stack(own).mean(0)
        return torch.stack(
            [self.diversity * each + (total - self.diversity) * mean for each in own], 1
        )


class Block(nn.Module):
    def __init__(self, width: int, hidden: int, heads: int, dropout: float, **changes: Any) -> None:
        super().__init__()
        self.ln1 = RMSNorm(width)
        self.attn = Attention(width, heads, dropout, **changes)
        self.ln2 = RMSNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class PlainTransformer(nn.Module):
    def __init__(
        self,
        tokens: int,
        length: int,
        width: int,
        hidden: int,
        layers: int,
        heads: int,
        dropout: float = 0.0,
        **changes: Any,
    ) -> None:
        super().__init__()
        self.token_emb = nn.Embedding(tokens, width)
        self.pos_emb = nn.Embedding(length, width)
        self.layers = nn.ModuleList(
            Block(width, hidden, heads, dropout, **changes) for _ in range(layers)
        )
        self.out_proj = nn.Linear(width, tokens)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.token_emb(inputs) + self.pos_emb(
            torch.arange(inputs.shape[1], device=inputs.device)
        )
        for layer in self.layers:
            x = layer(x)
        return self.out_proj(x)


def train_plainly(
    model: PlainTransformer, inputs: Tensor, targets: Tensor, batch: int, learning_rate: float
) -> list[tuple[float, float]]:
    """One pass over the rows in their order: loss and accuracy of every step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    device = model.out_proj.weight.device
    found = []
    for tokens, wanted in DataLoader(TensorDataset(inputs, targets), batch_size=batch):
        tokens, wanted = tokens.to(device), wanted.to(device)
        logits = model(tokens)[:, -wanted.shape[1] :]
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        accuracy = (logits.argmax(-1) == wanted).float().mean().item()
        found.append((loss.item(), accuracy))
    return found
