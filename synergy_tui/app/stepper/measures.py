"""What the diffusion stepper asks of the engine: how a signal spreads, and what weights do to it.

As :mod:`synergy_tui.app.inspector.measures`, to be called off the event loop.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_tui.app.desk import HORIZON, TOLERANCE
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.words import csv_text

if TYPE_CHECKING:
    from synergy_engine import Fidelity, MultiHeadSystem
    from synergy_tui.experiments.experiment import Experiment

Floats = npt.NDArray[np.float64]
Place = tuple[str, int, int]
"""An attention file, a layer and an input."""


@dataclass(frozen=True, slots=True)
class Best:
    """When the sink hears the source best, and how clearly."""

    step: int
    """Of the maximum; when it is only approached, the first at which 99 % of it is reached."""
    value: float  # the maximum (or limit) of (D^t)[τ, source]
    approached: bool = False


@dataclass(frozen=True, eq=False)
class Diffusion:
    """How a signal spreads from a source over each head alone and over the mixture."""

    source: int
    heads: Floats  # (H, T, n): share of each node's state that is the source's, by step
    mixed: Floats  # (T, n) the same over all heads
    fidelity: Fidelity  # of the mixture
    alone: list[Fidelity]  # of each head
    weights: Floats  # (H,)
    matrices: Floats  # (H, n, n) diffusion matrix of each head
    bests: list[Best]  # of each head, and last of the mixture

    @property
    def steps(self) -> int:
        """The last step."""
        return self.mixed.shape[0] - 1

    def best(self, head: int | None) -> Best:
        """When the sink hears the source best over a head (``None``: the mixture)."""
        return self.bests[-1 if head is None else head]

    def share(self, head: int | None) -> Floats:
        """(T, n) of a head, or of the mixture."""
        return self.mixed if head is None else self.heads[head]


def best_of(clarity: Floats, fidelity: Fidelity, source: int) -> Best:
    """Read when a source is heard best from its (T,) clarity by step."""
    step, value = int(fidelity.time[source]), float(fidelity.node[source])
    if value <= 0 or not 0 < step < len(clarity):
        return Best(step, value)
    if clarity[step] - clarity[step - 1] > APPROACHED * value:
        return Best(step, value)
    return Best(int(np.argmax(clarity >= 0.99 * value)), value, approached=True)


APPROACHED = 1e-6
"""A maximum whose last step added a smaller share than this is a limit, not a peak."""
SHORTEST_SPREAD, LONGEST_SPREAD = 12, 1000


@dataclass
class Stepper:
    """Computes what the stepper shows; remembers what does not depend on weights.

    Not thread-safe.
    """

    base: MultiHeadSystem

    @cached_property
    def alone(self) -> list[Fidelity]:
        """Fidelity of each head alone, every node settled."""
        import synergy_engine as engine

        return [
            engine.fidelity(self.base.head(head), tolerance=TOLERANCE, horizon=HORIZON)
            for head in range(self.base.heads)
        ]

    @cached_property
    def matrices(self) -> Floats:
        """(H, n, n) diffusion matrix of each head."""
        import synergy_engine as engine

        return np.stack([engine.diffusion(self.base.head(h)) for h in range(self.base.heads)])

    def optimal(self) -> tuple[Floats, float, float]:
        """(H,) the best weights found, their minimax fidelity, and what no weights exceed."""
        import synergy_engine as engine

        found = engine.optimal_weights(self.base, objective="fidelity")
        return np.asarray(found.weights, dtype=np.float64), float(found.value), found.upper

    def diffuse(self, weights: npt.ArrayLike, source: int) -> Diffusion:
        """Let a signal spread from ``source`` under these head weights."""
        import synergy_engine as engine

        system = self.base.with_weights(weights)
        fidelity = engine.fidelity(system, tolerance=TOLERANCE, horizon=HORIZON)
        everyone = [*self.alone, fidelity]
        systems = [*(system.head(head) for head in range(system.heads)), system]
        longest = max(int(each.time[source]) for each in everyone)
        steps = min(max(SHORTEST_SPREAD, longest), LONGEST_SPREAD)
        spreads = np.stack([engine.spread(each, source, steps) for each in systems])
        bests = [
            best_of(spread[:, -1], each, source)
            for spread, each in zip(spreads, everyone, strict=True)
        ]
        # A little beyond the last that matters; the tails of limits are of no interest.
        shown = min(max(SHORTEST_SPREAD, *(best.step + 3 for best in bests)), steps)
        return Diffusion(
            source=source,
            heads=spreads[:-1, : shown + 1],
            mixed=spreads[-1, : shown + 1],
            fidelity=fidelity,
            alone=self.alone,
            weights=system.weights,
            matrices=self.matrices,
            bests=bests,
        )

    def fidelity_along(self, weights: npt.ArrayLike, head: int) -> tuple[Floats, Floats]:
        """Weights of one head from 0 to 1, the others in proportion, and φ_min at each."""
        import synergy_engine as engine

        shares = np.linspace(0.0, 1.0, 41)
        values = np.array(
            [
                engine.fidelity(
                    self.base.with_weights(reweigh(weights, head, float(share))),
                    tolerance=1e-6,
                    horizon=2000,
                ).minimax
                for share in shares
            ]
        )
        return shares, values


def reweigh(weights: npt.ArrayLike, head: int, share: float) -> Floats:
    """Give ``head`` this share and scale the others, so that all sum to one.

    Others that are all zero become equal. A single head keeps the weight 1.
    """
    old = np.asarray(weights, dtype=np.float64)
    if old.size == 1:
        return np.ones(1)
    share = min(max(share, 0.0), 1.0)
    rest = np.delete(old, head)
    rest = rest / rest.sum() if rest.sum() > 0 else np.full(rest.size, 1.0 / rest.size)
    return np.insert(rest * (1.0 - share), head, share)


@dataclass(frozen=True)
class SpreadRequest:
    """A signal to let spread; a layer or input that does not exist is the last."""

    path: str  # attention file
    layer: int
    input: int
    source: int  # where the signal starts
    weights: tuple[float, ...] | None  # (H,); None for the run's own


@dataclass(frozen=True, eq=False)
class Spread:
    """A signal that has spread, and all that is needed to ask on."""

    request: SpreadRequest
    snapshot: Snapshot
    place: Place
    stepper: Stepper
    diffusion: Diffusion


@dataclass(frozen=True, eq=False)
class Response:
    """Minimax fidelity by the weight of one head; ``key`` says of which heads and others."""

    key: tuple[object, ...]
    weights: Floats
    fidelity: Floats


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best weights found for the heads at ``place``."""

    place: Place
    weights: Floats
    fidelity: float
    at_most: float  # no weights give more


