"""Turns what the trainer and the engine tell into events and attention files."""

from __future__ import annotations

import datetime
import errno
import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.errors import ExitCode
from synergy_tui.experiments import metrics
from synergy_tui.experiments.events import Event, EventWriter
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.files import DIRECTORY_MODE, write_whole
from synergy_tui.scenario import Scenario, expect

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem

VERSIONED = ("synergy-heads", "torch", "numpy", "numba", "scipy")
# Disks that are full or over quota; every other error of the system is reported as it is.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LARGEST_KEPT = 64 * 2**20


class Recorder:
    """Writes one experiment: events, attention files, expectations, and the closing word.

    Parameters
    ----------
    experiment
        Whose lock the caller holds.
    scenario
        What it executes.
    writer
        The experiment's log.
    state
        What the log holds already, for an experiment that is resumed.

    Attributes
    ----------
    state
        The experiment as its log tells it, kept up to date.
    """

    def __init__(
        self,
        experiment: Experiment,
        scenario: Scenario,
        writer: EventWriter,
        state: ExperimentState | None = None,
    ) -> None:
        self.experiment = experiment
        self.scenario = scenario
        self.state = state or ExperimentState()
        self._writer = writer
        self._handlers: dict[str, Callable[[Any], None]] = {
            "RunStarted": self._run_started,
            "TrainStep": self._train_step,
            "Probe": self._probe,
            "Checkpoint": self._checkpoint,
            "Warned": lambda event: self.warn(event.message, event.run),
            "RunFinished": lambda event: self.end("finished", event.run, event.step),
            "RunStopped": lambda event: self.end("stopped", event.run, event.step, event.reason),
            "RunFailed": self._run_failed,
        }
        self.details: list[str] = []

    def write(self, kind: str, *, run: str | None = None, **fields: Any) -> Event:
        """Append an event and fold it into :attr:`state`."""
        event = self._writer.write(kind, run=run, **fields)
        self.state.apply(event)
        return event

    def started(self) -> None:
        """Write ``experiment_started``, unless the log begins with it already."""
        if self.state.id:
            return
        scenario = self.scenario
        self.write(
            "experiment_started",
            id=self.experiment.id,
            scenario=scenario.name,
            title=scenario.title,
            seed=scenario.seed,
            convention=scenario.analysis.convention,
            started=datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
            runs=[_outline(run) for run in scenario.runs],
            expect=[{"that": each.that, "because": each.because} for each in scenario.expect],
            versions=versions(),
        )

    def record(self, event: Any) -> None:
        """Write what an event of :func:`trainer.train` tells; unknown ones are skipped."""
        handler = self._handlers.get(type(event).__name__)
        if handler is not None:
            handler(event)

    def warn(self, message: str, run: str | None = None) -> None:
        """Write a warning."""
        self.write("warning", run=run, message=message)

    def end(self, how: str, run: str, step: int, reason: str = "") -> None:
        """Write ``run_finished``, ``run_stopped`` or ``run_failed``."""
        self.write(f"run_{how}", run=run, step=step, reason=reason)

    def simulate(self, run: str, system: MultiHeadSystem, *, note: str = "") -> None:
        """Measure a designed graph and write what it comes to."""
        import synergy_engine as engine

        options = self.scenario.analysis
        self._design_started(run, system.heads, system.nodes, 1, "designed", note)
        if unreached := system.unreachable():
            listed = ", ".join(system.name(node) for node in unreached[:10])
            self.warn(
                f"{len(unreached)} of {system.nodes} nodes cannot reach the sink, so mixing times "
                f"are infinite and minimax fidelity is 0: {listed}"
                + (" …" if len(unreached) > 10 else ""),
                run,
            )

        def measure(convention: str) -> dict[str, Any]:
            return engine.analyze(
                system,
                convention=convention,
                combine=options.combine,
                epsilon=options.epsilon,
                max_steps=options.max_steps,
            ).as_dict()

        analysis = measure(options.convention)
        # The published code's convention reads attention; the weights of a graph are none.
        others: dict[str, Any] = {
            name: _brief(engine.overall([measure(name)]))
            for name in options.also
            if name not in (options.convention, "paper-code")
        }
        file = None
        if system.dense is not None and system.dense.nbytes <= LARGEST_KEPT:
            raw = np.stack([system.head_array(h) for h in range(system.heads)])
            file = self._keep(
                f"{run}-designed",
                run,
                {
                    "attention": raw[None, None].astype(np.float32),
                    "head_weights": system.weights[None],
                },
                names=list(system.names) if system.names else None,
                rows="raw weights",
            )
        self._measured("simulated", run, 0, 1, [analysis], file, others)
        self.end("finished", run, 0)

    def load(self, run: str, loaded: Any, *, note: str = "") -> None:
        """Measure attention that came from a file (`systems.Loaded`)."""
        _, layers, heads, nodes, _ = loaded.attention.shape
        self._design_started(run, heads, nodes, layers, "loaded", note, loaded.parameters)
        tensors = {"attention": loaded.attention, "head_weights": loaded.weights}
        if loaded.tokens is not None:
            tensors["tokens"] = loaded.tokens
        self._attention("simulated", run, 0, tensors, loaded.label, final=True)
        self.end("finished", run, 0)

    def finish(self, exit_code: int, reason: str = "", *, complete: bool = True) -> int:
        """Decide the expectations where the runs came to an end, and close the log.

        Parameters
        ----------
        exit_code
            What is known so far; 0 becomes 1 when an expectation fails, or 3 when a run failed.
        reason
            Why it did not end well, for a person.
        complete
            Whether every run came to its end; expectations are left undecided otherwise.

        Returns
        -------
        int
            The exit code written.
        """
        from synergy_tui.experiments.verdict import verdict

        failed = [run for run in self.state.runs.values() if run.status == "failed"]
        if exit_code == ExitCode.OK and failed:
            exit_code = ExitCode.RUN_FAILED
            reason = reason or "; ".join(f"{run.name}: {run.reason}" for run in failed)
        if complete and exit_code in (ExitCode.OK, ExitCode.RUN_FAILED):
            held = [self._expectation(each.that, each.because) for each in self.scenario.expect]
            if exit_code == ExitCode.OK and not all(held):
                exit_code = ExitCode.EXPECTATION_FAILED
                reason = reason or f"{held.count(False)} of {len(held)} expectations failed"
        self.write(
            "experiment_finished",
            exit_code=int(exit_code),
            reason=reason,
            verdict=verdict(self.state).line,
        )
        return int(exit_code)

    def _expectation(self, that: str, because: str) -> bool:
        def lookup(run: str, name: str) -> expect.Value:
            if run not in self.state.runs:
                raise expect.UndecidedError(f"run {run} did not start")
            return metrics.metric(self.state.runs[run], name)

        result = expect.parse(that).evaluate(lookup)
        self.write(
            "expectation",
            that=that,
            holds=result.holds,
            left=_side(result.left),
            right=_side(result.right),
            reason=result.reason,
            because=because,
        )
        return result.holds

    def _run_started(self, event: Any) -> None:
        known = self.state.runs.get(event.run)
        if event.step > 0 and known is not None and known.total_steps is not None:
            self.write("run_resumed", run=event.run, step=event.step, device=event.device)
            return
        if known is not None and known.step > 0:
            # No checkpoint was written before the worker went: the run begins again.
            self.write("run_resumed", run=event.run, step=-1, device=event.device)
        attention = f"needs attention: {event.needs_attention}; solvable: {event.solvable}"
        self.write(
            "run_started",
            run=event.run,
            parameters=event.parameters,
            heads=event.heads,
            device=event.device,
            layers=event.layers,
            nodes=event.nodes,
            floor=event.floor,
            ceiling=event.ceiling,
            task=event.task,
            steps=event.steps,
            seed=event.seed,
            kind_of_run="trained",
            note=self.scenario.run(event.run).note or attention,
        )

    def _design_started(
        self,
        run: str,
        heads: int,
        nodes: int,
        layers: int,
        kind: str,
        note: str,
        parameters: int | None = None,
    ) -> None:
        self.write(
            "run_started",
            run=run,
            parameters=parameters,
            heads=heads,
            device="cpu",
            layers=layers,
            nodes=nodes,
            floor=None,
            ceiling=None,
            task=None,
            steps=None,
            seed=self.scenario.seed,
            kind_of_run=kind,
            note=note,
        )

    def _train_step(self, event: Any) -> None:
        self.write(
            "train_step",
            run=event.run,
            step=event.step,
            loss=event.loss,
            accuracy=event.accuracy,
            tokens_per_second=round(event.tokens_per_second, 1),
        )

    def _probe(self, event: Any) -> None:
        learned = self.scenario.analysis.weights == "learned"
        heads = event.attention.shape[2]
        weights = event.head_weights if learned else np.full_like(event.head_weights, 1 / heads)
        self._attention(
            "probe",
            event.run,
            event.step,
            {"attention": event.attention, "head_weights": weights, "tokens": event.tokens},
            "learned" if learned else "uniform",
            final=self.scenario.train is not None and event.step == self.scenario.train.steps,
            loss=event.loss,
            accuracy=event.accuracy,
        )

    def _attention(
        self,
        kind: str,
        run: str,
        step: int,
        tensors: dict[str, np.ndarray],
        label: str,
        *,
        final: bool,
        **fields: Any,
    ) -> None:
        """Measure attention (B, L, H, n, n), keep some of it, and write the event."""
        import synergy_engine as engine

        options = self.scenario.analysis

        def measure(convention: str) -> list[dict[str, Any]]:
            found = engine.analyze_batch(
                tensors["attention"],
                tensors["head_weights"],
                convention=convention,
                combine=options.combine,
                epsilon=options.epsilon,
                max_steps=options.max_steps,
                weights_label=label,
            )
            return [analysis.as_dict() for analysis in found]

        layers = measure(options.convention)
        others: dict[str, Any] = {
            name: _brief(engine.overall(measure(name)))
            for name in options.also
            if final and name != options.convention
        }
        kept = min(options.kept_inputs, len(tensors["attention"]))
        file = None
        if kept:
            some = {
                name: tensor if name == "head_weights" else tensor[:kept]
                for name, tensor in tensors.items()
            }
            suffix = "loaded" if kind == "simulated" else f"{step:08d}"
            file = self._keep(f"{run}-{suffix}", run, some, rows="attention")
        self._measured(kind, run, step, len(tensors["attention"]), layers, file, others, **fields)

    def _measured(
        self,
        kind: str,
        run: str,
        step: int,
        inputs: int,
        layers: list[dict[str, Any]],
        file: str | None,
        conventions: dict[str, Any],
        **fields: Any,
    ) -> None:
        import synergy_engine as engine

        self.write(
            kind,
            run=run,
            step=step,
            inputs=inputs,
            layers=layers,
            overall=engine.overall(layers),
            conventions=conventions,
            attention=file,
            **fields,
        )

    def _keep(
        self,
        stem: str,
        run: str,
        tensors: Mapping[str, np.ndarray],
        *,
        rows: str,
        names: list[str] | None = None,
    ) -> str | None:
        """Write an attention file; a disk without room costs the file, not the run."""
        import json

        from safetensors.numpy import save

        about = {"run": run, "rows": rows, "axes": "input, layer, head, receiver, sender"}
        if names:
            about["names"] = json.dumps(names, ensure_ascii=False)
        data = save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, about)
        name = f"attention/{stem}.safetensors"
        try:
            (self.experiment.path / "attention").mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            write_whole(self.experiment.path / name, data)
        except OSError as error:
            self.warn(f"{name} was not written: {error.strerror or error}", run)
            return None
        return name

    def _checkpoint(self, event: Any) -> None:
        path = event.path
        if path.is_relative_to(self.experiment.path):
            path = path.relative_to(self.experiment.path)
        self.write("checkpoint", run=event.run, step=event.step, path=str(path))

    def _run_failed(self, event: Any) -> None:
        if event.details:
            self.details.append(f"{event.run}, step {event.step}: {event.details}")
        self.end("failed", event.run, event.step, event.reason)


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a computation."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _outline(run: Any) -> dict[str, Any]:
    kind = {"TrainedRun": "trained", "LoadedRun": "loaded"}.get(type(run).__name__, "designed")
    heads = len(run.heads) if isinstance(run.heads, list) else run.heads
    return {"name": run.name, "heads": heads, "kind_of_run": kind}


def _side(value: expect.Value | None) -> float | str | None:
    return f"> {value.bound:g}" if isinstance(value, expect.AtLeast) else value


def _brief(analysis: dict[str, Any]) -> dict[str, Any]:
    """Keep what views compare of an analysis by another convention."""
    keys = ("convention", "combine", "sink", "mixing", "fidelity", "synergy", "intervals")
    return {key: analysis[key] for key in keys if key in analysis}
