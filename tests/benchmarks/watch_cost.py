"""What watching a training costs it, in pairs of blocks within one process::

    python -m tests.benchmarks.watch_cost [--threads 1] [MODEL …]

Each block is 10 updates, watched or not; the order turns from pair to pair. A watched block begins
with a probe, writes ten losses, and ends when all of it is measured and written: what 100 updates
bring by default (``every=100``, ``log_every=10``), so that what it takes more is ten times as large
a share of its time as it is of theirs, and shows ten times as clearly above the noise. The table
gives that share divided by ten: the mean logarithm of paired ratios with its 95 % interval, of two
times. The processor's, of all threads, is what watching costs where every core is busy with
training anyway; the clock's, what it costs where the measuring thread finds a core of its own.
Beside them: how long the training itself waits for one probe.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import statistics
import tempfile
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from synergy_tui.watch import Watch, watch
from tests.benchmarks.against import interval

SYMBOLS = 16
BLOCK = 10  # updates, with the probe and the losses of EVERY
EVERY = 100  # the default of `watch`


@dataclass(frozen=True)
class Size:
    """A model, its batches, and the updates of a block."""

    layers: int
    heads: int
    width: int
    length: int
    batch: int
    probes: int = 8  # inputs


SIZES = {
    "tiny": Size(layers=2, heads=4, width=64, length=32, batch=8),
    "small": Size(layers=2, heads=4, width=128, length=64, batch=6),
}


class Model(nn.Module):
    """A causal Transformer as PyTorch has it."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tokens = nn.Embedding(SYMBOLS, size.width)
        self.positions = nn.Embedding(size.length, size.width)
        layer = nn.TransformerEncoderLayer(
            size.width, size.heads, 4 * size.width, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False)
        self.head = nn.Linear(size.width, SYMBOLS)
        mask = nn.Transformer.generate_square_subsequent_mask(size.length)
        self.register_buffer("mask", mask)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions.weight
        return self.head(self.blocks(x, mask=self.mask, is_causal=True))


def measure(name: str, blocks: int, seconds: float) -> None:
    """Print a row of the table."""
    size = SIZES[name]
    torch.manual_seed(0)
    model = Model(size)
    optimiser = torch.optim.AdamW(model.parameters())
    waits: list[float] = []

    def block(first: int, w: Watch | None) -> tuple[float, float]:
        """Make a block of updates; return the seconds of processor and clock that it took."""
        begun, spent = time.perf_counter(), time.process_time()
        for step in range(first, first + BLOCK):
            tokens = torch.randint(SYMBOLS, (size.batch, size.length))
            loss = functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if w is not None:
                w.step(step, loss=loss)
        if w is not None:
            w._recording.drain()
            w._measuring.drain()
        return time.process_time() - spent, time.perf_counter() - begun

    probe_batch = torch.randint(SYMBOLS, (size.probes, size.length))
    with watch(model, probe_batch, every=BLOCK, log_every=1) as w:
        extract = w._extract

        def timed() -> object:
            begun = time.perf_counter()
            found = extract()
            waits.append(time.perf_counter() - begun)
            return found

        w._extract = timed  # type: ignore[assignment]
        w._measuring.drain()  # by then the engine's kernels are compiled
        block(0, None)
        pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
        until = time.monotonic() + seconds
        while len(pairs) < blocks and (len(pairs) < 3 or time.monotonic() < until):
            first = (len(pairs) + 1) * BLOCK
            if len(pairs) % 2:
                watched, alone = block(first, w), block(first, None)
            else:
                alone, watched = block(first, None), block(first, w)
            pairs.append((watched, alone))
    costs = []
    for clock in (0, 1):
        ratios = [watched[clock] / alone[clock] for watched, alone in pairs]
        middle = math.exp(statistics.fmean(map(math.log, ratios)))
        low, share, high = (
            100 * (each - 1) * BLOCK / EVERY for each in sorted([middle, *interval(ratios)])
        )
        costs.append(f"{share:+.2f} % ({low:+.2f} to {high:+.2f})")
    update = 1e3 * statistics.median(alone[0] for _, alone in pairs) / BLOCK
    shape = f"{size.layers} layers, {size.heads} heads, {size.length} tokens, {size.width} wide"
    print(
        f"| {shape} | {update:.0f} | {costs[0]} | {costs[1]} "
        f"| {1e3 * statistics.median(waits):.1f} | {len(pairs)} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(SIZES), metavar="MODEL")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60, help="for each model")
    options = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.WARNING)
    if options.threads:
        torch.set_num_threads(options.threads)
    print("| model | update, cpu ms | cost, processor | cost, clock | loop waits, ms | pairs |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["SYNERGY_HOME"] = home
        for name in options.models:
            measure(name, options.blocks, options.seconds)


if __name__ == "__main__":
    main()
