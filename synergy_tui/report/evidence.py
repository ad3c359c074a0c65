"""Gathers what experiments and sweeps have measured, and where it is from.

The last probe of every finished run counts, in every convention that it was measured under.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synergy_tui.errors import UserError
from synergy_tui.experiments.comparison import log
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import as_number, leaf, run_record
from synergy_tui.experiments.state import ExperimentState, Probe, RunState
from synergy_tui.report.nulls import Place, with_nulls
from synergy_tui.report.statistics.observations import (
    BoundCheck,
    Further,
    Numbers,
    Observation,
)
from synergy_tui.scenario import FamilyRun, LoadedRun, Scenario, TrainedRun, WatchedRun
from synergy_tui.scenario.sweep import AXES, Prediction
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.entries import Entry, find_entry
from synergy_tui.sweep.plan import PlannedPoint
from synergy_tui.words import counted, decimal


@dataclass(frozen=True)
class Row:
    """One run: its numbers by convention, with what they belong to, and its training curve."""

    group: str
    run: str
    heads: int
    nodes: int
    topology: str | None
    place: Place  # where its attention is, for the nulls
    observations: Mapping[str, Observation]
    steps: NDArray[np.int64]  # updates made; empty for designed graphs
    losses: NDArray[np.float64]  # nats
    floor: float  # loss that no model can go below; nan when it is not known


@dataclass(frozen=True)
class Source:
    """The sweep or experiment that evidence comes from."""

    id: str
    title: str
    command: str  # what ran it, and runs it again
    seeds: tuple[int, ...]
    versions: Mapping[str, str]  # library → version, as the experiments recorded them
    devices: tuple[str, ...]
    hardware: tuple[str, ...]  # machines that ran it, with what ran the points there; and GPUs
    points: int  # experiments in all
    finished: int  # experiments that count
    unfinished: Mapping[str, str]  # experiment → state, of those that do not
    seconds: float  # summed over experiments


@dataclass(frozen=True)
class Foretold:
    """A prediction, and whether it was in the plan before the first event."""

    prediction: Prediction
    made: str  # date; empty when it was written later
    before: bool


@dataclass
class Evidence:
    """Everything that a report is made from: finished runs, and where they come from."""

    sources: list[Source] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    predictions: list[Foretold] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    """Group → what its runs share, for people."""

    @property
    def conventions(self) -> list[str]:
        """Every convention that some run was measured under, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.observations))

    def observations(self, convention: str) -> list[Observation]:
        """What was measured under one convention."""
        return [row.observations[convention] for row in self.rows if convention in row.observations]


def gather(names: Sequence[str], out: str | Path | None = None) -> Evidence:
    """Read sweeps and experiments: directories, or ids (or what is unique of them) in ``out``."""
    evidence = collect(names, out)
    evidence.rows = [
        replace(row, observations=observations)
        for row, observations in zip(
            evidence.rows,
            with_nulls([(row.place, row.observations) for row in evidence.rows]),
            strict=True,
        )
    ]
    return evidence


def collect(names: Sequence[str], out: str | Path | None = None) -> Evidence:
    """Read what `gather` reads, without the nulls that are made of kept attention."""
    evidence = Evidence()
    entries = [find_entry(name, out) for name in names]
    for found in entries:
        _add(evidence, found, several=len(names) > 1)
    if not evidence.rows:
        raise UserError(
            "There is nothing to report: no run has finished with a measurement.",
            hint=_continuation(entries[0]),
        )
    return evidence


def _continuation(found: Entry) -> str:
    """Say what can be done about an entry in which nothing has finished."""
    if isinstance(found, Sweep):
        return f"`synergy sweep {found.reference}` resumes a sweep that was stopped."
    shown = f"`synergy show {found.reference}` shows what it has"
    if found.state() == "finished":
        return f"{shown}."
    if found.watched:
        return f"{shown}; into={found.id!r} of synergy_tui.watch continues it."
    return f"{shown}; `synergy resume {found.reference}` continues it if it was stopped."


