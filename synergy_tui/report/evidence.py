"""Gathers what experiments and sweeps have measured: observations, curves, and where they are from.

The last probe of every finished run counts, in every convention that it was measured under.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synergy_tui.errors import UserError
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment, find_experiment, is_experiment
from synergy_tui.experiments.state import ExperimentState, ProbeRecord, RunState
from synergy_tui.files import expand
from synergy_tui.report.statistics.observations import BoundCheck, Observation
from synergy_tui.scenario import FamilyRun, Scenario
from synergy_tui.scenario.sweep import AXES, Scalar
from synergy_tui.sweep.directory import PlannedPoint, Sweep, find_sweep


@dataclass(frozen=True)
class Curve:
    """The training of one run.

    Attributes
    ----------
    group, seed, heads, run
        As in :class:`~synergy_tui.report.statistics.observations.Observation`.
    steps, loss
        (k,) updates made, and loss in nats.
    floor
        Loss that no model can go below; nan when not told.
    """

    group: str
    seed: int
    heads: int
    run: str
    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    floor: float


@dataclass(frozen=True)
class Row:
    """One run as the tables show it: an observation's numbers with what they belong to."""

    group: str
    seed: int
    run: str
    heads: int
    nodes: int
    parameters: int | None
    topology: str | None
    accuracy: float
    ceiling: float
    observations: Mapping[str, Observation]


@dataclass(frozen=True)
class Source:
    """Where evidence comes from.

    Attributes
    ----------
    id, title, path
        Of the sweep or experiment.
    command
        What ran it, and runs it again.
    seeds
        All that were used.
    versions
        Library → version, as written into the experiments.
    devices
        Devices that trained.
    hardware
        Machine → experiments that ran on it.
    points, finished
        Experiments in all, and those that count.
    unfinished
        Experiment → state, of those that do not count.
    seconds
        Summed running time of the experiments.
    """

    id: str
    title: str
    path: Path
    command: str
    seeds: tuple[int, ...]
    versions: Mapping[str, str]
    devices: tuple[str, ...]
    hardware: tuple[str, ...]
    points: int
    finished: int
    unfinished: Mapping[str, str]
    seconds: float