def spread_out(experiment: Experiment, request: SpreadRequest, last: Spread | None) -> Spread:
    """Answer a request, going on from what the last answer has loaded."""
    if last is not None and last.snapshot.key == request.path:
        snapshot = last.snapshot
    else:
        snapshot = load_snapshot(experiment, request.path)
    layer = min(request.layer, snapshot.layers - 1)
    which = min(request.input, snapshot.inputs - 1)
    place = (request.path, layer, which)
    if last is not None and last.place == place:
        stepper = last.stepper
    else:
        stepper = Stepper(snapshot.system(layer, which))
    own = stepper.base.weights
    given = own if request.weights is None else np.array(request.weights)
    source = min(request.source, snapshot.nodes - 1)
    diffusion = stepper.diffuse(given if len(given) == len(own) else own, source)
    return Spread(request, snapshot, place, stepper, diffusion)


def response_key(place: Place, weights: Floats, head: int) -> tuple[object, ...]:
    """What the response to one head's weight depends on: not on that weight itself."""
    others = np.delete(weights, head)
    total = float(others.sum())
    ray = others / total if total > 0 else others
    return (*place, head, *ray.round(9).tolist())


def as_csv(run: str, spread: Spread) -> str:
    """Share of each node's state that is the source's: a line for each head, step and node."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "heads", "weights", "source", "t", "node", "share"])
    diffusion = spread.diffusion
    names = [csv_text(spread.snapshot.name(node)) for node in range(spread.snapshot.nodes)]
    for head in (*range(len(diffusion.weights)), None):
        weights = diffusion.weights if head is None else np.ones(1)
        listed = " ".join(f"{weight:.6g}" for weight in weights)
        mixture = "mixed" if head is None else head + 1
        lead = [csv_text(run), mixture, listed, names[diffusion.source]]
        for t, row in enumerate(diffusion.share(head).tolist()):
            for node, share in enumerate(row):
                writer.writerow([*lead, t, names[node], share])
    return out.getvalue()
