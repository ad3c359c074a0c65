"""Random walks as an illustration and a cross-check; the exact answer is `hitting_times`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synergy_engine.arrays import Floats
from synergy_engine.errors import EngineError, whole_number
from synergy_engine.kernels import paths as kernels
from synergy_engine.kernels.threads import over_ranges
from synergy_engine.measures.walks import walk
from synergy_engine.operators.stack import Combine
from synergy_engine.system import MultiHeadSystem


@dataclass(frozen=True)
class MonteCarlo:
    """Estimated hitting times.

    Attributes
    ----------
    mean, standard_error
        (n,) float64: mean steps to the sink from every node, and its standard error.
    walks
        Walks from each node.
    censored
        (n,) share of walks that were cut at ``max_steps``, each counting ``max_steps``: where it is
        not 0 the mean is an estimate of the capped mean (`engine.hitting_times` with ``cap``).
    max_steps, combine, seed
        What was asked for.
    """

    mean: Floats
    standard_error: Floats
    walks: int
    censored: Floats
    max_steps: int
    combine: Combine
    seed: int


def monte_carlo(
    system: MultiHeadSystem,
    *,
    walks: int = 500,
    max_steps: int = 10_000,
    combine: Combine = "walks",
    seed: int = 0,
) -> MonteCarlo:
    """Walk ``walks`` times from every node to the sink: an illustration and a cross-check.

    Means over independent walks of ``P`` estimate `hitting_times`, with their standard errors; the
    published way, with 500 walks. The same ``seed`` gives the same walks whatever the number of
    threads. O(n · walks · steps · log n) time, O(n² + n · walks) memory; refused beyond 8192 nodes.
    Source: the code of [BP].

    Parameters
    ----------
    walks
        At least 2 from each node.
    max_steps
        Where a walk is cut.
    combine
        As in `engine.walk`.
    seed
        A whole number of at least 0.

    >>> import synergy_engine as engine
    >>> line = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]])
    >>> seen = engine.monte_carlo(line, walks=2000, seed=1)
    >>> bool(abs(seen.mean[0] - 4) < 4 * seen.standard_error[0])
    True
    """
    if walks < 2 or max_steps < 1:
        raise EngineError(
            f"walks is {walks} and max_steps is {max_steps}; they must be at least 2 and 1."
        )
    stream = np.uint64(whole_number("seed", seed, 0) % 2**64)
    cumulative = np.cumsum(walk(system, combine=combine), axis=1)
    n = system.nodes
    out = np.empty((n, walks), dtype=np.int64)
    over_ranges(
        lambda low, high: kernels.walk_steps(cumulative, stream, walks, max_steps, low, high, out),
        n,
        100.0 * n * walks,
        pieces=n,  # Ctrl-C is heard between starts
    )
    cut = out > max_steps
    np.minimum(out, max_steps, out=out)
    return MonteCarlo(
        mean=out.mean(axis=1),
        standard_error=out.std(axis=1, ddof=1) / np.sqrt(walks),
        walks=walks,
        censored=cut.mean(axis=1),
        max_steps=max_steps,
        combine=combine,
        seed=seed,
    )