@dataclass
class Evidence:
    """All that a report is made from.

    Attributes
    ----------
    sources
        Where it comes from.
    rows
        Every finished run.
    curves
        Training curves of trained runs.
    settings
        Group → what its runs share, for people.
    """

    sources: list[Source] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def conventions(self) -> list[str]:
        """Every convention that some run was measured under, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.observations))

    def observations(self, convention: str) -> list[Observation]:
        """What was measured under one convention."""
        return [row.observations[convention] for row in self.rows if convention in row.observations]


def gather(names: Sequence[str], out: str | Path | None = None) -> Evidence:
    """Read sweeps and experiments.

    Parameters
    ----------
    names
        Directories, ids, or what is unique of them.
    out
        Folder that ids are looked for in.

    Raises
    ------
    UserError
        One is neither, or none of them has a finished run.
    """
    evidence = Evidence()
    for found in [_find(name, out) for name in names]:
        if isinstance(found, Sweep):
            _add_sweep(evidence, found, several=len(names) > 1)
        else:
            _add_experiment(evidence, found)
    if not evidence.rows:
        raise UserError(
            "There is nothing to report: no run has finished with a measurement.",
            hint="`synergy sweep DIR` goes on with a sweep that was stopped.",
        )
    return evidence


def _find(name: str, out: str | Path | None) -> Sweep | Experiment:
    path = expand(name)
    if path.is_dir() and is_experiment(path):
        return Experiment(path)
    try:
        return find_sweep(name, out)
    except UserError as no_sweep:
        try:
            return find_experiment(name, out)
        except UserError as no_experiment:
            raise UserError(
                f"There is neither a sweep nor an experiment '{name}'.",
                hint=no_experiment.hint or no_sweep.hint,
            ) from no_experiment


def _add_sweep(evidence: Evidence, sweep: Sweep, *, several: bool) -> None:
    scenario = sweep.scenario()
    states: list[ExperimentState] = []
    unfinished: dict[str, str] = {}
    prefix = f"{scenario.name.removeprefix('sweep_').replace('_', ' ')}: " if several else ""
    for point in sweep.points:
        experiment = sweep.experiment(point.name)
        status = experiment.state()
        if status != "finished":
            unfinished[point.name] = status
            continue
        state = experiment.fold()
        states.append(state)
        group = prefix + _group_name(point, scenario)
        _add_runs(evidence, state, experiment.scenario(), group, point.columns)
    evidence.sources.append(
        _source(
            sweep.id,
            scenario.title,
            sweep.path,
            sweep.command,
            states,
            len(sweep.points),
            unfinished,
            _machines(sweep),
        )
    )


def _machines(sweep: Sweep) -> tuple[str, ...]:
    """Machines whose drivers ran the sweep, with what ran the points there."""
    told = [
        f"{event['machine']} ({event.get('backend')})"
        for event in EventReader(sweep.events_path).read_all()
        if event["kind"] == "sweep_started" and event.get("machine")
    ]
    return tuple(dict.fromkeys(told))


def _add_experiment(evidence: Evidence, experiment: Experiment) -> None:
    scenario, state, status = experiment.scenario(), experiment.fold(), experiment.state()
    unfinished = {} if status == "finished" else {experiment.id: status}
    if not unfinished:
        _add_runs(evidence, state, scenario, scenario.name, {})
    command = f"synergy run {experiment.id}/scenario.toml"
    evidence.sources.append(
        _source(
            experiment.id,
            scenario.title,
            experiment.path,
            command,
            [] if unfinished else [state],
            1,
            unfinished,
        )
    )


def _group_name(point: PlannedPoint, scenario: Scenario) -> str:
    """``sort · 64 wide``, or the scenario's task where no axis but the seed is varied."""
    words = {
        "widths": "{} wide",
        "layers": "{} layers",
        "lengths": "{} tokens",
        "nodes": "{} nodes",
        "diversity": "{} redrawn",
    }
    parts = [
        words.get(axis, "{}" if axis in AXES else axis.rsplit(".", 1)[-1] + " {}").format(value)
        for axis, value in point.settings.items()
    ]
    if not parts:
        parts = [scenario.train.task.replace("_", " ") if scenario.train else scenario.name]
    return " · ".join(parts).replace("_", " ")


def _add_runs(
    evidence: Evidence,
    state: ExperimentState,
    scenario: Scenario,
    group: str,
    columns: Mapping[str, Scalar],
) -> None:
    seed = scenario.seed
    evidence.settings.setdefault(group, _settings(scenario))
    graphs = {run.name: run.graph for run in scenario.runs if isinstance(run, FamilyRun)}
    for run in state.runs.values():
        if run.probe is None or run.status != "finished":
            continue
        graph = graphs.get(run.name)
        # Families compared in one point are no repetitions of each other: each is its own group.
        several = len({each.topology for each in graphs.values()}) > 1
        place = f"{graph.topology.replace('_', ' ')} · {group}" if graph and several else group
        knob = None if graph is None else graph.diversity
        observations = {
            name: _observation(place, seed, run, analysis, knob)
            for name, analysis in _by_convention(run.probe).items()
        }
        evidence.rows.append(
            Row(
                group=place,
                seed=seed,
                run=run.name,
                heads=run.heads,
                nodes=run.nodes,
                parameters=run.parameters,
                topology=None if graph is None else graph.topology,
                accuracy=_number(run.accuracy.last),
                ceiling=_number(run.ceiling),
                observations=observations,
            )
        )
        if len(run.loss):
            evidence.curves.append(
                Curve(
                    group=place,
                    seed=seed,
                    heads=run.heads,
                    run=run.name,
                    steps=run.steps.copy(),
                    loss=run.losses.copy(),
                    floor=_number(run.floor),
                )
            )


