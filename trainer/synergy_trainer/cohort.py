"""Runs whose models have one shape, trained together as one stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from synergy_trainer.attend.step import CpuStep, cpu_steps, run_all
from synergy_trainer.checkpoint import MOMENTS, Saved
from synergy_trainer.data import Batch, Source
from synergy_trainer.device import GraphedUpdate, Parallel, modes
from synergy_trainer.draws import key_of
from synergy_trainer.errors import TrainerError
from synergy_trainer.events import Probe, RunStarted
from synergy_trainer.model import ModelStack, initial_state, split_banks
from synergy_trainer.settings import RunSettings, TrainSettings, make_task, shape_of

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}

# Settings that a resume may change: they decide what is reported and when it ends, not what is
# learnt.
_FREE = (
    "steps", "probe_every", "probe_at", "probe_inputs", "checkpoint_every", "log_every",
    "cuda_graphs", "compile", "deterministic", "parameter_difference",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Loss and accuracy of every model on the batch of its newest update, still on the device."""

    losses: Tensor
    accuracies: Tensor

    def of(self, names: Iterable[str]) -> list[tuple[str, float, float]]:
        """Name, loss and accuracy of each model; waits for the device."""
        return list(zip(names, self.losses.tolist(), self.accuracies.tolist(), strict=True))


