"""A training loop of one's own, watched: a small Transformer learns to copy."""

import argparse
import logging

import torch
from torch import nn
from torch.nn import functional

from synergy_tui.watch import watch

LENGTH, SYMBOLS, WIDTH, HEADS = 32, 16, 64, 4


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(WIDTH, 3 * WIDTH), "c_proj": nn.Linear(WIDTH, WIDTH)}
        )
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inputs, length, width = x.shape
        query, key, value = (
            each.view(inputs, length, HEADS, -1).transpose(1, 2)
            for each in self.attn["qkv"](self.norm1(x)).chunk(3, dim=-1)
        )
        heard = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attn["c_proj"](heard.transpose(1, 2).reshape(inputs, length, width))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(SYMBOLS, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.head(self.blocks(x))


def batch(inputs: int) -> torch.Tensor:
    """The second half of each sequence repeats the first."""
    half = torch.randint(SYMBOLS, (inputs, LENGTH // 2))
    return torch.cat([half, half], dim=1)


def main(steps: int = 500) -> None:
    logging.basicConfig(level=logging.INFO)  # says how to attach
    torch.manual_seed(0)
    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    held_out = batch(8)
    with watch(
        model, held_out, every=100, name="plain_loop", steps=steps, expect=["model.loss < 3"]
    ) as w:
        for step in range(1, steps + 1):
            tokens = batch(64)
            logits = model(tokens[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            w.step(step, loss=loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=500, help="updates of the model")
    main(parser.parse_args().steps)
