"""Two numbers for each input and layer: steps to the sink, and minimax fidelity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import operators
from .convention import convention as named_convention
from .errors import choose
from .minimax import TOLERANCE, minima, run_peaks
from .operators import COMBINATIONS, DenseStack
from .states import Survival
from .validation import as_attention, batch_of_heads

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Headline:
    """What papers plot, for each of B inputs and L layers.

    Attributes
    ----------
    hitting_time
        (B, L) mean expected steps to the sink over all starts; capped where the convention caps.
    fidelity
        (B, L) minimax fidelity.
    convention, combine
        What was followed; the convention ``"paper-code"`` always combines ``"attention"``.
    """

    hitting_time: Floats
    fidelity: Floats
    convention: str
    combine: str


def headline(
    attention: npt.ArrayLike,
    weights: str | npt.ArrayLike = "uniform",
    *,
    convention: str = "theory",
    combine: str = "walks",
    rows: str = "check",
) -> Headline:
    """The two headline measures of attention ``(B, L, H, n, n)``, and nothing else.

    The same numbers, up to rounding, as `engine.analyze_batch` gives under
    ``mixing.hitting_time_mean`` and ``fidelity.minimax`` before it averages over inputs, at a
    fraction of its cost: O(H n²) to mix the heads, O(n²) for hitting times and O(n²) a step for
    fidelity. Arguments are those of `engine.analyze_batch`.

    >>> import engine, numpy as np
    >>> uniform = np.tril(np.ones((8, 8))) / np.arange(1, 9)[:, None]
    >>> found = engine.headline(uniform[None, None, None])
    >>> found.fidelity
    array([[0.125]])
    """
    chosen = named_convention(convention)
    choose("combine", combine, COMBINATIONS)
    batch, shares = batch_of_heads(attention, weights, rows=rows)
    inputs, layers, count, n = batch.shape[:4]
    heads = batch.reshape(-1, count, n, n)
    per_system = np.tile(shares, (inputs, 1))
    if chosen.published_walk:
        heads = heads if rows == "check" else as_attention(heads)
        one = np.ones((len(heads), count, n))
        mixed = operators.mix(heads, per_system, one, one)
        ones = np.ones((len(heads), n))
        diffusion = DenseStack(mixed, ones, ones)
        walk = operators.paper_chains(mixed)
        state = Survival.start(walk.count, n, levels=[], of_mean=[], cap=chosen.cap)
        walk.survive(state, chosen.cap)
        hitting = state.capped
    else:
        diffusion = operators.dense_mixtures(heads, per_system, "diffusion")
        walk = operators.dense_mixtures(heads, per_system, "walk", combine)
        hitting = walk.hitting().mean(axis=1)
    peaks = run_peaks(
        diffusion,
        tolerance=-1.0 if chosen.horizon else TOLERANCE,
        horizon=chosen.fidelity_steps(n),
        every_node=False,
    )
    fidelity = minima(peaks, diffusion, chosen.sink).minimax
    return Headline(
        hitting.reshape(inputs, layers),
        fidelity.reshape(inputs, layers),
        chosen.name,
        "attention" if chosen.published_walk else combine,
    )
