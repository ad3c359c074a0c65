"""Runs whose models have one shape, trained together as one stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from synergy_trainer.attend.dropout import drops_of
from synergy_trainer.attend.products import onednn, onednn_serves
from synergy_trainer.checkpoint import MOMENTS, Saved
from synergy_trainer.data import Batch, Source
from synergy_trainer.device import GraphedUpdate, Parallel, keep_freed_memory, modes
from synergy_trainer.draws import key_of
from synergy_trainer.errors import TrainerError
from synergy_trainer.events import Probe, RunStarted
from synergy_trainer.model import ModelStack, answered, initial_state, split_banks
from synergy_trainer.settings import RunSettings, TrainSettings, make_task, shape_of

_BITS = 2**32 - 1

# Tokens of several models that are worked on together by a CPU: beyond, their activations leave the
# cache.
TOGETHER = 2**13
MASKS = "hash of places"  # how dropout draws, as checkpoints name it

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
    """One stack of models that are `alike`, with its optimiser and data.

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
        self.runs = sorted(runs, key=_place)
        self.names = [run.name for run in self.runs]
        self.alive = list(self.names)
        owns = [run.over(settings) for run in self.runs]
        self.seeds = [own.seed for own in owns]
        self.tasks = [make_task(own) for own in owns]
        self.shape = shape_of(settings, self.runs[0])
        self.learning_rate = owns[0].learning_rate
        self._scored_from = self.tasks[0].scored_from
        self.step = 0
        self.stack = ModelStack(self.shape, [run.heads for run in self.runs], device)
        for model, seed in enumerate(self.seeds):
            self.stack.load(model, initial_state(self.shape, seed))
        self._parallel = parallel
        self._share = (0, 1) if parallel is None else (parallel.rank, parallel.size)
        self._logits = self.stack.logits
        if settings.compile:
            self._logits = torch.compile(self.stack.logits)
        rounding = settings.precision == "bf16"
        on_cpu = device.type == "cpu"
        if on_cpu:
            keep_freed_memory()
        # A CPU keeps float32 tensors, and rounds factors within oneDNN's products where that pays.
        self._dtype = torch.bfloat16 if rounding and not on_cpu else torch.float32
        self._products = onednn if on_cpu and onednn_serves(rounding) else nullcontext
        self._graphs = settings.cuda_graphs and device.type == "cuda" and parallel is None
        self._graphed: GraphedUpdate | None = None
        self._optimiser = torch.optim.Adam(
            list(self.stack.banks.values()),
            lr=self.learning_rate,
            fused=True,
            capturable=self._graphs,
        )
        self._sources = self._draw_from(settings.batch, sequences=settings.sequences)
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
                task=task.name,
                steps=self.settings.steps,
                step=self.step,
                floor=task.floor,
                ceiling=task.ceiling,
                needs_attention=task.needs_attention,
                solvable=task.solvable,
            )
            for run, seed, task in zip(self.runs, self.seeds, self.tasks, strict=True)
        ]

    def update(self, measure: bool) -> Measured | None:
        """Make one update of every model, and return what was measured if `measure`."""
        inputs, targets = self._batch(self.step + 1)
        keys = self._keys(self.step + 1)
        losses: Tensor
        accuracies: Tensor | None
        with modes(self.settings, self.device), self._products():
            if self._graphs:
                if self._graphed is None:
                    self._graphed = self._recorded(inputs, targets, keys)
                losses, accuracies = self._graphed.run(inputs, targets, keys)
            else:
                losses, accuracies = self._differentiated(inputs, targets, keys, measure)
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

    def _keys(self, step: int) -> Tensor:
        """Dropout's key of each model, of its seed and the step alone."""
        return torch.tensor([key_of(seed, step) & _BITS for seed in self.seeds]).to(
            self.device, non_blocking=True
        )

    def _recorded(self, *example: Tensor) -> GraphedUpdate:
        banks = list(self.stack.banks.values())
        state: list[Tensor] = list(banks)
        for bank in banks:
            state += [self._moment(bank, moment) for moment in (*MOMENTS, "step")]

        def update(inputs: Tensor, targets: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
            losses, accuracies = self._differentiated(inputs, targets, keys, measure=True)
            assert accuracies is not None
            self._optimiser.step()
            return losses, accuracies

        return GraphedUpdate(update, example, state)

    def _differentiated(
        self, inputs: Tensor, targets: Tensor, keys: Tensor, measure: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Write every bank's gradient; return mean losses (M,) and, if `measure`, accuracies."""
        probability = self.settings.dropout
        drops = drops_of(keys, self.shape.layers, probability, *self._share) if probability else ()
        logits = self._logits(inputs, self._scored_from, drops, self._dtype)
        losses, accuracies = answered(logits, targets.flatten(1))
        self._optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        return losses.detach(), accuracies if measure else None

    def probe(self) -> list[Probe]:
        """Extract attention on the held-out inputs, which are the same at every probe."""
        if self._held_out is None:
            sources = self._draw_from(self.settings.probe_inputs, split="held_out")
            self._held_out = _stacked([source.batch(1) for source in sources])
        held_out = self._held_out
        attention, logits = self.stack.attention(held_out.inputs, self._scored_from)
        losses, accuracies = answered(logits, held_out.targets.flatten(1))
        return [
            Probe(
                run=name,
                step=self.step,
                attention=attention[model].cpu().numpy(),
                head_weights=self.stack.head_weights(model),
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
        about = {**self._about(model), "masks": MASKS}
        return Saved(self.stack.state(model), self._moments(model), about)

    def restore(self, step: int, saved: Mapping[str, Saved]) -> list[str]:
        """Go back to the state after `step` updates; return what will differ nevertheless.

        TrainerError where the settings differ.
        """
        remarks = []
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
            if self.settings.dropout and found.about.get("masks") != MASKS:
                remarks.append(
                    f"{name}: the checkpoint is from a version that drew other dropout masks; "
                    "training continues, but not as it would have there"
                )
            self.stack.load(model, found.state)
            for moment, views in self._moments(model).items():
                for parameter, view in views.items():
                    view.copy_(found.moments[moment][parameter])
        for bank in self.stack.banks.values():
            self._optimiser.state[bank]["step"].fill_(float(step))
        self.step = step
        return remarks

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
        """What a resume may not change."""
        run = self.runs[model]
        own = {k: v for k, v in asdict(run.over(self.settings)).items() if k not in _FREE}
        return {**own, **asdict(self.shape), "heads": run.heads}

    def _draw_from(self, count: int, **how: Any) -> list[Source]:
        """A source of `count` sequences for each model; models of one task and seed share it."""
        found: dict[tuple[str, int], Source] = {}
        for task, seed in zip(self.tasks, self.seeds, strict=True):
            if (task.name, seed) not in found:
                found[task.name, seed] = Source(task, seed, count, self.device, **how)
        return [found[task.name, seed] for task, seed in zip(self.tasks, self.seeds, strict=True)]

    def _batch(self, step: int) -> Batch:
        drawn = {source: source.batch(step) for source in self._sources}
        if self._parallel is not None:
            rows = slice(self._share[0], None, self._share[1])
            drawn = {s: Batch(b.inputs[rows], b.targets[rows]) for s, b in drawn.items()}
        return _stacked([drawn[source] for source in self._sources])


def _place(run: RunSettings) -> int:
    """Where a run goes in a stack: those that attend alike are neighbours."""
    return run.heads


def alike(settings: TrainSettings, run: RunSettings) -> object:
    """What runs of one stack agree in: everything but heads, seed, and tasks of equal form."""
    own = run.over(settings)
    return shape_of(settings, run), own.learning_rate, make_task(own).scored_from


def gather(
    settings: TrainSettings,
    runs: Sequence[RunSettings],
    device: torch.device,
    parallel: Parallel | None = None,
) -> list[Cohort]:
    """Sort runs into cohorts of those that are `alike`; on a CPU, only small models share one."""
    groups: dict[object, list[RunSettings]] = {}
    for run in runs:
        groups.setdefault(alike(settings, run), []).append(run)
    together = len(runs)
    if device.type == "cpu":
        together = max(
            1, TOGETHER * (parallel.size if parallel else 1) // (settings.batch * settings.length)
        )
    return [
        Cohort(settings, members[start : start + together], device, parallel)
        for members in (sorted(group, key=_place) for group in groups.values())
        for start in range(0, len(members), together)
    ]


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
