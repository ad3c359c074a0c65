"""Runs whose models have one shape, trained together as one stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synergy_trainer.attend import fused
from synergy_trainer.attend.dropout import drops_of
from synergy_trainer.attend.products import onednn, onednn_serves
from synergy_trainer.checkpoint import MOMENTS, Saved
from synergy_trainer.data import Batch, Source
from synergy_trainer.device import (
    GraphedUpdate,
    Parallel,
    hardware,
    keep_freed_memory,
    modes,
    uses_graphs,
)
from synergy_trainer.draws import key_of
from synergy_trainer.errors import TrainerError, explain
from synergy_trainer.events import Probe, RunStarted
from synergy_trainer.model import Mixed, ModelStack, answered, initial_state, split_banks
from synergy_trainer.settings import (
    INTERVENTIONS,
    ModelShape,
    RunSettings,
    TrainSettings,
    make_task,
    shape_of,
)

_BITS = 2**32 - 1

# Tokens of several models that are worked on together by a CPU: beyond, their activations leave the
# cache.
TOGETHER = 2**13
MASKS = "hash of places"  # how dropout draws, as checkpoints name it

# Settings that a resume may change: they decide what is reported and when it ends, not what is
# learnt.
_FREE = (
    "steps", "probe_every", "probe_at", "probe_inputs", "checkpoint_every", "log_every",
    "tf32", "cuda_graphs", "compile", "deterministic", "parameter_difference", "probe_stream",
    "eval_sequences", "ablate", "norms",
)  # fmt: skip
# What checkpoints of earlier versions do not name had its default.
_DEFAULTS = {
    each.name: each.default
    for kind in (RunSettings, ModelShape, TrainSettings)
    for each in fields(kind)
}


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
        self.stack = ModelStack(
            self.shape,
            [run.heads for run in self.runs],
            device,
            [run.intervention for run in self.runs],
        )
        for model, seed in enumerate(self.seeds):
            self.stack.load(model, initial_state(self.shape, seed))
        self._parallel = parallel
        self._share = (0, 1) if parallel is None else (parallel.rank, parallel.size)
        self.remarks: list[str] = []  # what went otherwise than asked for; the reader clears it
        self._tried = device.type != "cuda" and not settings.compile
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
        self._graphs = uses_graphs(settings, device, parallel)
        self._graphed: GraphedUpdate | None = None
        # A graph reads its learning rate from the device.
        rate = torch.tensor(self.learning_rate, device=device) if self._graphs else None
        self._optimiser = torch.optim.Adam(
            list(self.stack.banks.values()),
            lr=self.learning_rate if rate is None else rate,
            fused=True,
            capturable=self._graphs,
        )
        factors = [run.qk_learning_rate for run in self.runs]
        self._qk_factors = None if set(factors) == {1.0} else torch.tensor(factors, device=device)
        self._sources = self._draw_from(settings.batch, sequences=settings.sequences)
        self._held_out: Batch | None = None
        self._evaluation: Batch | None = None

    def started(self) -> list[RunStarted]:
        return [
            RunStarted(
                run=run.name,
                parameters=self.shape.parameters(),
                heads=run.heads,
                layers=self.shape.layers,
                nodes=self.settings.length,
                device=str(self.device),
                hardware=hardware(self.settings, self.device),
                seed=seed,
                task=task.name,
                steps=self.settings.steps,
                step=self.step,
                floor=task.floor,
                ceiling=task.ceiling,
                needs_attention=task.needs_attention,
                solvable=task.solvable,
                interventions=run.interventions,
            )
            for run, seed, task in zip(self.runs, self.seeds, self.tasks, strict=True)
        ]

    def update(self, measure: bool) -> Measured | None:
        """Make one update of every model, and return what was measured if `measure`."""
        inputs, targets = self._batch(self.step + 1)
        keys = self._keys(self.step + 1)
        self._set_rate(self.step + 1)
        losses: Tensor
        accuracies: Tensor | None
        with modes(self.settings, self.device), self._products():
            if not self._tried:
                self._try_out(inputs, targets, keys)
            if self._graphed is not None:
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

    def _try_out(self, inputs: Tensor, targets: Tensor, keys: Tensor) -> None:
        """Do without what this device offers but fails at, and say so in `remarks`."""
        self._tried = True
        while True:
            try:
                self._differentiated(inputs, targets, keys, measure=True)
                break
            except Exception as error:  # whatever compilers raise
                # Files are those of compilers: a home that cannot be written to, no C compiler.
                known = not isinstance(error, OSError) and explain(error, self.device)
                if known or not self._simpler(error):
                    raise
        if self.device.type == "cuda" and (why := fused.missing()):
            self.remarks.append(
                f"device: training on CUDA is several times slower without Triton's kernels: {why}"
            )
        if not self._graphs:
            return
        try:
            self._graphed = self._recorded(inputs, targets, keys)
        except RuntimeError as error:
            if explain(error, self.device):
                raise
            self._graphs = False
            self.remarks.append(f"cuda_graphs: recording failed ({_brief(error)}); not used")

    def _simpler(self, error: Exception) -> bool:
        """Give up one way of computing after an error; False where there is none left."""
        if self._logits != self.stack.logits:
            self._logits = self.stack.logits
            self.remarks.append(f"compile: failed ({_brief(error)}); not used")
            return True
        if self.device.type == "cuda" and not fused.missing():
            fused.give_up(f"they failed ({_brief(error)})")
            return True
        return False

    def _apply(self) -> None:
        if self._parallel is not None:
            gradients = [bank.grad for bank in self.stack.banks.values()]
            self._parallel.average_([gradient for gradient in gradients if gradient is not None])
        self._make_step()

    def _set_rate(self, step: int) -> None:
        rate = self.learning_rate * self.settings.rate_factor(step)
        group = self._optimiser.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def _make_step(self) -> None:
        """Adam's step, of which queries and keys take the share that is their learning rate's."""
        if self._qk_factors is None:
            self._optimiser.step()
            return
        rows = 2 * self.shape.query_width
        parts = [
            bank.detach()[:, :rows] for name, bank in self.stack.banks.items() if ".qkv." in name
        ]
        before = [part.clone() for part in parts]
        self._optimiser.step()
        for part, old in zip(parts, before, strict=True):
            factors = self._qk_factors.view(-1, *[1] * (part.ndim - 1))
            part.copy_(old.lerp(part, factors))  # exactly `part` where a factor is 1

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
            self._make_step()
            return losses, accuracies

        return GraphedUpdate(update, example, state, self._optimiser.state[banks[0]]["step"])

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
        settings = self.settings
        if self._held_out is None:
            self._held_out = self._drawn_aside(settings.probe_inputs, 1)
            if settings.eval_sequences:
                self._evaluation = self._drawn_aside(settings.eval_sequences, 2)
        held_out, evaluation = self._held_out, self._evaluation
        norms: list[Tensor] | None = [] if settings.norms else None
        attention, logits = self.stack.attention(held_out.inputs, self._scored_from, norms)
        errors = None
        if evaluation is None:
            losses, accuracies = answered(logits, held_out.targets.flatten(1))
        else:
            scores = self._evaluated(evaluation)
            losses, accuracies = scores.mean(-1)
            if settings.eval_sequences > 1:
                errors = scores[0].std(-1) / settings.eval_sequences**0.5
        without = self._losses_without(evaluation or held_out) if settings.ablate else None
        gamma = None
        if norms:
            places = held_out.inputs.shape[1:]
            gamma = torch.stack(norms, 1).unflatten(2, places).transpose(1, 2).cpu().numpy()
        return [
            Probe(
                run=name,
                step=self.step,
                attention=attention[model].cpu().numpy(),
                head_weights=self.stack.head_weights(model),
                tokens=held_out.inputs[model].cpu().numpy(),
                loss=float(losses[model]),
                accuracy=float(accuracies[model]),
                eval_sequences=settings.eval_sequences,
                loss_error=None if errors is None else float(errors[model]),
                losses_without=None if without is None else without[model],
                gamma=None if gamma is None else gamma[model],
            )
            for model, name in enumerate(self.names)
        ]

    def _drawn_aside(self, count: int, step: int) -> Batch:
        """Held-out sequences, of each model's own stream or of one that all share."""
        sources = self._draw_from(count, self.settings.probe_stream, split="held_out")
        return _stacked([source.batch(step) for source in sources])

    @torch.no_grad()
    def _evaluated(self, batch: Batch, changed: Mixed | None = None) -> Tensor:
        """Losses and accuracies (2, M, B) of any number of sequences, a batch at a time."""
        found = []
        for start in range(0, batch.inputs.shape[1], self.settings.batch):
            part = slice(start, start + self.settings.batch)
            inputs, targets = batch.inputs[:, part], batch.targets[:, part].flatten(0, 1)
            logits = self.stack.logits(inputs, self._scored_from, changed=changed)
            each = answered(logits.reshape(*targets.shape, -1), targets)
            found.append(torch.stack(each).view(2, *inputs.shape[:2]).cpu().double())
        return torch.cat(found, -1)

    def _losses_without(self, batch: Batch) -> list[NDArray[np.float64]]:
        """The loss of every model without each of its heads in turn, (L, H) each."""
        layers, heads = self.shape.layers, self.stack.heads
        found = [np.empty((layers, count)) for count in heads]
        for layer in range(layers):
            for head in range(max(heads)):
                losses = self._evaluated(batch, self.stack.without(layer, head))[0].mean(-1)
                for model, count in enumerate(heads):
                    if head < count:
                        found[model][layer, head] = losses[model]
        return found

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
            about = {**_DEFAULTS, **found.about}
            differing = [
                f"{name}: {key} is {expected[key]!r}, in the checkpoint {about.get(key)!r}"
                for key in expected
                if about.get(key) != expected[key]
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
            self._moment(bank, "step").fill_(float(step))
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
        if self.settings.schedule != "constant":
            own["steps"] = self.settings.steps  # which decide how fast the learning rate falls
        changed = {name: getattr(run, name) for name in INTERVENTIONS}
        return {**own, **asdict(self.shape), **changed, "heads": run.heads}

    def _draw_from(self, count: int, common: int | None = None, **how: Any) -> list[Source]:
        """A source of `count` sequences for each model; models of one task and seed share it.

        `common` is the seed of all, in place of their own.
        """
        seeds = self.seeds if common is None else [common] * len(self.seeds)
        found: dict[tuple[str, int], Source] = {}
        for task, seed in zip(self.tasks, seeds, strict=True):
            if (task.name, seed) not in found:
                found[task.name, seed] = Source(task, seed, count, self.device, **how)
        return [found[task.name, seed] for task, seed in zip(self.tasks, seeds, strict=True)]

    def _batch(self, step: int) -> Batch:
        drawn = {source: source.batch(step) for source in self._sources}
        if self._parallel is not None:
            rows = slice(self._share[0], None, self._share[1])
            drawn = {s: Batch(b.inputs[rows], b.targets[rows]) for s, b in drawn.items()}
        return _stacked([drawn[source] for source in self._sources])


def _place(run: RunSettings) -> tuple[Any, ...]:
    """Where a run goes in a stack: those that attend alike are neighbours."""
    change = run.intervention
    return run.heads, *(astuple(change) if change else ())


def alike(settings: TrainSettings, run: RunSettings) -> object:
    """What runs of one stack agree in: all but seed, heads, what is done to them, and which task
    of equal form they learn.
    """
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


def _brief(error: Exception) -> str:
    """An error's first line, cut short."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"


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