class Cohort:
    """One stack of models, whose shapes and learning rates agree, with its optimiser and data.

    `names` are in the stack's order, by head count; `alive` are those that still train: the others
    keep their place in the stack.
    """

    def __init__(
        self,
        settings: TrainSettings,
        runs: Sequence[RunSettings],
        device: torch.device,
        parallel: Parallel | None = None,
    ) -> None:
        self.settings = settings
        self.device = device
        self.runs = sorted(runs, key=lambda run: run.heads)
        self.names = [run.name for run in self.runs]
        self.alive = list(self.names)
        self.seeds = [run.over(settings).seed for run in self.runs]
        self.shape = shape_of(settings, self.runs[0])
        self.learning_rate = self.runs[0].over(settings).learning_rate
        self.task = make_task(settings)
        self.step = 0
        self.stack = ModelStack(self.shape, [run.heads for run in self.runs], device)
        for model, seed in enumerate(self.seeds):
            self.stack.load(model, initial_state(self.shape, seed))
        self._parallel = parallel
        self._rank, size = (0, 1) if parallel is None else (parallel.rank, parallel.size)
        self._logits = self.stack.logits
        if settings.compile:
            self._logits = torch.compile(self.stack.logits)
        self._by_hand: list[CpuStep] = []
        if CpuStep.serves(self.stack) and not settings.compile:
            self._by_hand = cpu_steps(
                self.stack,
                settings.batch * settings.length // size,
                self.task.scored_from,
                self.seeds,
                settings.dropout,
                self._rank,
                rounding=settings.precision == "bf16",
            )
        self._graphs = settings.cuda_graphs and device.type == "cuda" and parallel is None
        self._graphed: GraphedUpdate | None = None
        self._optimiser = torch.optim.Adam(
            list(self.stack.banks.values()),
            lr=self.learning_rate,
            fused=True,
            capturable=self._graphs,
        )
        self._sources = {
            seed: Source(self.task, seed, settings.batch, device, sequences=settings.sequences)
            for seed in self.seeds
        }
        self._held_out: Batch | None = None

    def started(self) -> list[RunStarted]:
        return [
            RunStarted(
                run=run.name,
                parameters=self.shape.parameters(),
                heads=run.heads,
                layers=self.shape.layers,
                nodes=self.settings.length,
                device=str(self.device),
                seed=seed,
                task=self.task.name,
                steps=self.settings.steps,
                step=self.step,
                floor=self.task.floor,
                ceiling=self.task.ceiling,
                needs_attention=self.task.needs_attention,
                solvable=self.task.solvable,
            )
            for run, seed in zip(self.runs, self.seeds, strict=True)
        ]

    def update(self, measure: bool) -> Measured | None:
        """Make one update of every model, and return what was measured if `measure`."""
        batch = self._batch(self.step + 1)
        losses: Tensor
        accuracies: Tensor | None
        with modes(self.settings, self.device):
            if self._graphs:
                losses, accuracies = self._replayed(batch)
            elif self._by_hand:
                losses, accuracies = run_all(self._by_hand, batch, self.step + 1, measure)
                self._apply()
            else:
                with self._seeded():
                    losses, accuracies = self._by_autograd(batch, measure)
                self._apply()
        self.step += 1
        if accuracies is None or not measure:
            return None
        if self._parallel is not None:
            self._parallel.average_([losses, accuracies])
        return Measured(losses, accuracies)

    def _apply(self) -> None:
        if self._parallel is not None:
            gradients = [bank.grad for bank in self.stack.banks.values()]
            self._parallel.average_([gradient for gradient in gradients if gradient is not None])
        self._optimiser.step()

    def _replayed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self._graphed is None:
            with self._seeded():  # warming up draws, too
                self._graphed = self._recorded(batch)
        with self._seeded():  # a replay starts from the seed that the generator has by then
            return self._graphed.run(batch)

    def _recorded(self, example: Batch) -> GraphedUpdate:
        banks = list(self.stack.banks.values())
        state: list[Tensor] = list(banks)
        for bank in banks:
            state += [self._moment(bank, moment) for moment in (*MOMENTS, "step")]

        def update(batch: Batch) -> tuple[Tensor, Tensor]:
            losses, accuracies = self._by_autograd(batch, measure=True)
            assert accuracies is not None
            self._optimiser.step()
            return losses, accuracies

        return GraphedUpdate(update, example, state)

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Let PyTorch's dropout depend on seeds and step alone; spare the caller's generators."""
        if not self.settings.dropout:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(key_of(self.step, self._rank, *self.seeds) >> 1)
            yield

    def _by_autograd(self, batch: Batch, measure: bool) -> tuple[Tensor, Tensor | None]:
        settings = self.settings
        logits = self._logits(
            batch.inputs, self.task.scored_from, settings.dropout, _DTYPES[settings.precision]
        )
        targets = batch.targets.flatten(1)
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), reduction="none"
        ).view(targets.shape)
        self._optimiser.zero_grad(set_to_none=True)
        losses.mean(1).sum().backward()
        if not measure:
            return losses, None
        with torch.no_grad():
            accuracies = (logits.argmax(-1) == targets).float().mean(1)
        return losses.detach().mean(1), accuracies

    def probe(self) -> list[Probe]:
        """Extract attention on the held-out inputs, which are the same at every probe."""
        if self._held_out is None:
            count = self.settings.probe_inputs
            drawn = {
                seed: Source(self.task, seed, count, self.device, split="held_out").batch(1)
                for seed in self._sources
            }
            self._held_out = _stacked([drawn[seed] for seed in self.seeds])
        held_out = self._held_out
        attention, logits = self.stack.attention(held_out.inputs, self.task.scored_from)
        targets = held_out.targets.flatten(1)
        losses = F.cross_entropy(logits.mT, targets, reduction="none").mean(1)
        accuracies = (logits.argmax(-1) == targets).float().mean(1)
        return [
            Probe(
                run=name,
                step=self.step,
                attention=attention[model].cpu().numpy(),
                head_weights=self.stack.head_weights(model).cpu().numpy(),
                tokens=held_out.inputs[model].cpu().numpy(),
                loss=float(losses[model]),
                accuracy=float(accuracies[model]),
            )
            for model, name in enumerate(self.names)
        ]

    def broken(self) -> list[str]:
        """Names of living runs whose parameters are no longer all numbers."""
        finite = torch.stack(
            [bank.detach().flatten(1).isfinite().all(1) for bank in self.stack.banks.values()]
        ).all(0)
        good = dict(zip(self.names, finite.tolist(), strict=True))
        return [name for name in self.alive if not good[name]]

    def saved(self, name: str) -> Saved:
        """Everything that continuing a run needs."""
        model = self.names.index(name)
        return Saved(self.stack.state(model), self._moments(model), self._about(model))

    def restore(self, step: int, saved: Mapping[str, Saved]) -> None:
        """Go back to the state after `step` updates; TrainerError where the settings differ."""
        for model, name in enumerate(self.names):
            if name not in saved:
                continue
            found = saved[name]
            expected = self._about(model)
            differing = [
                f"{name}: {key} is {expected[key]!r}, in the checkpoint {found.about.get(key)!r}"
                for key in expected
                if found.about.get(key) != expected[key]
            ]
            if differing:
                raise TrainerError(differing)
            self.stack.load(model, found.state)
            for moment, views in self._moments(model).items():
                for parameter, view in views.items():
                    view.copy_(found.moments[moment][parameter])
        for bank in self.stack.banks.values():
            self._optimiser.state[bank]["step"].fill_(float(step))
        self.step = step

    def _moments(self, model: int) -> dict[str, dict[str, Tensor]]:
        """Views of Adam's moments of one model, under the published names."""
        banks = self.stack.banks.items()
        return {
            moment: split_banks(
                self.shape, {name: self._moment(bank, moment)[model] for name, bank in banks}
            )
            for moment in MOMENTS
        }

    def _moment(self, bank: Tensor, moment: str) -> Tensor:
        """One of Adam's moments, made where no update has been yet."""
        state = self._optimiser.state[bank]
        if not state:
            state["step"] = torch.zeros((), device=self.device)
            for name in MOMENTS:
                state[name] = torch.zeros_like(bank)
        return state[moment]

    def _about(self, model: int) -> dict[str, Any]:
        settings = {k: v for k, v in asdict(self.settings).items() if k not in _FREE}
        for name in (*asdict(self.shape), "learning_rate", "seed"):
            settings.pop(name, None)
        return {
            **settings,
            **asdict(self.shape),
            "learning_rate": self.learning_rate,
            "heads": self.runs[model].heads,
            "seed": self.seeds[model],
        }

    def _batch(self, step: int) -> Batch:
        drawn = {seed: source.batch(step) for seed, source in self._sources.items()}
        if self._parallel is not None:
            rows = slice(self._parallel.rank, None, self._parallel.size)
            drawn = {s: Batch(b.inputs[rows], b.targets[rows]) for s, b in drawn.items()}
        return _stacked([drawn[seed] for seed in self.seeds])


def gather(
    settings: TrainSettings,
    runs: Sequence[RunSettings],
    device: torch.device,
    parallel: Parallel | None = None,
) -> list[Cohort]:
    """Sort runs into cohorts: those that agree in everything but heads and seed share one."""
    groups: dict[object, list[RunSettings]] = {}
    for run in runs:
        alike = shape_of(settings, run), run.over(settings).learning_rate
        groups.setdefault(alike, []).append(run)
    return [Cohort(settings, members, device, parallel) for members in groups.values()]


def _stacked(batches: list[Batch]) -> Batch:
    """Join the models' batches to (M, B, …); a batch that all share is not copied."""
    first = batches[0]
    if all(batch is first for batch in batches):
        count = len(batches)
        return Batch(
            first.inputs.expand(count, *first.inputs.shape),
            first.targets.expand(count, *first.targets.shape),
        )
    return Batch(
        torch.stack([batch.inputs for batch in batches]),
        torch.stack([batch.targets for batch in batches]),
    )
