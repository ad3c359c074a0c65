"""The state that an event log amounts to: a pure fold of events, which every view reads."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from synergy_tui.experiments.events import Event, EventReader, status_of
from synergy_tui.experiments.kinds import KINDS, Probe, TrainStep
from synergy_tui.words import counted

if TYPE_CHECKING:
    from synergy_tui.experiments.analysis import Analysis

REPORTED = tuple(each.name for each in fields(TrainStep) if each.name not in ("run", "step"))
LIVE = ("new", "running")
USAGE = 240
"""Reports of what the worker uses that are remembered: the last eight minutes of them."""


class Series:
    """Numbers by training step, growing at the end, dropped from the end when steps are redone."""

    __slots__ = ("_size", "_steps", "_values")

    def __init__(self) -> None:
        self._steps = np.empty(256, dtype=np.int64)
        self._values = np.empty(256, dtype=np.float64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def steps(self) -> np.ndarray:
        """Increasing; (size,) int64, a view."""
        return self._steps[: self._size]

    @property
    def values(self) -> np.ndarray:
        """(size,) float64, a view, NaN where an event gave none."""
        return self._values[: self._size]

    @property
    def last(self) -> float | None:
        return float(self._values[self._size - 1]) if self._size else None

    def at(self, step: int) -> float | None:
        """Return the value at ``step``, or at the last step before it that has one."""
        values = self.until(step)
        return float(values[-1]) if len(values) else None

    def until(self, step: int | None) -> np.ndarray:
        """Return the values up to and including ``step`` (all of them for ``None``), a view."""
        if step is None:
            return self.values
        return self.values[: int(np.searchsorted(self.steps, step, side="right"))]

    def append(self, step: int, value: float | None) -> None:
        """Add one point; points at ``step`` or later are superseded by it."""
        if self._size and step <= self._steps[self._size - 1]:
            self.drop_after(step - 1)
        if self._size == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty_like(self._steps)])
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._steps[self._size] = step
        self._values[self._size] = math.nan if value is None else value
        self._size += 1

    def extend(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Add points whose steps increase, as :meth:`append` would one by one."""
        if not len(steps):
            return
        if self._size and steps[0] <= self._steps[self._size - 1]:
            self.drop_after(int(steps[0]) - 1)
        needed = self._size + len(steps)
        if needed > len(self._steps):
            room = max(needed, 2 * len(self._steps)) - self._size
            self._steps = np.concatenate([self.steps, np.empty(room, dtype=np.int64)])
            self._values = np.concatenate([self.values, np.empty(room, dtype=np.float64)])
        self._steps[self._size : needed] = steps
        self._values[self._size : needed] = values
        self._size = needed

    def drop_after(self, step: int) -> None:
        self._size = int(np.searchsorted(self.steps, step, side="right"))