def _add(evidence: Evidence, found: Entry, *, several: bool) -> None:
    scenario = found.scenario()
    if isinstance(found, Sweep):
        prefix = f"{scenario.name.removeprefix('sweep_').replace('_', ' ')}: " if several else ""
        members = [
            (
                point.name,
                found.experiment(point.name),
                prefix + _group_name(point, scenario),
                point.settings,
            )
            for point in found.points
        ]
        command, machines = found.command, _machines(found)
    else:
        members = [(found.id, found, scenario.name, {})]
        command, machines = f"synergy run {found.id}/scenario.toml", ()
        if found.watched:
            command = f"recorded by synergy_tui.watch as {found.id}"
    states: list[ExperimentState] = []
    begun: list[str] = []
    unfinished: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name, experiment, group, settings in members:
        if experiment.events_path.exists():
            begun += [str(first) for first in _started(experiment)]
        status = experiment.state()
        if status != "finished":
            unfinished[name] = status
            continue
        state = experiment.fold()
        states.append(state)
        versions.update(state.versions)
        _add_runs(evidence, state, experiment, group, settings)
    if isinstance(found, Sweep):
        evidence.predictions += [
            Foretold(prediction, made, bool(made) and all(made <= first for first in begun))
            for prediction, made in found.predictions
        ]
    devices = {run.device for state in states for run in state.runs.values() if run.device}
    found_here = machines or [state.machine for state in states]
    gpus = [run.hardware for state in states for run in state.runs.values()]
    evidence.sources.append(
        Source(
            id=found.id,
            title=scenario.title,
            command=command,
            seeds=tuple(sorted({state.seed for state in states if state.seed is not None})),
            versions=versions,
            devices=tuple(sorted(devices)),
            hardware=tuple(filter(None, dict.fromkeys([*found_here, *gpus]))),
            points=len(members),
            finished=len(states),
            unfinished=unfinished,
            seconds=sum(state.elapsed for state in states),
        )
    )


def _started(experiment: Experiment) -> list[str]:
    """When it first started, in the words of its log."""
    for event in EventReader(experiment.events_path).read_all():
        if event["kind"] == "experiment_started" and event.get("started"):
            return [str(event["started"])]
    return []


def _machines(sweep: Sweep) -> tuple[str, ...]:
    """Machines whose drivers ran the sweep, with what ran the points there."""
    named = [
        f"{event['machine']} ({event.get('backend')})"
        for event in EventReader(sweep.events_path).read_all()
        if event["kind"] == "sweep_started" and event.get("machine")
    ]
    return tuple(dict.fromkeys(named))


def _group_name(point: PlannedPoint, scenario: Scenario) -> str:
    """``sort · 64 wide``, or the scenario's task where no axis but the seed is varied."""
    parts = [
        _setting(axis, value) for axis, value in point.settings.items() if axis not in COMPARED
    ]
    if not parts:
        parts = [scenario.train.task.replace("_", " ") if scenario.train else scenario.name]
    return " · ".join(parts).replace("_", " ")


def _setting(axis: str, value: Any) -> str:
    if axis == "layers":
        return counted(value, "layer")
    words = {
        "widths": "{} wide",
        "lengths": "{} tokens",
        "nodes": "{} nodes",
        "diversity": "{} redrawn",
    }
    bare = "{}" if axis in AXES else axis.rsplit(".", 1)[-1] + " {}"
    return words.get(axis, bare).format(value)


# Axes along which runs of a seed are compared, also where they are in different points.
COMPARED = ("heads", "diversity", "runs.head_diversity", "runs.tied")