def _settings(scenario: Scenario) -> str:
    train = scenario.train
    if train is None:
        graphs = [run for run in scenario.runs if isinstance(run, FamilyRun)]
        sizes = sorted({run.graph.nodes for run in graphs})
        heads = sorted({run.heads for run in graphs})
        return (
            f"designed graphs of {', '.join(map(str, sizes))} nodes, "
            f"{', '.join(map(str, heads))} heads"
        )
    return (
        f"{train.layers} layer{'s' if train.layers > 1 else ''}, {train.length} tokens of "
        f"{train.vocabulary}, {train.embed} wide, {train.steps} steps of {train.batch}, "
        f"Adam {train.learning_rate:g}"
    )


def _by_convention(probe: ProbeRecord) -> dict[str, Mapping[str, Any]]:
    main = str(probe.overall.get("convention", "theory"))
    # How different heads are does not depend on how they are combined.
    diversity = probe.overall.get("diversity")
    others = {name: {"diversity": diversity, **told} for name, told in probe.conventions.items()}
    return {main: probe.overall, **others}


def _observation(
    group: str, seed: int, run: RunState, analysis: Mapping[str, Any], knob: float | None
) -> Observation:
    synergy = analysis.get("synergy") or {}
    several = run.heads > 1
    share = _number(synergy.get("beats_best_head"))
    return Observation(
        group=group,
        block=f"seed {seed}",
        seed=seed,
        heads=run.heads,
        run=run.name,
        steps_to_sink=steps_to_sink(analysis),
        fidelity=_number((analysis.get("fidelity") or {}).get("minimax")),
        fidelity_amplification=_number(synergy.get("fidelity_amplification"))
        if several
        else math.nan,
        mixing_gain=_number(synergy.get("mixing_gain")) if several else math.nan,
        beats_best_head=np.array([share]) if several and not math.isnan(share) else np.empty(0),
        diversity=_number((analysis.get("diversity") or {}).get("jensen_shannon"))
        if several
        else 0.0,
        redrawn=knob,
        loss=_number(run.loss.last),
        bounds=tuple(_bounds(analysis.get("bounds") or {})),
    )


MEASURES = {
    "theory": ("mean expected hitting time", "hitting_time_mean"),
    "paper-code": ("mean steps of the published walk, cut at 100", "hitting_time_capped_mean"),
    "feedforward": ("mixing time (L1, mean over starts, 1/4)", "mixing_time_l1_mean"),
}
"""How each convention measures how soon: in words, and the key in an analysis object."""


def steps_to_sink(analysis: Mapping[str, Any]) -> float:
    """How soon, in steps, by the measure of the analysis's own convention; censored is inf."""
    _, key = MEASURES.get(str(analysis.get("convention")), MEASURES["theory"])
    return _number((analysis.get("mixing") or {}).get(key))


def _bounds(table: Mapping[str, Any]) -> list[BoundCheck]:
    checks = []
    for name, told in table.items():
        holds = told.get("holds")
        checks.append(
            BoundCheck(
                name=name,
                bound=_number(told.get("bound")),
                measured=_number(told.get("measured")),
                # Censored before the bound was reached: nothing was violated, nothing was shown.
                applies=bool(told.get("applies")) and holds is not None,
                holds=bool(holds),
            )
        )
    return checks


def _number(value: Any) -> float:
    """A number as float; a censored time (``> 10000``) as inf; what is missing as nan."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        return math.inf if value.startswith(">") else float(value)
    return float(value)


def _source(
    identity: str,
    title: str,
    path: Path,
    command: str,
    states: Sequence[ExperimentState],
    points: int,
    unfinished: Mapping[str, str],
    hardware: tuple[str, ...] = (),
) -> Source:
    versions: dict[str, str] = {}
    for state in states:
        versions.update(state.versions)
    devices = {run.device for state in states for run in state.runs.values() if run.device}
    return Source(
        id=identity,
        title=title,
        path=path,
        command=command,
        seeds=tuple(sorted({state.seed for state in states if state.seed is not None})),
        versions=versions,
        devices=tuple(sorted(devices)),
        hardware=hardware,
        points=points,
        finished=len(states),
        unfinished=dict(unfinished),
        seconds=sum(state.elapsed for state in states),
    )
