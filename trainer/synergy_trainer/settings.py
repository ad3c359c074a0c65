"""What to train: every setting once, with its default, its bounds and what it means.

Bounds and texts stand in the fields' metadata, in pydantic's words (`ge`, `gt`, `lt`,
`description`), so that `checks` holds Python's settings to them and a scenario's tables are made of
them. Importing this does not import torch.
"""

# ruff: noqa: RUF009  (`_setting` and `_own` make dataclass fields)

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from synergy_trainer.tasks import Task, find_task

Positions = Literal["learned", "sinusoidal", "rotary"]
Activation = Literal["relu", "gelu"]
Precision = Literal["float32", "bf16"]
Schedule = Literal["constant", "linear", "cosine"]
DEVICES = ("auto", "cpu", "cuda", "mps")
INTERVENTIONS = ("head_diversity", "match_scale", "tied", "head_width", "qk_learning_rate")

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
    learning_rate: float = _setting(1e-3, "Of Adam (β = .9, .999, ε = 1e-8), at its peak.", gt=0)
    schedule: Schedule = _setting(
        "constant", "How the learning rate falls after the warm-up, towards 0 at the end."
    )
    warmup: int = _setting(0, "Steps over which the learning rate rises to its peak.", ge=0)
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
    probe_stream: int | None = _setting(
        None,
        "Seed of the held-out sequences, common to all runs; when absent, each run has those of "
        "its own seed.",
        ge=0,
    )
    eval_sequences: int = _setting(
        0,
        "Held-out sequences whose loss and accuracy every probe reports, and comparisons use; 0: "
        "those whose attention is measured, and comparisons use the training loss.",
        ge=0,
    )
    ablate: bool = _setting(False, "Measure at probes the held-out loss without each head.")
    norms: bool = _setting(
        False,
        "Keep with probes γ = ‖a‖/(‖x‖ + ‖a‖), the share of attention's output a beside the "
        "residual stream x that it is added to.",
    )
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
    tf32: bool | None = _setting(
        None, "Allow TensorFloat-32 products on CUDA; when absent, unless deterministic."
    )
    cuda_graphs: bool | None = _setting(
        None, "Replay the step as one CUDA graph; when absent, wherever there is CUDA."
    )
    compile: bool = _setting(False, "Compile the model with torch.compile.")

    @property
    def logged_every(self) -> int:
        """Steps between two reports, with the default filled in."""
        return self.log_every or max(1, round(self.steps / 1000))

    def rate_factor(self, step: int) -> float:
        """Learning rate of update number `step` (from 1), as a share of the peak.

        k/w over the first w = `warmup` steps; then, at share p = (step - 1 - w)/(steps - w) of the
        rest, 1, 1 - p or (1 + cos πp)/2.
        """
        if step <= self.warmup:
            return step / self.warmup
        if self.schedule == "constant":
            return 1.0
        passed = (step - 1 - self.warmup) / (self.steps - self.warmup)
        return 1.0 - passed if self.schedule == "linear" else (1.0 + math.cos(math.pi * passed)) / 2

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


@dataclass(frozen=True)
class Intervention:
    """What happens to the logits of a layer's heads before the softmax.

    With k = `tied`, S_g the mean of the logits of heads gk..gk+k-1 (√k times that, with
    `match_scale`) and S̄ the mean of the G = H/k many S_g, every head of group g attends by
    λ·S_g + (c - λ)·S̄, where λ = `head_diversity` and c = 1 or, with `match_scale`,
    √(G - (G - 1)λ²): the factors with which independent heads of equal variance keep it.
    """

    head_diversity: float
    match_scale: bool
    tied: int

    def patterns(self, heads: int) -> int:
        """Number of distinct attention patterns among the heads of a layer."""
        return heads // self.tied if self.head_diversity else 1

    def of_mean(self, heads: int) -> float:
        """The factor c - λ of the groups' mean."""
        groups, diversity = heads // self.tied, self.head_diversity
        total = math.sqrt(groups - (groups - 1) * diversity**2) if self.match_scale else 1.0
        return total - diversity


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
    head_diversity: float = _setting(
        1.0,
        "λ: how far the heads' attention logits differ; they are pulled towards the heads' mean, "
        "S̄ + λ(S − S̄): 1 leaves them as they are, with 0 all heads attend alike.",
        ge=0,
        le=1,
    )
    match_scale: bool = _setting(
        False,
        "Keep the spread of the logits that head_diversity and tied would reduce, so that "
        "head_diversity = 0 is the ordinary one-head network.",
    )
    tied: int = _setting(
        1, "Heads share their attention in groups of so many: the mean of their logits.", ge=1
    )
    head_width: int | None = _setting(
        None,
        "Numbers in a query and a key of each head, however many heads there are; embed / heads "
        "when absent. Changes the number of parameters.",
        ge=1,
    )
    qk_learning_rate: float = _setting(
        1.0, "Factor of the learning rate for the queries' and keys' projections.", gt=0
    )

    @property
    def intervention(self) -> Intervention | None:
        """What the run does to its logits, if it does not leave them as they are."""
        if self.head_diversity == 1.0 and self.tied == 1:
            return None
        return Intervention(self.head_diversity, self.match_scale, self.tied)

    @property
    def interventions(self) -> dict[str, float]:
        """The settings that make its heads, or how they learn, other than the ordinary ones."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name in INTERVENTIONS and getattr(self, each.name) != each.default
        }

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
    queries
        Width of a layer's queries (and keys), all heads together; None: `embed`.
    """

    tokens: int
    length: int
    embed: int
    mlp: int
    layers: int
    positions: str = "learned"
    activation: str = "relu"
    tie_weights: bool = False
    queries: int | None = None

    @property
    def query_width(self) -> int:
        """Width of a layer's queries (and keys), all heads together."""
        return self.embed if self.queries is None else self.queries

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
                out = self.query_width if product in ("W_q", "W_k") else width
                shapes[f"{at}attn.{product}.weight"] = (out, width)
                shapes[f"{at}attn.{product}.bias"] = (out,)
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
    queries = None if run.head_width is None else run.heads * run.head_width
    return ModelShape(
        tokens=make_task(own).tokens,
        length=own.length,
        embed=own.embed,
        mlp=own.mlp,
        layers=own.layers,
        positions=own.positions,
        activation=own.activation,
        tie_weights=own.tie_weights,
        queries=None if queries == own.embed else queries,
    )


def count_parameters(settings: TrainSettings, run: RunSettings) -> int:
    """Count a run's parameters without building its model (or importing torch).

    Raises
    ------
    TrainerError
        The task is unknown or does not exist at this size.
    """
    return shape_of(settings, run).parameters()