def _add_runs(
    evidence: Evidence,
    state: ExperimentState,
    experiment: Experiment,
    group: str,
    settings: Mapping[str, object],
) -> None:
    scenario = experiment.scenario()
    evidence.settings.setdefault(group, _settings(scenario, state))
    by_name = {run.name: run for run in scenario.runs}
    graphs = {name: run.graph for name, run in by_name.items() if isinstance(run, FamilyRun)}
    several = len({each.topology for each in graphs.values()}) > 1
    variants = _variants(scenario)
    for run in state.runs.values():
        if run.probe is None or run.status != "finished":
            continue
        graph = graphs.get(run.name)
        # Families compared in one point do not repeat each other: each is a group of its own, and
        # so are runs that are trained in another way.
        place = f"{graph.topology.replace('_', ' ')} · {group}" if graph and several else group
        if variant := variants.get(run.name):
            place = f"{place} · {variant}"
        written = by_name.get(run.name)
        dose, tied = None if graph is None else graph.diversity, 1
        if isinstance(written, TrainedRun):
            made: Any = written  # its own keys are made of the trainer's settings
            tied = made.tied
            dose = made.head_diversity / tied
        first = run.probes[0] if run.probes[0].step == 0 and run.probe.step else None
        before = {} if first is None else _by_convention(first)
        observations = {
            name: replace(
                _observation(place, scenario.seed, run, analysis),
                dose=dose,
                tied=tied,
                trained=isinstance(written, TrainedRun),
                loaded=isinstance(written, LoadedRun),
                settings=settings,
                now=_numbers(run.probe, name, analysis),
                untrained=(
                    _numbers(first, name, before[name]) if first and name in before else None
                ),
                further=tuple(_further(analysis, before.get(name))) if run.heads > 1 else (),
                exchangeable=graph is None or graph.redraw == "all",
            )
            for name, analysis in _by_convention(run.probe).items()
        }
        evidence.rows.append(
            Row(
                group=place,
                run=run.name,
                heads=run.heads,
                nodes=run.nodes,
                topology=None if graph is None else graph.topology,
                place=Place(experiment, run.probe.attention),
                observations=observations,
                steps=run.steps.copy(),
                losses=run.losses.copy(),
                floor=_number(run.floor),
            )
        )


def _variants(scenario: Scenario) -> dict[str, str]:
    """Run → the first run that is trained as it is, where runs differ in more than is compared."""
    unlike: dict[str, str] = {}
    names: dict[str, str] = {}
    for run in scenario.trained:
        rest = run.model_dump(exclude={"name", "note", "heads", "mlp", "head_diversity", "tied"})
        names[run.name] = unlike.setdefault(repr(rest), run.name)
    return names if len(unlike) > 1 else {}


def _settings(scenario: Scenario, state: ExperimentState) -> str:
    train = scenario.train
    if any(isinstance(run, WatchedRun) for run in scenario.runs):
        return "somebody's own training, watched"
    if train is None:
        sizes = ", ".join(map(str, sorted({run.nodes for run in state.runs.values()})))
        heads = ", ".join(map(str, sorted({run.heads for run in state.runs.values()})))
        heads += " head" if heads == "1" else " heads"
        if all(isinstance(run, LoadedRun) for run in scenario.runs):
            return f"loaded attention of {sizes} tokens, {heads}"
        return f"designed graphs of {sizes} nodes, {heads}"
    if not scenario.trained:
        return f"loaded networks, measured on {train.task} of {train.length} tokens"
    return (
        f"{counted(train.layers, 'layer')}, {train.length} tokens of "
        f"{train.vocabulary}, {train.embed} wide, {train.steps} steps of {train.batch}, "
        f"Adam {decimal(train.learning_rate)}"
    )


def _by_convention(probe: Probe) -> dict[str, Mapping[str, Any]]:
    main = str(probe.overall.get("convention", "theory"))
    # How different heads are does not depend on how they are combined.
    diversity = probe.overall.get("diversity")
    others = {name: {"diversity": diversity, **found} for name, found in probe.conventions.items()}
    return {main: probe.overall, **others}


_LOGS: tuple[Literal["log_hitting_time", "log_fidelity"], ...] = (
    "log_hitting_time",
    "log_fidelity",
)