@dataclass(slots=True)
class RunState:
    """One run of an experiment, as far as its events say."""

    name: str
    index: int = 0
    kind: str = "trained"
    heads: int = 0
    layers: int = 1
    nodes: int = 0
    parameters: int | None = None
    device: str | None = None
    hardware: str = ""  # the GPU, its driver and libraries
    task: str | None = None
    seed: int | None = None
    note: str = ""
    interventions: dict[str, Any] = field(default_factory=dict)
    """What was changed about its heads, by the scenario's keys."""
    floor: float | None = None
    """Loss that no model can go below on this task."""
    ceiling: float | None = None
    """Accuracy that no model can exceed on this task."""
    total_steps: int | None = None
    status: str = "waiting"
    """``waiting``, ``running``, ``finished``, ``failed`` or ``stopped``."""
    reason: str = ""
    ended_at: int = 0
    """Step at which the run finished, stopped or failed."""
    series: dict[str, Series] = field(default_factory=lambda: {name: Series() for name in REPORTED})
    """What training steps report, by the names of `kinds.TrainStep`."""
    probes: list[Probe] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    """Places in :attr:`probes` of those that :meth:`aged` has not returned."""
    checkpoints: list[tuple[int, str]] = field(default_factory=list)
    tracks: dict[Any, Series] = field(default_factory=dict, init=False)
    """What views keep of numbers over :attr:`probes`, as far as they have read these."""

    @property
    def learns(self) -> bool:
        """Whether its measures change with training steps."""
        return self.kind in ("trained", "watched")

    @property
    def loss(self) -> Series:
        return self.series["loss"]

    @property
    def accuracy(self) -> Series:
        return self.series["accuracy"]

    @property
    def speed(self) -> Series:
        return self.series["tokens_per_second"]

    @property
    def steps(self) -> np.ndarray:
        return self.loss.steps

    @property
    def losses(self) -> np.ndarray:
        """At :attr:`steps`; nats."""
        return self.loss.values

    @property
    def accuracies(self) -> np.ndarray:
        """At :attr:`steps`; 0 to 1."""
        return self.accuracy.values

    @property
    def tokens_per_second(self) -> float | None:
        last = self.speed.last
        return None if last is None or math.isnan(last) else last

    @property
    def step(self) -> int:
        """The newest step of any event."""
        last = int(self.loss.steps[-1]) if len(self.loss) else 0
        return max(last, self.ended_at, self.probes[-1].step if self.probes else 0)

    @property
    def probe(self) -> Probe | None:
        return self.probes[-1] if self.probes else None

    def probe_at(self, step: int | None) -> Probe | None:
        """Return the newest probe not after ``step`` (the newest of all for ``None``)."""
        if step is None:
            return self.probe
        index = bisect.bisect_right(self.probes, step, key=lambda probe: probe.step)
        return self.probes[index - 1] if index else None

    def add_probe(self, probe: Probe) -> None:
        """Keep a probe; one at the same step or later is superseded."""
        self._drop_probes(probe.step - 1)
        self.fresh = [place for place in self.fresh if place < len(self.probes)]
        self.fresh.append(len(self.probes))
        self.probes.append(probe)

    def aged(self) -> list[int]:
        """Return the places of the probes that became history since the last call.

        The newest is not history yet, nor the one before the last checkpoint: resuming from there
        makes it the newest again.
        """
        step = self.checkpoints[-1][0] if self.checkpoints else -1
        resumable = bisect.bisect_right(self.probes, step, key=lambda probe: probe.step) - 1
        kept = (resumable, len(self.probes) - 1)
        old = [place for place in self.fresh if place not in kept]
        self.fresh = [place for place in self.fresh if place in kept]
        return old

    def rewind(self, step: int) -> None:
        """Forget what came after ``step``: the run resumed from a checkpoint there."""
        self.ended_at = 0
        for series in self.series.values():
            series.drop_after(step)
        self._drop_probes(step)

    def _drop_probes(self, step: int) -> None:
        """Forget the probes after ``step``, and what was kept of them."""
        while self.probes and self.probes[-1].step > step:
            self.probes.pop()
            self.tracks.clear()


def outline(run: RunState, place: int) -> None:
    """Keep of a probe that is history only when it was and what its file is called.

    The first stays: the untrained network is what the verdict compares trained ones with.
    """
    if place == 0:
        return
    probe = run.probes[place]
    nothing = cast("Analysis", {})
    run.probes[place] = replace(probe, layers=[], overall=nothing, conventions={})


