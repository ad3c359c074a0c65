"""What the inspector asks of the engine, and the attention it asks about.

Everything here may take a while and loads Numba: call it off the event loop (see
`app.desk`). Measures follow the ``theory`` convention of the engine: walks mixed after
normalisation, worst-case total variation at 1/4, the sink left out of the minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_tui.app.desk import HORIZON, SEARCHED_HEADS, SEARCHED_NODES, TOLERANCE
from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Floats, Snapshot

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem, Sensitivity
    from synergy_engine.measures.paths import Path as HeadPath

CONVENTION = "theory walks, sink excluded"
LONGEST_ARRIVAL = 1024
MOST_PRODUCTS = 10**9
"""A derivative that takes more is not waited for; about a second."""
NOVEL_THRESHOLD = 0.01
"""Attention below this is not an edge when paths must lie in a single head's support."""


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """One head alone."""

    head: int  # from 0
    weight: float  # its share in the mixture
    steps: float  # expected steps to the sink, mean over starts; inf where it cannot be reached
    fidelity: float  # minimax
    diversity: float  # mean Jensen-Shannon divergence from the other heads, in bits


@dataclass(frozen=True, eq=False, slots=True)
class Mixture:
    """What a set of heads does together."""

    steps: float  # expected steps to the sink, mean over starts
    mixing_time: str  # worst case, as text
    fidelity: float  # minimax
    best_head: float  # the best minimax fidelity that one of its heads has alone
    amplification: float  # fidelity / best_head
    weakest: int  # the node that binds the fidelity
    node: Floats  # (n,) fidelity of each node
    time: npt.NDArray[np.int64]  # (n,) the step of its maximum


@dataclass(frozen=True, eq=False, slots=True)
class Carriage:
    """Which heads carry the signal of the faintest node, at the step at which it is heard best."""

    node: int
    time: int
    share: Floats  # (H,) of the layer's heads, sums to 1; 0 for those that are off
    switch: Floats  # (H, H) expected hand-overs, from the column's head to the row's


@dataclass(frozen=True, eq=False, slots=True)
class Ceiling:
    """What no weights of the heads that are on could exceed."""

    fidelity: float  # minimax
    steps: float  # mean expected steps to the sink: no weights need fewer


@dataclass(frozen=True, eq=False, slots=True)
class Ceilings:
    """What no weights could exceed; ``key`` says at which place and which heads are off."""

    key: tuple[object, ...]
    whole: Ceiling  # of all heads
    rest: Ceiling  # of those that are on


