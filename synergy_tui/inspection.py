"""What the inspector asks of the engine, and the attention it asks about.

Everything here may take a while and loads Numba: call it off the event loop (see
:mod:`synergy_tui.desk`). Measures follow the ``theory`` convention of the engine: walks mixed after
normalisation, worst-case total variation at 1/4, the sink left out of the minimum.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from engine import MultiHeadSystem
    from engine.paths import Path as HeadPath
    from synergy_tui.experiment import Experiment

Floats = npt.NDArray[np.float64]

CONVENTION = "theory walks, sink excluded"
HORIZON = 20_000
"""Steps after which a fidelity that has not settled is given as it stands."""
TOLERANCE = 1e-9
LONGEST_ARRIVAL = 1024
NOVEL_THRESHOLD = 0.01
"""Attention below this is no edge when paths are asked to lie in a single head's support."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The attention (or designed heads) of one run at one step.

    Attributes
    ----------
    attention
        (B, L, H, n, n): inputs, layers, heads, query, key; raw weights for a designed graph.
    head_weights
        (L, H) float64.
    tokens
        (B, n) or ``None``.
    names
        Node names; empty where nodes are token positions.
    designed
        Whether rows may sum to anything.
    """

    key: str
    attention: npt.NDArray[np.floating]
    head_weights: Floats
    tokens: npt.NDArray[np.integer] | None = None
    names: tuple[str, ...] = ()
    designed: bool = False

    @property
    def inputs(self) -> int:
        """How many inputs were recorded."""
        return int(self.attention.shape[0])

    @property
    def layers(self) -> int:
        """How many layers."""
        return int(self.attention.shape[1])

    @property
    def heads(self) -> int:
        """How many heads a layer has."""
        return int(self.attention.shape[2])

    @property
    def nodes(self) -> int:
        """How many tokens or nodes."""
        return int(self.attention.shape[-1])

    def name(self, node: int) -> str:
        """What to call a node."""
        return self.names[node] if self.names else str(node)

    def system(self, layer: int = 0, input: int = 0) -> MultiHeadSystem:
        """The heads of one layer and input, with their weights."""
        import engine

        return engine.MultiHeadSystem.from_attention(
            self.attention[input, layer],
            self.head_weights[layer],
            rows="any" if self.designed else "normalise",
            names=self.names or None,
        )


def load_snapshot(experiment: Experiment, path: str) -> Snapshot:
    """Read the attention file that a probe names.

    Raises
    ------
    UserError
        When the file is missing, torn, or does not hold attention.
    """
    arrays = experiment.attention(path)
    attention = arrays.get("attention")
    if attention is None or attention.ndim != 5 or attention.shape[-1] != attention.shape[-2]:
        raise UserError(f"{path} holds no attention of shape (inputs, layers, heads, n, n).")
    heads = attention.shape[1:3]
    weights = np.asarray(arrays.get("head_weights", np.ones(heads)), dtype=np.float64)
    if weights.shape != heads:
        raise UserError(f"{path}: head weights have shape {weights.shape}, not {heads}.")
    about = _about(experiment, path)
    names = _names(about.get("names", ""), attention.shape[-1])
    designed = about.get("rows") == "raw weights"
    return Snapshot(path, attention, weights, arrays.get("tokens"), names, designed)


def _about(experiment: Experiment, path: str) -> dict[str, str]:
    """What an attention file says about itself."""
    from safetensors import safe_open

    with safe_open(experiment.path / path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _names(told: str, nodes: int) -> tuple[str, ...]:
    """Node names from the JSON list in the file's metadata; none when they do not fit."""
    try:
        names = json.loads(told) if told else []
    except ValueError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == nodes else ()


@dataclass(frozen=True, slots=True)
class HeadFigures:
    """One head alone.

    Attributes
    ----------
    head
        From 0.
    weight
        Its share in the mixture.
    steps
        Expected steps to the sink, mean over all starts; inf where the sink cannot be reached.
    fidelity
        Its own minimax fidelity.
    diversity
        Mean Jensen-Shannon divergence from the other heads, in bits.
    """

    head: int
    weight: float
    steps: float
    fidelity: float
    diversity: float


