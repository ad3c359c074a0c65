"""What to train. Importing it does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synergy_trainer import tasks
from synergy_trainer.errors import TrainerError
from synergy_trainer.tasks import Task


@dataclass(frozen=True)
class TrainSettings:
    """What all runs of a training share; the defaults are small enough for a laptop.

    Attributes:
        task: name of a task in `trainer.TASKS`.
        length: tokens a sequence, n.
        vocabulary: values a token takes, V (separators come on top).
        steps: parameter updates.
        batch: sequences an update.
        sequences: 0 draws new sequences at every step; a positive number trains on a fixed set
            of that many, reshuffled every epoch.
        embed, mlp, layers: widths of the residual stream and of the MLP, and number of blocks.
        learning_rate: of Adam (β = .9, .999, ε = 1e-8), constant.
        dropout: probability, on attention weights and on the MLP's output.
        positions: "learned", "sinusoidal" or "rotary".
        activation: of the MLP, "relu" or "gelu".
        tie_weights: use the token embedding as output matrix.
        precision: "float32", or "bf16" for bfloat16 products (parameters, residual stream and
            loss stay float32); a CPU rounds only where it gains by that.
        seed: of initialisation and data; a run may have its own.
        probe_every: probe after every so many steps (0: only at the start and the end).
        probe_at: further steps to probe at.
        probe_inputs: held-out sequences a probe measures.
        checkpoint_every: write checkpoints after every so many steps (0: only at the end and
            when stopped).
        log_every: report loss and accuracy every so many steps; None for every step of a short
            run and about 1000 times in a long one.
        deterministic: ask for algorithms that give the same bits every time.
        tf32: allow TensorFloat-32 products on CUDA.
        cuda_graphs: replay the step as one CUDA graph.
        compile: compile the model with `torch.compile`.
        parameter_difference: how many parameters the runs may differ by; None for any number.
    """

    task: str = "copy"
    length: int = 32
    vocabulary: int = 16
    steps: int = 600
    batch: int = 64
    sequences: int = 0
    embed: int = 64
    mlp: int = 128
    layers: int = 2
    learning_rate: float = 1e-3
    dropout: float = 0.0
    positions: str = "learned"
    activation: str = "relu"
    tie_weights: bool = False
    precision: str = "float32"
    seed: int = 0
    probe_every: int = 20
    probe_at: tuple[int, ...] = ()
    probe_inputs: int = 16
    checkpoint_every: int = 100
    log_every: int | None = None
    deterministic: bool = False
    tf32: bool = False
    cuda_graphs: bool = False
    compile: bool = False
    parameter_difference: int | None = 0

    @property
    def logged_every(self) -> int:
        """Steps between two reports, with the default filled in."""
        return self.log_every or max(1, round(self.steps / 1000))

    def logs(self, step: int) -> bool:
        """Say whether loss and accuracy of this step are reported; those of the last one are."""
        return step % self.logged_every == 0 or step in (1, self.steps)

    def probes(self, step: int) -> bool:
        """Say whether attention is extracted after this step."""
        if step in (0, self.steps) or step in self.probe_at:
            return True
        return self.probe_every > 0 and step % self.probe_every == 0

    def checkpoints(self, step: int) -> bool:
        """Say whether a checkpoint is due after this step; one is due at the end."""
        if step == self.steps:
            return True
        return self.checkpoint_every > 0 and step > 0 and step % self.checkpoint_every == 0


@dataclass(frozen=True)
class RunSettings:
    """One model among those trained together; what is None is taken from the shared settings."""

    name: str
    heads: int
    seed: int | None = None
    embed: int | None = None
    mlp: int | None = None
    layers: int | None = None
    learning_rate: float | None = None
    positions: str | None = None
    activation: str | None = None
    tie_weights: bool | None = None


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide a model's parameters; the number of heads is not among them.

    Attributes:
        tokens: size of the vocabulary, separators included.
        length: longest sequence.
        embed, mlp, layers, positions, activation, tie_weights: as in :class:`TrainSettings`.
    """

    tokens: int
    length: int
    embed: int
    mlp: int
    layers: int
    positions: str = "learned"
    activation: str = "relu"
    tie_weights: bool = False

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, as in the paper's published checkpoints."""
        width, hidden = self.embed, self.mlp
        shapes: dict[str, tuple[int, ...]] = {"token_emb.weight": (self.tokens, width)}
        if self.positions == "learned":
            shapes["pos_emb.weight"] = (self.length, width)
        for layer in range(self.layers):
            at = f"layers.{layer}."
            shapes[at + "ln1.weight"] = (width,)
            for product in ("W_q", "W_k", "W_v", "out_proj"):
                shapes[f"{at}attn.{product}.weight"] = (width, width)
                shapes[f"{at}attn.{product}.bias"] = (width,)
            shapes[at + "ln2.weight"] = (width,)
            shapes[at + "mlp.0.weight"] = (hidden, width)
            shapes[at + "mlp.0.bias"] = (hidden,)
            shapes[at + "mlp.2.weight"] = (width, hidden)
            shapes[at + "mlp.2.bias"] = (width,)
        if not self.tie_weights:
            shapes["out_proj.weight"] = (self.tokens, width)
        shapes["out_proj.bias"] = (self.tokens,)
        return shapes

    def parameters(self) -> int:
        """Count the trained numbers."""
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())


def make_task(settings: TrainSettings) -> Task:
    """Build the task that the settings name.

    Raises:
        TrainerError: no such task, or it does not exist at this size.
    """
    if settings.task not in TASKS:
        raise TrainerError(
            f"task: there is no task {settings.task!r}; choose one of {', '.join(TASKS)}"
        )
    return TASKS[settings.task](settings.length, settings.vocabulary)


def shape_of(settings: TrainSettings, run: RunSettings) -> ModelShape:
    """Sizes of a run's model: the run's own where it states them, else the shared ones."""

    def pick(name: str):  # type: ignore[no-untyped-def]
        own = getattr(run, name)
        return getattr(settings, name) if own is None else own

    return ModelShape(
        tokens=make_task(settings).tokens,
        length=settings.length,
        embed=pick("embed"),
        mlp=pick("mlp"),
        layers=pick("layers"),
        positions=pick("positions"),
        activation=pick("activation"),
        tie_weights=pick("tie_weights"),
    )


def count_parameters(settings: TrainSettings, run: RunSettings) -> int:
    """Count a run's parameters without building its model (or importing torch).

    Raises:
        TrainerError: the task is unknown or does not exist at this size.
    """
    return shape_of(settings, run).parameters()


TASKS: dict[str, type[tasks.Task]] = {
    task.name: task
    for task in (
        tasks.Copy,
        tasks.Cycle,
        tasks.Reverse,
        tasks.Sort,
        tasks.OffsetSum,
        tasks.Parity,
        tasks.Maximum,
        tasks.SecondMaximum,
        tasks.AssociativeRecall,
        tasks.Induction,
        tasks.Zero,
    )
}
POSITIONS = ("learned", "sinusoidal", "rotary")
ACTIVATIONS = ("relu", "gelu")
PRECISIONS = ("float32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")