UNKNOWN = Ceiling(float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Question:
    """What the inspector asks."""

    layer: int = 0
    input: int = 0
    off: frozenset[int] = frozenset()  # heads that are switched off
    source: int = 0  # the chosen token
    paths: int = 5  # how many of the strongest paths
    gradient: bool = False  # whether edges are coloured by what more attention there would do


def fitted(question: Question, snapshot: Snapshot) -> Question:
    """The question with a layer, an input, a token and heads that the snapshot has."""
    return replace(
        question,
        layer=min(question.layer, snapshot.layers - 1),
        input=min(question.input, snapshot.inputs - 1),
        source=min(question.source, snapshot.nodes - 2),
        off=frozenset(head for head in question.off if head < snapshot.heads),
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """What the engine answers to a :class:`Question`."""

    question: Question
    figures: list[HeadFigures]  # each head alone, by head number
    before: Mixture  # all heads together
    after: Mixture | None  # the heads that are on; None when all are
    arrival: Floats  # (H, T) arrival of the token at the sink by step, each head alone
    arrival_before: Floats  # (T,) the same for the mixtures
    arrival_after: Floats | None
    paths: list[HeadPath]  # over the heads that are on; their head numbers are those of the layer
    cross_head: float
    """Share of what the sink hears, at its best step, over paths that switch heads."""
    novel: float  # share over node paths that no single head has (NaN: too many to follow)
    mixed: Floats  # (n, n) diffusion matrix of the heads that are on
    carried: Carriage | None  # None where the fidelity has no single best step
    gradient: Floats | None
    """(H, n, n) derivative of the chosen token's fidelity by each attention logit; ``None`` unless
    asked for and defined."""

    @property
    def now(self) -> Mixture:
        """The mixture of the heads that are on."""
        return self.before if self.after is None else self.after


@dataclass
class Bench:
    """Answers questions about one snapshot; remembers what it has measured. Not thread-safe."""

    snapshot: Snapshot
    _figures: dict[tuple[int, int], list[HeadFigures]] = field(default_factory=dict)
    _mixtures: dict[tuple[int, int, frozenset[int]], Mixture] = field(default_factory=dict)
    _ceilings: dict[tuple[int, int, frozenset[int]], Ceiling] = field(default_factory=dict)

    def answer(self, question: Question) -> Answer:
        """Measure what ``question`` asks for; a UserError when the attention is not a system."""
        import synergy_engine as engine

        snapshot = self.snapshot
        on = self._on(question.off)
        system = self._kept(question, frozenset())
        kept = system if len(on) == snapshot.heads else system.subset(on)
        source = min(question.source, snapshot.nodes - 1)
        alone, mixed = arrivals(system, source)
        found = self._paths(kept, on, source, question.paths)
        before = self._mixture(question, system, frozenset())
        after = None if kept is system else self._mixture(question, kept, question.off)
        now = after or before
        return Answer(
            question=question,
            figures=self._heads(question, system),
            before=before,
            after=after,
            arrival=alone,
            arrival_before=mixed,
            arrival_after=(
                None
                if kept is system
                else engine.arrival(kept, len(mixed) - 1)[:, source].astype(np.float64)
            ),
            paths=found,
            cross_head=float(engine.cross_head_share(kept, source)),
            novel=self._novel(kept, source),
            mixed=engine.diffusion(kept),
            carried=self._carriage(kept, on, now),
            gradient=self._gradient(kept, on, now, source) if question.gradient else None,
        )

    def ceilings_key(self, question: Question) -> tuple[object, ...]:
        return (self.snapshot.key, question.layer, question.input, question.off)

    def ceilings(self, question: Question) -> Ceilings:
        """What no weights could exceed; the one method that another thread may call meanwhile."""
        whole, rest = (self._ceiling(question, off) for off in (frozenset(), question.off))
        return Ceilings(self.ceilings_key(question), whole, rest)

    def _ceiling(self, question: Question, off: frozenset[int]) -> Ceiling:
        import synergy_engine as engine

        if self.snapshot.nodes > SEARCHED_NODES or self.snapshot.heads > SEARCHED_HEADS:
            return UNKNOWN
        place = (question.layer, question.input, off)
        if place not in self._ceilings:
            system = self._kept(question, off)
            try:
                clear, soon = engine.routing_bound(system), engine.routing_times(system)
            except engine.EngineError:
                return UNKNOWN
            self._ceilings[place] = Ceiling(clear.minimax, soon.mean)
        return self._ceilings[place]

    def _carriage(
        self, system: MultiHeadSystem, on: Sequence[int], now: Mixture
    ) -> Carriage | None:
        found = self._sensitivity(system, now, now.weakest)
        if found is None:
            return None
        heads = self.snapshot.heads
        share, switch = np.zeros(heads), np.zeros((heads, heads))
        share[on] = found.carriage
        switch[np.ix_(on, on)] = found.switch
        return Carriage(found.node, found.time, share, switch)

    def _gradient(
        self, system: MultiHeadSystem, on: Sequence[int], now: Mixture, source: int
    ) -> Floats | None:
        found = self._sensitivity(system, now, source)
        if found is None:
            return None
        gradient = np.zeros((self.snapshot.heads, *[self.snapshot.nodes] * 2))
        gradient[on] = found.logits()
        return gradient

    def _sensitivity(self, system: MultiHeadSystem, now: Mixture, node: int) -> Sensitivity | None:
        """What a node's fidelity depends on; ``None`` where it is not defined, or takes long."""
        import synergy_engine as engine

        if int(now.time[node]) * system.heads * system.nodes**2 > MOST_PRODUCTS:
            return None
        try:
            return engine.sensitivity(system, node=node, tolerance=TOLERANCE, horizon=HORIZON)
        except engine.EngineError:
            return None

    def _on(self, off: frozenset[int]) -> list[int]:
        on = [head for head in range(self.snapshot.heads) if head not in off]
        if not on:
            raise UserError("All heads are off: nothing is left to mix.", hint="Switch one on.")
        return on

    def _kept(self, question: Question, off: frozenset[int]) -> MultiHeadSystem:
        """The heads at the question's place without those that are off."""
        import synergy_engine as engine

        try:
            system = self.snapshot.system(question.layer, question.input)
        except engine.EngineError as error:
            raise UserError(str(error)) from error
        return system.subset(self._on(off)) if off else system

    def _novel(self, system: MultiHeadSystem, source: int) -> float:
        """The novel-path share; NaN where too many sets of heads would have to be followed."""
        import synergy_engine as engine

        threshold = 0.0 if self.snapshot.designed else NOVEL_THRESHOLD
        try:
            return float(engine.novel_path_share(system, source, threshold=threshold))
        except engine.EngineError:
            return float("nan")

    def _heads(self, question: Question, system: MultiHeadSystem) -> list[HeadFigures]:
        place = (question.layer, question.input)
        if place not in self._figures:
            self._figures[place] = head_figures(system)
        return self._figures[place]

    def _mixture(self, question: Question, system: MultiHeadSystem, off: frozenset[int]) -> Mixture:
        place = (question.layer, question.input, off)
        if place not in self._mixtures:
            self._mixtures[place] = mixture(system)
        return self._mixtures[place]

    def _paths(
        self, system: MultiHeadSystem, on: Sequence[int], source: int, count: int
    ) -> list[HeadPath]:
        """The strongest paths, their heads numbered as in the layer."""
        import synergy_engine as engine

        if source == system.sink:
            return []
        return [
            replace(path, heads=tuple(on[head] for head in path.heads))
            for path in engine.strongest_paths(system, source, count)
        ]


def head_figures(system: MultiHeadSystem) -> list[HeadFigures]:
    import synergy_engine as engine

    steps = engine.head_hitting_times(system).mean(axis=-1)
    fidelities = engine.head_fidelities(system, tolerance=TOLERANCE, horizon=HORIZON)
    apart = np.zeros((system.heads, system.heads))
    for one in range(system.heads):
        for other in range(one + 1, system.heads):
            pair = engine.diversity(system.subset([one, other])).jensen_shannon
            apart[one, other] = apart[other, one] = pair
    diversity = apart.sum(axis=1) / max(system.heads - 1, 1)
    return [
        HeadFigures(
            head,
            float(system.weights[head]),
            float(steps[head]),
            fidelities[head].minimax,
            float(diversity[head]),
        )
        for head in range(system.heads)
    ]


def mixture(system: MultiHeadSystem) -> Mixture:
    import synergy_engine as engine
    from synergy_engine.measures.synergy import one_distinct_head

    fidelity = engine.fidelity(system, tolerance=TOLERANCE, horizon=HORIZON)
    alone = engine.head_fidelities(system, tolerance=TOLERANCE, horizon=HORIZON)
    best = max(head.minimax for head in alone)
    if one_distinct_head(system):
        # Identical heads amplify nothing, whatever rounding says.
        amplification = 1.0
    elif best > 0:
        amplification = fidelity.minimax / best
    else:
        amplification = float("inf") if fidelity.minimax > 0 else 1.0
    return Mixture(
        steps=float(engine.hitting_times(system).mean()),
        mixing_time=str(engine.mixing_time(system)),
        fidelity=fidelity.minimax,
        best_head=best,
        amplification=amplification,
        weakest=fidelity.argmin,
        node=fidelity.node,
        time=fidelity.time,
    )


def arrivals(system: MultiHeadSystem, source: int) -> tuple[Floats, Floats]:
    """Arrival of a token at the sink: (H, T) each head alone, and (T,) mixed.

    T is long enough for the mixture to have (nearly) arrived, and at most
    :data:`LONGEST_ARRIVAL` steps.
    """
    import synergy_engine as engine

    steps = 16
    while True:
        mixed = engine.arrival(system, steps)[:, source]
        if mixed[-1] >= 0.99 or steps >= LONGEST_ARRIVAL:
            break
        steps *= 2
    arrived = np.flatnonzero(mixed >= 0.99)
    if arrived.size:
        steps = min(max(int(arrived[0]) + 1, 4), len(mixed) - 1)
    alone = [engine.arrival(system.head(head), steps)[:, source] for head in range(system.heads)]
    return np.array(alone), mixed[: steps + 1]
