"""How clear: node and minimax fidelity, with a certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from synergy_engine.arrays import Bools, Floats, Ints
from synergy_engine.errors import at_least, choose
from synergy_engine.kernels.states import Peaks
from synergy_engine.operators.door import heads, mixture
from synergy_engine.operators.stack import Stack
from synergy_engine.system import MultiHeadSystem

Sink = Literal["excluded", "included"]

HORIZON = 100_000
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Fidelity:
    """How clearly every node is ever heard at the sink.

    Attributes
    ----------
    node
        (n,) float64: ``φ_j = max_t (D^t)[τ, j]`` over the steps looked at.
    time
        (n,) int64: the first step at which it is attained.
    minimax
        ``φ_min``, the smallest ``φ_j`` over all nodes but the sink (over all nodes and t >= 1 with
        ``sink="included"``).
    normalised
        ``n · φ_min``; 1 for the fully connected graph.
    argmin
        The node that attains it.
    lower, upper
        Certificate: ``φ_min`` over all t >= 0 lies between them, up to rounding.
    unreachable
        Nodes without a way to the sink: it never hears them (φ = 0). Others of φ = 0 are heard
        only after the horizon, or below the 1e-30 at which steps are cut to zero.
    horizon
        How many steps were taken.
    converged
        Whether the certificate closed; if not, the horizon ended it first.
    sink
        ``"excluded"`` or ``"included"``.
    depth
        Where only the first steps were to count (`fidelity`): how many. ``lower`` and ``upper``
        are then `minimax`, which is exact.
    """

    node: Floats
    time: Ints
    minimax: float
    normalised: float
    argmin: int
    lower: float
    upper: float
    unreachable: tuple[int, ...]
    horizon: int
    converged: bool
    sink: str = "excluded"
    depth: int | None = None


def fidelity(
    system: MultiHeadSystem,
    *,
    tolerance: float = TOLERANCE,
    horizon: int | None = None,
    sink: Sink = "excluded",
    depth: int | None = None,
) -> Fidelity:
    """Fidelity of every node and its minimum, certified.

    ``φ_j = max_t (D^t)[τ, j]`` over ``t >= 0`` from the row ``v_0 = e_τ``, ``v_{t+1} = v_t D``:
    O(edges) per step, no matrix power. The row only moves to lower nodes, so node j can never
    exceed the mass still at nodes ``>= j``, and ``φ_j`` is final once ``Σ_{k>=j} v_t[k] <= φ_j``.

    Parameters
    ----------
    tolerance
        Relative gap at which a node counts as settled; all nodes are waited for.
    horizon
        Steps at most (default `HORIZON`); a result that ends there has ``converged=False``.
    sink
        ``"included"`` counts the sink's own fidelity over ``t = 1 … horizon`` in the minimum, as
        the published code does.
    depth
        Depth-limited fidelity ``φ^{≤T}``: only ``t <= depth`` counts. A network of T layers takes T
        steps, not more; and as a maximum over finitely many steps it is continuous in the head
        weights, which ``φ`` is not. Takes the place of ``horizon``.

    Examples
    --------
    Example 2 of [BP]: the mixture is clearer than its best head, 5/12 > 3/8.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> result = engine.fidelity(both)
    >>> round(result.minimax * 12, 9), result.argmin, result.converged
    (5.0, 2, True)
    """
    choose("sink", sink, ("excluded", "included"))
    if depth is not None:
        horizon = at_least("depth", depth, 1)
    stack = mixture(system, "diffusion")
    state = run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=True)
    found = results(state, stack, sink)[0]
    if depth is None:
        return found
    least = found.minimax
    return replace(found, lower=least, upper=least, converged=True, depth=depth)


def head_fidelities(
    system: MultiHeadSystem,
    *,
    tolerance: float = TOLERANCE,
    horizon: int | None = None,
    sink: Sink = "excluded",
) -> list[Fidelity]:
    """Fidelity of every head alone, computed together; options as in `fidelity`.

    Only the minimum is waited for (nodes that cannot bind may still be growing). O(H · edges) a
    step.

    >>> import synergy_engine as engine
    >>> both = engine.MultiHeadSystem.from_edges(
    ...     [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]])
    >>> [round(found.minimax, 9) for found in engine.head_fidelities(both)]
    [0.375, 0.25]
    """
    choose("sink", sink, ("excluded", "included"))
    stack = heads(system, "diffusion")
    state = run_peaks(stack, tolerance=tolerance, horizon=horizon, every_node=False)
    return results(state, stack, sink)


def run_peaks(stack: Stack, *, tolerance: float, horizon: int | None, every_node: bool) -> Peaks:
    """Take the steps that certify every operator of a stack, or ``horizon`` of them."""
    last = HORIZON if horizon is None else at_least("horizon", horizon, 0)
    state = Peaks.start(stack.count, stack.nodes, tolerance=tolerance, every_node=every_node)
    stack.peaks(state, last)
    return state


@dataclass(frozen=True)
class Minima:
    """The smallest peaks of K operators: arrays (K,), as in `Fidelity`."""

    minimax: Floats
    argmin: Ints
    time: Ints
    lower: Floats
    upper: Floats
    converged: Bools
    node: Floats


def minima(state: Peaks, stack: Stack, sink: str) -> Minima:
    """Read the smallest peak of every operator; ``node`` (K, n) holds all peaks."""
    n = stack.nodes
    node = state.peak.copy()
    time = state.time.copy()
    lower, upper = state.interval[:, 0].copy(), state.interval[:, 1].copy()
    if sink == "included":
        # From t = 1 on the sink's own share only shrinks: its best is M[τ, τ] at t = 1.
        node[:, -1] = stack.corner()
        time[:, -1] = 1
        lower, upper = np.minimum(lower, node[:, -1]), np.minimum(upper, node[:, -1])
    counted = node if sink == "included" or n == 1 else node[:, :-1]
    argmin = np.argmin(counted, axis=1)
    every = np.arange(len(node))
    equal = counted == counted[every, argmin][:, None]
    if np.count_nonzero(equal) > len(node):
        # Another node may have risen just as far by now and still rise: of equal peaks, that of the
        # node which the certificate bounds lowest.
        mass = np.cumsum(state.state[:, ::-1], axis=1)[:, ::-1]
        reach = np.maximum(counted, mass[:, : counted.shape[1]])
        argmin = np.argmin(np.where(equal, reach, np.inf), axis=1)
    minimax = counted[every, argmin]
    if n == 1:
        lower = upper = minimax
    return Minima(
        minimax=minimax,
        argmin=argmin,
        time=time[every, argmin],
        lower=lower,
        upper=upper,
        converged=state.closed | (n == 1),
        node=node,
    )


def results(state: Peaks, stack: Stack, sink: str) -> list[Fidelity]:
    """Read the state of every operator as a `Fidelity`."""
    n = stack.nodes
    found = minima(state, stack, sink)
    silent = found.node == 0
    if silent.any():
        silent &= ~stack.reaching()
    return [
        Fidelity(
            node=found.node[k],
            time=state.time[k].copy(),
            minimax=float(found.minimax[k]),
            normalised=n * float(found.minimax[k]),
            argmin=int(found.argmin[k]),
            lower=float(found.lower[k]),
            upper=float(found.upper[k]),
            unreachable=tuple(np.flatnonzero(silent[k]).tolist()),
            horizon=int(state.clock[k]),
            converged=bool(found.converged[k]),
            sink=sink,
        )
        for k in range(stack.count)
    ]
