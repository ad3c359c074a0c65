"""Every kind of event, described once: the recorder writes it, the schema follows from it.

A class is a kind. Its fields are the keys that follow ``v``, ``t`` and ``kind`` in the log, in the
order in which they are written; the schema requires those without a default. What ``Annotated``
names, the schema spells out; version 1 of it leaves ``open`` keys open. What a training yields has
classes of the same names (`synergy_trainer.events`); the recorder turns them into these.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

from synergy_tui.experiments.analysis import Analysis, Count, Number, Positive, Time

OpenText = Annotated[str, "open"]
OpenNumber = Annotated[float | None, "open"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An event without its time."""

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()


class Outline(TypedDict):
    """What is known of a run before it starts."""

    name: str
    heads: NotRequired[Annotated[int, "open"]]
    kind_of_run: NotRequired[OpenText]


@dataclass(frozen=True, kw_only=True)
class ExperimentStarted(Kind):
    id: str
    scenario: str
    title: str = ""
    seed: int | None
    convention: OpenText = "theory"
    started: Annotated[str, "moment"] = ""
    runs: list[str | Outline]
    expect: Annotated[list[dict[str, str]], "open"] = field(default_factory=list)
    versions: dict[str, str]
    machine: OpenText = ""
    """Processor, cores, memory and system that it started on."""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Kind):
    run: str
    parameters: Count | None
    heads: Positive
    device: str | None
    layers: Positive = 1
    nodes: Positive = 1
    floor: Number | None = None
    ceiling: Number | None = None
    task: str | None = None
    steps: Count | None = None
    seed: int | None = None
    kind_of_run: Literal["trained", "designed", "loaded", "watched"] = "trained"
    note: str = ""
    interventions: dict[str, Any] = field(default_factory=dict)
    """Keys of the run that change its heads or how they learn → values; defaults left out."""
    hardware: OpenText = ""
    """On CUDA the card, its driver and libraries, and how it multiplies."""


@dataclass(frozen=True, kw_only=True)
class RunResumed(Kind):
    run: str
    step: Count
    device: OpenText = ""


@dataclass(frozen=True, kw_only=True)
class TrainStep(Kind):
    """Loss in nats; the rate is measured after the device has finished."""

    run: str
    step: Positive
    loss: Number
    accuracy: Number | None = None
    tokens_per_second: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Simulated(Kind):
    """One measurement of a designed graph or of loaded attention, at step 0."""

    run: str
    step: Count
    inputs: Positive
    layers: list[Analysis]
    overall: Analysis
    conventions: dict[str, Any] = field(default_factory=dict)
    """Other conventions' names → parts of their overall analysis."""
    attention: str | None = None
    """The attention file relative to the experiment, where one was kept."""

    @property
    def whole(self) -> Analysis:
        """The mean over layers; of a single layer its own analysis, which says more."""
        return self.layers[0] if len(self.layers) == 1 else self.overall


@dataclass(frozen=True, kw_only=True)
class Probe(Simulated):
    """One measurement of a run's attention.

    Loss and accuracy are of `eval_sequences` held-out sequences or, where that is 0, of the inputs
    whose attention was measured.
    """

    loss: OpenNumber = None
    accuracy: OpenNumber = None
    eval_sequences: Count = 0
    loss_error: OpenNumber = None
    """Standard error of the loss over these sequences."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Kind):
    run: str
    step: Count
    path: str


@dataclass(frozen=True, kw_only=True)
class Expectation(Kind):
    """The sides are those of the first comparison that failed, or of the whole line."""

    that: str
    holds: bool
    left: Time | None
    right: Time | None
    reason: OpenText = ""
    because: OpenText = ""


@dataclass(frozen=True, kw_only=True)
class Resources(Kind):
    cpu_percent: Number | None = None
    memory_bytes: Number | None = None
    gpu_percent: Number | None = None
    gpu_memory_bytes: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Warning(Kind):
    run: Annotated[str | None, "open"] = None
    message: str


@dataclass(frozen=True, kw_only=True)
class RunFinished(Kind):
    run: str
    step: Count
    reason: str = ""


class RunFailed(RunFinished):
    pass


class RunStopped(RunFinished):
    pass


@dataclass(frozen=True, kw_only=True)
class ExperimentFinished(Kind):
    exit_code: int
    reason: OpenText = ""
    verdict: str = ""


_CLASSES: tuple[type[Kind], ...] = (
    ExperimentStarted,
    RunStarted,
    RunResumed,
    TrainStep,
    Probe,
    Simulated,
    Checkpoint,
    Expectation,
    Resources,
    Warning,
    RunFinished,
    RunFailed,
    RunStopped,
    ExperimentFinished,
)
ENDINGS = {"finished": RunFinished, "failed": RunFailed, "stopped": RunStopped}
KINDS = {each.kind: each for each in _CLASSES}
