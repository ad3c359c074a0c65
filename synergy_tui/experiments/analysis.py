"""The analysis object: what probes carry of a layer, or of all, and ``analyze --json`` prints.

A plain dict at run time. The classes are for type checkers, and the schema follows from them; what
a plain type does not say, ``Annotated`` names. `synergy_engine.Analysis` explains each number.
Keys of logs may be missing.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from synergy_engine.analysis.convention import ConventionName

# Infinite and undefined numbers are strings in strict JSON, floats once they are read.
Number = Annotated[float, "number"]
Time = Annotated[float | str, "time"]
Share = Annotated[float, "share"]
Count = Annotated[int, "count"]
Positive = Annotated[int, "positive"]
MeanCount = Annotated[float, "mean count"]
Interval = Annotated[list[float], "interval"]


class MixingTimes(TypedDict):
    mixing_time_tv_max: Time
    mixing_time_tv_mean: Time
    mixing_time_l1_max: Time
    mixing_time_l1_mean: Time


class Mixing(MixingTimes):
    hitting_time_mean: Number
    hitting_time_median: Number
    hitting_time_capped_mean: NotRequired[Number]
    hitting_time_cap: NotRequired[Annotated[float, "open"]]
    arrival_median: NotRequired[Time]
    max_steps: NotRequired[float]
    backward: NotRequired[MixingTimes]


class Fidelity(TypedDict):
    minimax: Number
    normalised: Number
    lower: Number
    upper: Number
    argmin: NotRequired[int | None]
    time: NotRequired[int | None]
    unreachable: NotRequired[list[Any]]
    depth_limited: NotRequired[Number]
    depth: NotRequired[MeanCount]
    beyond_one_step: NotRequired[Share]
    converged: NotRequired[Share]
    horizon: NotRequired[float]


class Synergy(TypedDict):
    fidelity_amplification: Number
    mixing_gain: Number
    mixing_gain_censored: NotRequired[bool]
    hitting_gain: NotRequired[Number]
    fidelity_amplification_held_out: NotRequired[Number | None]
    best_head_fidelity: NotRequired[Annotated[float, "open"]]
    beats_best_head: NotRequired[Share]


class Diversity(TypedDict):
    jensen_shannon: NotRequired[Number]
    jaccard: NotRequired[Number]
    cosine_disagreement: NotRequired[Number]
    pairs: NotRequired[list[list[Number]]]


class PerInput(TypedDict):
    log_hitting_time: list[Number]
    log_fidelity: list[Number]


class Shuffled(TypedDict):
    fidelity_amplification: Number
    hitting_gain: Number
    intervals: dict[str, Interval]
    beyond: dict[str, Interval]


class Nulls(TypedDict):
    shuffled: NotRequired[Shuffled]


class HeadAlone(TypedDict):
    hitting_time_mean: Number
    fidelity_minimax: Number
    head: NotRequired[Positive]
    weight: NotRequired[Share]
    mixing_time_tv_max: NotRequired[Time]
    loss_without: NotRequired[Number]
    projection: NotRequired[Share]
    output: NotRequired[Share]


class Sinks(TypedDict):
    k: MeanCount
    minimax: Number
    normalised: Number
    fidelity_amplification: Number


class LearnedSink(TypedDict):
    share: Share
    per_head: list[Share]


class Arrival(TypedDict):
    steps: list[Count]
    mean: NotRequired[list[Share]]
    median: NotRequired[list[Share]]
    worst: NotRequired[list[Share]]


class Path(TypedDict):
    nodes: list[Count]
    heads: list[Count]
    strength: float
    names: NotRequired[list[str]]


class Paths(TypedDict):
    source: Count
    strongest: list[Path]
    input: NotRequired[Count]


class Carried(TypedDict):
    head: Positive
    carriage: Share
    gradient: Number
    towards: Number


class Best(TypedDict):
    weights: list[Share]
    lower: Number
    upper: Number


class Gains(TypedDict):
    now: Number
    best: Number
    at_most: Number


class Refused(TypedDict):
    refused: str
    inputs: NotRequired[Count]


class Why(TypedDict):
    node: Count
    time: Positive
    value: Number
    heads: list[Carried]
    switch: list[list[Number]]
    fidelity_at_most: Number
    hitting_time_at_least: Number
    best: Best
    helps: list[Positive]
    gains: NotRequired[Gains]
    inputs: NotRequired[Positive]


class LayerShares(TypedDict):
    heads: list[Number]
    skip: Number


class Layered(TypedDict):
    gamma: str
    minimax: Number
    normalised: Number
    node: Count
    layers: list[LayerShares]
    synergy: Number
    exact: bool
    synergy_at_least: NotRequired[Number]
    k: NotRequired[Positive]
    minimax_each: NotRequired[Number]


class CheckpointWeights(TypedDict):
    step: Count
    sha256: str
    same_as: NotRequired[Count]


class Analysis(TypedDict):
    layer: Positive | Literal["overall"]
    heads: MeanCount
    nodes: MeanCount
    inputs: MeanCount
    head_weights: list[Share]
    weights: str
    convention: ConventionName
    combine: Literal["walks", "attention"]
    epsilon: Annotated[float, "above 0"]
    sink: Literal["excluded", "included"]
    mixing: Mixing
    fidelity: Fidelity
    synergy: Synergy
    diversity: Diversity
    bounds: dict[str, Any]
    layers: NotRequired[Positive]
    file: NotRequired[str]
    module: NotRequired[str]
    per_head: NotRequired[list[HeadAlone]]
    arrival: NotRequired[Arrival]
    learned_sink: NotRequired[LearnedSink]
    sinks: NotRequired[Sinks]
    intervals: NotRequired[dict[str, Interval]]
    per_input: NotRequired[PerInput]
    nulls: NotRequired[Nulls]
    paths: NotRequired[Paths]
    names: NotRequired[list[str]]
    tokens: NotRequired[list[str]]
    lengths: NotRequired[list[Positive]]
    notes: NotRequired[list[str]]
    why: NotRequired[Why | Refused]
    checkpoints: NotRequired[list[CheckpointWeights]]
    layered: NotRequired[list[Layered]]