def _numbers(probe: Probe, convention: str, analysis: Mapping[str, Any]) -> Numbers:
    """Typical over inputs and layers where the probe kept them, else of the means."""
    by_input = [layer["per_input"] for layer in probe.layers if "per_input" in layer]
    own = convention == probe.overall.get("convention")
    if own and by_input:
        time, fidelity = (
            math.exp(float(np.mean([_number(v) for each in by_input for v in each[key]])))
            for key in _LOGS
        )
        if convention in _TIMES and _TIMES[convention] != _TIMES["theory"]:
            time = hitting_time(analysis)
    else:
        time, fidelity = hitting_time(analysis), _number(leaf(analysis, ("fidelity", "minimax")))
    loss = _number(probe.loss) if probe.eval_sequences else math.nan
    synergy = analysis.get("synergy") or {}
    gain = synergy.get("fidelity_amplification_held_out")
    if gain is None:  # a single input has no others to choose the best head on
        gain = synergy.get("fidelity_amplification")
    return Numbers(time, fidelity, loss, _number(gain))


def _further(now: Mapping[str, Any], first: Mapping[str, Any] | None) -> Iterator[Further]:
    """Gains over each input's best head, beyond other inputs' heads and the untrained network."""
    own = now.get("synergy") or {}
    for name, null in (
        ("shuffled inputs", (now.get("nulls") or {}).get("shuffled") or {}),
        ("the untrained network", (first or {}).get("synergy") or {}),
    ):
        clear, soon = (
            log(_number(own.get(key))) - log(_number(null.get(key)))
            for key in ("fidelity_amplification", "hitting_gain")
        )
        if not (math.isnan(clear) and math.isnan(soon)):
            yield Further(name, clear, soon)


def _observation(group: str, seed: int, run: RunState, analysis: Mapping[str, Any]) -> Observation:
    several = run.heads > 1
    learned = run_record(run)
    amplification = _number(leaf(analysis, ("synergy", "fidelity_amplification")))
    return Observation(
        group=group,
        block=f"seed {seed}",
        heads=run.heads,
        run=run.name,
        now=Numbers(math.nan, math.nan),
        amplification=amplification if several else math.nan,
        diversity=_number(leaf(analysis, ("diversity", "jensen_shannon"))) if several else 0.0,
        loss=_number(learned["loss"]),
        accuracy=_number(learned["accuracy"]),
        loss_of=learned["loss_of"] or "",
        binding_time=_number(leaf(analysis, ("fidelity", "time"))),
        beyond_one_step=_number(leaf(analysis, ("fidelity", "beyond_one_step"))),
        bounds=[_bound(name, check) for name, check in (analysis.get("bounds") or {}).items()],
    )


# Convention → how it measures the steps to the sink: in words, and the key in an analysis object.
_TIMES = {
    "theory": ("mean expected hitting time", "hitting_time_mean"),
    "paper-code": ("mean steps of the published walk, cut at 100", "hitting_time_capped_mean"),
    "feedforward": ("mixing time (L1, mean over starts, 1/4)", "mixing_time_l1_mean"),
}


def time_in_words(convention: str) -> str:
    """How a convention measures the steps to the sink."""
    return _TIMES.get(convention, _TIMES["theory"])[0]


def hitting_time(analysis: Mapping[str, Any]) -> float:
    """Steps to the sink, by the measure of the analysis's own convention; censored is inf."""
    _, key = _TIMES.get(str(analysis.get("convention")), _TIMES["theory"])
    return _number(leaf(analysis, ("mixing", key)))


def _bound(name: str, check: Mapping[str, Any]) -> BoundCheck:
    holds = check.get("holds")
    return BoundCheck(
        name=name,
        bound=_number(check.get("bound")),
        measured=_number(check.get("measured")),
        # Censored before the bound was reached: nothing was violated, nothing was shown.
        applies=bool(check.get("applies")) and holds is not None,
        holds=bool(holds),
    )


def _number(value: Any) -> float:
    """A number as float; a censored time (``> 10000``) as inf; what is missing as nan."""
    found = as_number(value)
    return math.nan if found is None else found