@dataclass(frozen=True, eq=False, slots=True)
class Mixture:
    """What a set of heads does together.

    Attributes
    ----------
    steps, mixing_time, fidelity, best_head
        Expected steps to the sink (mean), worst-case mixing time as text, minimax fidelity, and
        the best minimax fidelity that one of its heads has alone.
    amplification
        ``fidelity / best_head``.
    weakest
        The node that binds the fidelity.
    node
        (n,) fidelity of each node; ``time`` (n,) the step of its maximum.
    """

    steps: float
    mixing_time: str
    fidelity: float
    best_head: float
    amplification: float
    weakest: int
    node: Floats
    time: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Question:
    """What the inspector asks.

    Attributes
    ----------
    off
        Heads that are switched off.
    source
        The chosen token.
    paths
        How many of the strongest paths.
    """

    layer: int = 0
    input: int = 0
    off: frozenset[int] = frozenset()
    source: int = 0
    paths: int = 5


@dataclass(frozen=True, eq=False)
class Answer:
    """What the engine says to a :class:`Question`.

    Attributes
    ----------
    figures
        Each head alone, by head number.
    before, after
        All heads together, and those that are on (``None`` when all are).
    arrival
        (H, T) arrival of the chosen token at the sink by step, each head alone.
    arrival_before, arrival_after
        (T,) the same for the mixtures.
    paths
        The strongest paths from the chosen token, over the heads that are on; their head numbers
        are those of the layer.
    cross_head, novel
        Share of what the sink hears of the token, at its best step, over paths that switch heads,
        and over node paths that no single head has (NaN: too many to follow).
    mixed
        (n, n) diffusion matrix of the heads that are on.
    """

    question: Question
    figures: list[HeadFigures]
    before: Mixture
    after: Mixture | None
    arrival: Floats
    arrival_before: Floats
    arrival_after: Floats | None
    paths: list[HeadPath]
    cross_head: float
    novel: float
    mixed: Floats

    @property
    def now(self) -> Mixture:
        """The mixture of the heads that are on."""
        return self.before if self.after is None else self.after


@dataclass
class Bench:
    """Answers questions about one snapshot; remembers what it has measured.

    Not for several threads at once.
    """

    snapshot: Snapshot
    _figures: dict[tuple[int, int], list[HeadFigures]] = field(default_factory=dict)
    _mixtures: dict[tuple[int, int, frozenset[int]], Mixture] = field(default_factory=dict)

    def answer(self, question: Question) -> Answer:
        """Measure what ``question`` asks for.

        Raises
        ------
        UserError
            When all heads are off, or the attention is not a system.
        """
        import engine

        snapshot = self.snapshot
        on = [head for head in range(snapshot.heads) if head not in question.off]
        if not on:
            raise UserError("All heads are off: nothing is left to mix.", hint="Switch one on.")
        try:
            system = snapshot.system(question.layer, question.input)
        except engine.EngineError as error:
            raise UserError(str(error)) from error
        kept = system if len(on) == snapshot.heads else system.subset(on)
        source = min(question.source, snapshot.nodes - 1)
        alone, mixed = arrivals(system, source)
        found = self._paths(kept, on, source, question.paths)
        return Answer(
            question=question,
            figures=self._heads(question, system),
            before=self._mixture(question, system, frozenset()),
            after=None if kept is system else self._mixture(question, kept, question.off),
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
        )

    def _novel(self, system: MultiHeadSystem, source: int) -> float:
        """The novel-path share; NaN where too many sets of heads would have to be followed."""
        import engine

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
        import dataclasses

        import engine

        if source == system.sink:
            return []
        return [
            dataclasses.replace(path, heads=tuple(on[head] for head in path.heads))
            for path in engine.strongest_paths(system, source, count)
        ]


def head_figures(system: MultiHeadSystem) -> list[HeadFigures]:
    """Measure each head alone."""
    import engine

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
    """Measure heads together."""
    import engine
    from engine.synergy import one_distinct_head

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
    import engine

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