class ExperimentState:
    """An experiment as its log describes it.

    Feed it events in order with :meth:`apply` or :meth:`apply_all`. Kinds and fields that it does
    not know are skipped, so logs of newer versions still show what both know. ``forget`` is called
    with a run and the place of each probe that becomes history (`RunState.aged`), for those who
    need only the newest numbers: see `outline`.
    """

    def __init__(self, forget: Callable[[RunState, int], None] | None = None) -> None:
        self.forget = forget
        self.id = ""
        self.title = ""
        self.scenario = ""
        self.seed: int | None = None
        self.convention = "theory"
        self.versions: dict[str, str] = {}
        self.machine = ""
        self.runs: dict[str, RunState] = {}
        """By name, in the scenario's order."""
        self.warnings: list[tuple[float, str | None, str]] = []
        """Seconds since the start, run or ``None``, message."""
        self.expectations: list[Event] = []
        """The newest event for each ``that``."""
        self.usage: deque[Event] = deque(maxlen=USAGE)
        """The newest reports of what the worker uses of the machine."""
        self.status = "new"
        """``new``, ``running``, ``finished``, ``failed`` or ``stopped``; whether a worker is still
        alive is not in the log (``Experiment.state``)."""
        self.reason = ""
        self.verdict = ""
        self.exit_code: int | None = None
        self.elapsed = 0.0
        self.events = 0
        self._handlers = {kind: getattr(self, f"_on_{kind}") for kind in KINDS}

    @classmethod
    def read(
        cls, log: Path | str, forget: Callable[[RunState, int], None] | None = None
    ) -> ExperimentState:
        """Return the state after everything that is in ``log`` now, if there is one."""
        state, reader = cls(forget), EventReader(log)
        state.apply_all(reader.read_all())
        if reader.garbled:
            lines = counted(reader.garbled, "line")
            state.warnings.append((state.elapsed, None, f"skipped {lines} of the log: damaged"))
        return state

    @property
    def step(self) -> int:
        return max((run.step for run in self.runs.values()), default=0)

    @property
    def total_steps(self) -> int | None:
        """Planned steps of the longest run, if any is trained."""
        return max((run.total_steps for run in self.runs.values() if run.total_steps), default=None)

    @property
    def watched(self) -> bool:
        """Whether it is somebody's own training, which is not ours to stop or resume."""
        return any(run.kind == "watched" for run in self.runs.values())

    @property
    def live(self) -> bool:
        """Whether the log expects more events."""
        return self.status in LIVE

    def abandon(self, reason: str) -> None:
        """Count runs as stopped that nobody continues, which the log cannot say itself."""
        self.reason = reason
        for run in self.runs.values():
            if run.status == "running":
                run.status, run.reason, run.ended_at = "stopped", reason, run.step

    def apply_all(self, events: Iterable[Event]) -> None:
        """Fold several events, in order; long stretches of training steps are taken at once."""
        stretch: list[Event] = []
        for event in events:
            if event["kind"] == "train_step" and len(stretch) < 65536:
                stretch.append(event)
                continue
            if stretch:
                self._apply_steps(stretch)
                stretch = []
            self.apply(event)
        if stretch:
            self._apply_steps(stretch)

    def _apply_steps(self, events: list[Event]) -> None:
        """Fold events of kind ``train_step``; one by one where they are not plain and in order."""
        tables: dict[Any, np.ndarray] = {}
        try:
            # Column by column in C loops: a million steps fold in well under a second.
            runs = [event["run"] for event in events]
            table = np.column_stack(
                [
                    np.fromiter(map(itemgetter(key), events), np.float64)
                    for key in ("step", *REPORTED)
                ]
            )
            for name in dict.fromkeys(runs):
                tables[name] = table[np.fromiter(map(name.__eq__, runs), bool, len(runs))]
            elapsed = float(events[-1]["t"])
            plain = all((np.diff(table[:, 0]) > 0).all() for table in tables.values())
        except (KeyError, TypeError, ValueError, OverflowError):
            plain = False
        if not plain:
            for event in events:
                self.apply(event)
            return
        for name, table in tables.items():
            run = self._run({"run": name})
            steps = table[:, 0].astype(np.int64)
            for column, reported in enumerate(REPORTED, start=1):
                run.series[reported].extend(steps, table[:, column])
        self.elapsed = max(self.elapsed, elapsed)
        self.events += len(events)

    def apply(self, event: Event) -> None:
        """Fold one event; an event whose fields make no sense is skipped."""
        handler = self._handlers.get(event["kind"])
        self.events += 1
        try:
            time = event["t"]
            if time > self.elapsed:
                self.elapsed = time
            if handler is not None:
                handler(event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            # A hostile or half-understood event must not take the views down.
            return

    def _run(self, event: Event) -> RunState:
        name = event["run"]
        run = self.runs.get(name)
        if run is None:
            run = self.runs[name] = RunState(name=str(name), index=len(self.runs))
        return run

    def _on_experiment_started(self, event: Event) -> None:
        self.id = event["id"]
        self.scenario = event["scenario"]
        self.title = event.get("title") or self.scenario
        self.seed = event.get("seed")
        self.versions = event.get("versions") or {}
        self.machine = event.get("machine") or ""
        self.convention = event.get("convention") or "theory"
        for item in event["runs"]:
            name = item["name"] if isinstance(item, Mapping) else item
            run = self._run({"run": name})
            if isinstance(item, Mapping):
                run.heads = item.get("heads") or 0
                run.kind = item.get("kind_of_run") or run.kind
        self._running()

    def _running(self) -> None:
        self.status = "running"
        self.exit_code = None
        self.reason = ""
        self.verdict = ""

    def _on_run_started(self, event: Event) -> None:
        run = self._run(event)
        run.heads = event["heads"]
        run.parameters = event.get("parameters")
        run.device = event.get("device")
        run.hardware = event.get("hardware") or ""
        run.kind = event.get("kind_of_run") or run.kind
        run.layers = event.get("layers") or 1
        run.nodes = event.get("nodes") or 0
        run.floor = event.get("floor")
        run.ceiling = event.get("ceiling")
        run.task = event.get("task")
        run.seed = event.get("seed")
        run.note = event.get("note") or ""
        run.interventions = dict(event.get("interventions") or {})
        run.total_steps = event.get("steps")
        run.status = "running"
        run.reason = ""
        self._running()

    def _on_run_resumed(self, event: Event) -> None:
        run = self._run(event)
        run.rewind(event["step"])
        run.status = "running"
        run.reason = ""
        self._running()

    def _on_train_step(self, event: Event) -> None:
        run = self._run(event)
        step = event["step"]
        if "loss" not in event:
            return
        for name, series in run.series.items():
            series.append(step, event.get(name))

    def _on_probe(self, event: Event) -> None:
        run = self._run(event)
        run.add_probe(
            Probe(
                run=event["run"],
                step=event["step"],
                inputs=event.get("inputs") or 1,
                layers=event["layers"],
                overall=event["overall"],
                conventions=event.get("conventions") or {},
                attention=event.get("attention"),
                loss=event.get("loss"),
                accuracy=event.get("accuracy"),
                eval_sequences=event.get("eval_sequences") or 0,
                loss_error=event.get("loss_error"),
            )
        )
        self._forget_history(run)

    _on_simulated = _on_probe

    def _on_checkpoint(self, event: Event) -> None:
        run = self._run(event)
        run.checkpoints.append((event["step"], event["path"]))
        self._forget_history(run)

    def _forget_history(self, run: RunState) -> None:
        if self.forget is not None:
            for place in run.aged():
                self.forget(run, place)

    def _on_expectation(self, event: Event) -> None:
        self.expectations = [old for old in self.expectations if old["that"] != event["that"]]
        self.expectations.append(event)

    def _on_resources(self, event: Event) -> None:
        self.usage.append(event)

    def _on_warning(self, event: Event) -> None:
        self.warnings.append((event["t"], event.get("run"), event["message"]))

    def _on_run_finished(self, event: Event) -> None:
        run = self._run(event)
        run.status = event["kind"].removeprefix("run_")
        run.reason = event.get("reason") or ""
        run.ended_at = max(0, int(event.get("step") or 0))

    _on_run_failed = _on_run_stopped = _on_run_finished

    def _on_experiment_finished(self, event: Event) -> None:
        self.exit_code = event["exit_code"]
        self.status = status_of(self.exit_code)
        self.reason = event.get("reason") or ""
        self.verdict = event.get("verdict") or ""
