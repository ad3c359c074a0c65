"""What to train: every setting once, with its default, its bounds and what it means.

Bounds and texts stand in the fields' metadata, in pydantic's words (`ge`, `gt`, `lt`,
`description`), so that `checks` holds Python's settings to them and a scenario's tables are made of
them. Importing this does not import torch.
"""

# ruff: noqa: RUF009  (`_setting` and `_own` make dataclass fields)

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args

from synergy_trainer.tasks import Task, find_task

Positions = Literal["learned", "sinusoidal", "rotary"]
Activation = Literal["relu", "gelu"]
Precision = Literal["float32", "bf16"]
POSITIONS: tuple[str, ...] = get_args(Positions)
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
PRECISIONS: tuple[str, ...] = get_args(Precision)
DEVICES = ("auto", "cpu", "cuda", "mps")

Class = TypeVar("Class", bound=type)


def _setting(default: Any, description: str, **bounds: float) -> Any:
    return field(default=default, metadata={"description": description, **bounds})


def _documented(settings: Class) -> Class:
    """Append what the fields mean to the class's docstring."""
    lines = [settings.__doc__ or "", "", "    Attributes", "    ----------"]
    for each in fields(settings):
        if text := each.metadata.get("description"):
            lines += [f"    {each.name}", f"        {text}"]
    settings.__doc__ = "\n".join([*lines, "    "])
    return settings


@_documented
@dataclass(frozen=True)
class TrainSettings:
    """What all runs of a training share; the defaults are small enough for a laptop."""

    task: str = _setting("copy", "What is learnt: the name of a task.")
    length: int = _setting(32, "Tokens per sequence.", ge=2)
    vocabulary: int = _setting(16, "Values of a token, separators not counted.", ge=2)
    steps: int = _setting(600, "Updates of the parameters.", ge=1)
    batch: int = _setting(64, "Sequences per update.", ge=1)
    sequences: int = _setting(
        0,
        "Size of a fixed training set, reshuffled every epoch; 0 draws new sequences at every "
        "step.",
        ge=0,
    )
    embed: int = _setting(64, "Width of the residual stream.", ge=1)
    mlp: int = _setting(128, "Width of the MLP.", ge=1)
    layers: int = _setting(2, "Transformer blocks.", ge=1)
    learning_rate: float = _setting(1e-3, "Of Adam (β = .9, .999, ε = 1e-8), constant.", gt=0)
    dropout: float = _setting(
        0.0, "Probability, on attention weights and on the MLP's output.", ge=0, lt=1
    )
    positions: Positions = _setting("learned", "How a token knows its place.")
    activation: Activation = _setting("relu", "Of the MLP.")
    tie_weights: bool = _setting(False, "Token embedding as output matrix.")
    precision: Precision = _setting(
        "float32",
        "bf16 may round the factors of products to bfloat16, on a CPU only where it gains by "
        "that; parameters, residual stream and loss stay float32.",
    )
    parameter_difference: int | None = _setting(
        0, "By how many parameters the runs may differ; None: by any number.", ge=0
    )
    seed: int = _setting(0, "Of initialisation and data; a run may have its own.")
    probe_every: int = _setting(
        20, "Steps between probes of attention; 0: only the start and the end.", ge=0
    )
    probe_at: tuple[int, ...] = _setting((), "Further steps to probe at.")
    probe_inputs: int = _setting(16, "Held-out sequences that a probe measures.", ge=1)
    checkpoint_every: int = _setting(
        100, "Steps between checkpoints; 0: only at the end and when stopped.", ge=0
    )
    log_every: int | None = _setting(
        None,
        "Steps between reports of loss and accuracy; when absent, every step of a short run and "
        "about 1000 of a long one.",
        ge=1,
    )
    deterministic: bool = _setting(False, "Ask for algorithms that give the same bits every time.")
    tf32: bool = _setting(False, "Allow TensorFloat-32 products on CUDA.")
    cuda_graphs: bool = _setting(False, "Replay the step as one CUDA graph.")
    compile: bool = _setting(False, "Compile the model with torch.compile.")

    @property
    def logged_every(self) -> int:
        """Steps between two reports, with the default filled in."""
        return self.log_every or max(1, round(self.steps / 1000))

    def logs(self, step: int) -> bool:
        """Whether loss and accuracy of this step are reported; those of the last one are."""
        return step % self.logged_every == 0 or step in (1, self.steps)

    def probes(self, step: int) -> bool:
        """Whether attention is extracted after this step."""
        if step in (0, self.steps) or step in self.probe_at:
            return True
        return self.probe_every > 0 and step % self.probe_every == 0

    def checkpoints(self, step: int) -> bool:
        """Whether a checkpoint is due after this step; one is due at the end."""
        if step == self.steps:
            return True
        return self.checkpoint_every > 0 and step > 0 and step % self.checkpoint_every == 0


_SHARED = {each.name: each for each in fields(TrainSettings)}


def _own(name: str) -> Any:
    """A run's own value of a shared setting, within the same bounds; None takes the shared one."""
    return field(default=None, metadata=_SHARED[name].metadata)


@_documented
@dataclass(frozen=True)
class RunSettings:
    """One model among those trained together; what is None is taken from the shared settings."""

    name: str = field(metadata={"description": "What the run, and its checkpoints, are called."})
    heads: int = field(
        metadata={"description": "Attention heads per layer; they share the width.", "ge": 1}
    )
    seed: int | None = _own("seed")
    task: str | None = _own("task")
    embed: int | None = _own("embed")
    mlp: int | None = _own("mlp")
    layers: int | None = _own("layers")
    learning_rate: float | None = _own("learning_rate")
    positions: Positions | None = _own("positions")
    activation: Activation | None = _own("activation")
    tie_weights: bool | None = _own("tie_weights")

    def over(self, shared: TrainSettings) -> TrainSettings:
        """The settings that this run trains with: its own where it has them, else the shared."""
        own = {name: getattr(self, name) for name in _SHARED if hasattr(self, name)}
        return replace(shared, **{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide a model's parameters; the number of heads is not among them.

    Attributes
    ----------
    tokens
        Size of the vocabulary, separators included.
    length
        Longest sequence.
    embed, mlp, layers, positions, activation, tie_weights
        As in :class:`TrainSettings`.
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
        """Count the trained numbers; as fast for a billion layers as for one."""
        none, one = (
            sum(map(math.prod, replace(self, layers=layers).parameter_shapes().values()))
            for layers in (0, 1)
        )
        return none + self.layers * (one - none)


def make_task(settings: TrainSettings) -> Task:
    """Build the task that the settings name; a TrainerError where there is none of this size."""
    return find_task(settings.task)(settings.length, settings.vocabulary)


def shape_of(settings: TrainSettings, run: RunSettings) -> ModelShape:
    """Sizes of a run's model."""
    own = run.over(settings)
    return ModelShape(
        tokens=make_task(own).tokens,
        length=own.length,
        embed=own.embed,
        mlp=own.mlp,
        layers=own.layers,
        positions=own.positions,
        activation=own.activation,
        tie_weights=own.tie_weights,
    )


def count_parameters(settings: TrainSettings, run: RunSettings) -> int:
    """Count a run's parameters without building its model (or importing torch).

    Raises
    ------
    TrainerError
        The task is unknown or does not exist at this size.
    """
    return shape_of(settings, run).parameters()
