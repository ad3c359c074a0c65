"""What a scenario file may contain. Light: ``synergy validate`` loads neither torch nor numba."""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
)

from synergy_engine.analysis.convention import ConventionName
from synergy_engine.topologies.catalogue import FAMILIES
from synergy_trainer.settings import RunSettings, TrainSettings
from synergy_trainer.tasks import TASKS
from synergy_tui.errors import did_you_mean
from synergy_tui.scenario import expect
from synergy_tui.scenario.sweep import SweepTable

RUN_NAME = re.compile(r"[^\W\d][\w-]*")
KEEP = re.compile(r"^(all|last|none|every:[1-9]\d{0,8})$")
RESERVED_NAMES = frozenset({"min", "max", "abs", "inf", "nan"})


def _run_name(name: str) -> str:
    if not RUN_NAME.fullmatch(name) or len(name) > 64:
        raise ValueError(
            "a run's name starts with a letter and continues with letters, digits, '-' and '_', "
            "64 at most"
        )
    if name in RESERVED_NAMES:
        raise ValueError(f"{', '.join(sorted(RESERVED_NAMES))} mean something in expectations")
    return name


def _task(name: str) -> str:
    if name not in TASKS:
        raise ValueError(_no_such("task", name, TASKS))
    return name


def _topology(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(_no_such("topology", name, FAMILIES))
    return name


def _keep(rule: str) -> str:
    if not KEEP.fullmatch(rule):
        raise ValueError("allowed: all, last, none, or every:N with N from 1 on, as in every:10")
    return rule


def _no_such(what: str, name: str, known: Collection[str]) -> str:
    near = did_you_mean(name, known)
    return f"there is no such {what}{near} (allowed: {', '.join(known)})"


def _head_weights(value: Any) -> Any:
    if isinstance(value, str) and value in WEIGHTS:
        return value
    if not isinstance(value, list):
        raise ValueError(f"allowed: {', '.join(WEIGHTS)}, or a list with one number per head")
    numbers = [item for item in value if isinstance(item, int | float) and 0 <= item < 1e300]
    if len(numbers) < len(value) or not sum(numbers) > 0:
        raise ValueError("weights are finite numbers of at least 0, not all of them 0")
    return value


def _edges(value: Any) -> Any:
    problem = "edges are [from, to] or [from, to, weight], nodes by name or by number from 0"
    if not isinstance(value, list):
        raise ValueError(problem)
    for edge in value:
        ends_are_nodes = (
            isinstance(edge, list)
            and len(edge) in (2, 3)
            and all(isinstance(end, str | int) and not isinstance(end, bool) for end in edge[:2])
        )
        if not ends_are_nodes:
            raise ValueError(f"{problem}; {edge!r} is not")
        weight = edge[2] if len(edge) == 3 else 1.0
        if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"a weight is a finite number of at least 0; {weight!r} is not")
    return value


def _expectation(text: str) -> str:
    expect.parse(text)
    return text


WEIGHTS = ("uniform", "learned", "optimal")
RunName = Annotated[str, AfterValidator(_run_name)]
HeadWeights = Annotated[str | list[float], BeforeValidator(_head_weights)]
Edges = Annotated[list[list[int | str | float]], BeforeValidator(_edges)]
Heads = Annotated[int, Field(ge=1, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1)]


class Table(BaseModel):
    """A table whose keys are all known: a typo is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _keys_of(settings: type, without: Container[str]) -> dict[str, Any]:
    """Keys made of a dataclass of the trainer, whose metadata are in pydantic's words."""
    hints = get_type_hints(settings)
    return {
        each.name: (hints[each.name], Field(default=each.default, **each.metadata))
        for each in fields(settings)
        if each.name not in without
    }


_SharedKeys: Any = create_model("_SharedKeys", __base__=Table, **_keys_of(TrainSettings, {"seed"}))


class Train(_SharedKeys):
    """``[train]``: what all trained runs share. See :class:`synergy_trainer.TrainSettings`."""

    task: Annotated[str, AfterValidator(_task)] = Field(
        description="What is learnt.", json_schema_extra={"enum": list(TASKS)}
    )
    probe_at: list[Annotated[int, Field(ge=0)]] = Field(
        default=[], description="Further steps to probe at."
    )
    parameter_difference: Annotated[int, Field(ge=0)] | Literal["any"] = Field(
        default=0, description="By how many parameters the runs may differ; any: by any number."
    )


class AnalysisTable(Table):
    """``[analysis]``: by which conventions attention is measured."""

    convention: ConventionName = Field(default="theory", description="Bundle of conventions.")
    combine: Literal["walks", "attention"] = Field(
        default="walks", description="Mix normalised walks, or attention before normalising."
    )
    weights: Literal["learned", "uniform"] = Field(
        default="learned", description="Head weights of trained layers."
    )
    epsilon: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25, description="Distance at which a walk counts as mixed."
    )
    max_steps: Positive = Field(
        default=10_000, description="Mixing times beyond are reported as greater."
    )
    also: list[ConventionName] = Field(
        default=["paper-code"], description="Conventions to measure by as well, layers averaged."
    )
    kept_inputs: Annotated[int, Field(ge=0)] = Field(
        default=4, description="Inputs of each probe whose attention is written to disk."
    )
    keep: Annotated[str, AfterValidator(_keep)] = Field(
        default="all",
        description="Probes whose attention stays on disk: all, last, none, or every:N (each N-th "
        "and the last).",
        json_schema_extra={"pattern": KEEP.pattern},
    )


def _add_parameters(schema: dict[str, Any]) -> None:
    words = {int: "integer", float: "number", bool: "boolean", str: "string"}
    for family in FAMILIES.values():
        for parameter in family.parameters:
            known = schema["properties"].setdefault(
                parameter.name, {"type": words[parameter.kind], "description": parameter.text}
            )
            if parameter.choices:
                known["enum"] = list(parameter.choices)
    schema["additionalProperties"] = False


class FamilyTable(Table):
    """A table that may have a graph family's own parameters, too."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_add_parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """The family's own parameters that were given."""
        return dict(self.model_extra or {})


class Graph(FamilyTable):
    """A family of graphs and its parameters."""

    topology: Annotated[str, AfterValidator(_topology)] = Field(
        description="Graph family.", json_schema_extra={"enum": list(FAMILIES)}
    )
    nodes: Annotated[int, Field(ge=2)] = Field(default=32, description="Nodes; the last: the sink.")
    diversity: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Share of rows redrawn between heads; the family's when absent."
    )
    redraw: Literal["all", "others"] = Field(
        default="all",
        description="Which heads redraw rows: all, so that none is special; or all but the first.",
    )
    seed: Seed | None = Field(default=None, description="Of the graph; the scenario's when absent.")


class Head(FamilyTable):
    """One head of a designed graph: an edge list, a file, or a topology with its parameters."""

    topology: Annotated[str, AfterValidator(_topology)] | None = Field(
        default=None, description="Graph family.", json_schema_extra={"enum": [*FAMILIES, None]}
    )
    seed: Seed | None = Field(default=None, description="Of the graph; the scenario's when absent.")
    edges: Edges | None = Field(
        default=None, description="[from, to] or [from, to, weight]; information flows from → to."
    )
    file: str | None = Field(
        default=None, description="GraphML, GML, node-link JSON or edge list, from this file on."
    )


class Run(Table):
    """What every run has."""

    name: RunName = Field(description="What the run is called, in expectations too.")
    note: str = Field(default="", description="A remark, shown with the run.")


if TYPE_CHECKING:
    _OwnKeys = Run
else:
    _OwnKeys = create_model("_OwnKeys", __base__=Run, **_keys_of(RunSettings, {"name"}))


class TrainedRun(_OwnKeys):
    """A Transformer that learns the task of ``[train]``; what it leaves out is taken from there."""

    heads: Heads = Field(description="Attention heads per layer; they share the width.")
    task: Annotated[str, AfterValidator(_task)] | None = Field(
        default=None, description="What is learnt.", json_schema_extra={"enum": [*TASKS, None]}
    )
    seed: Seed | None = Field(default=None, description="The scenario's when absent.")
    mlp: Positive | Literal["match"] | None = Field(
        default=None,
        description="Width of the MLP; match: as wide as brings the parameters nearest to those "
        "of the first run that does not say so.",
    )


class DesignedRun(Run):
    """Heads given one by one."""

    heads: list[Head] = Field(min_length=1, description="One table for each head.")
    nodes: Annotated[int, Field(ge=2)] | list[str] | None = Field(
        default=None, description="How many, or their names in order; the last one is the sink."
    )
    weights: HeadWeights = Field(default="uniform", description="How much each head counts.")
    self_loops: Literal["add", "keep"] = Field(
        default="add", description="Give nodes without a self-loop one, or take the edges as given."
    )
    unreachable: Literal["refuse", "allow"] = Field(
        default="refuse", description="What to do about nodes that cannot reach the sink."
    )


class FamilyRun(Run):
    """Heads drawn from a family of graphs."""

    heads: Heads = Field(default=1, description="How many heads are drawn.")
    graph: Graph = Field(description="The family.")
    weights: HeadWeights = Field(default="uniform", description="How much each head counts.")
    unreachable: Literal["refuse", "allow"] = Field(
        default="allow", description="What to do about nodes that cannot reach the sink."
    )


class LoadedRun(Run):
    """Attention that exists already, in a tensor file or as a trained checkpoint."""

    attention: str | None = Field(
        default=None,
        description=(
            ".npy, .npz or .safetensors with (n,n), (H,n,n), (L,H,n,n) or, several inputs, "
            "(B,L,H,n,n)."
        ),
    )
    checkpoint: str | None = Field(
        default=None, description="A checkpoint; its attention is measured on the task of [train]."
    )
    heads: Heads | None = Field(default=None, description="Where the file does not say.")
    weights: HeadWeights | None = Field(
        default=None, description="How much each head counts; learned where the file knows."
    )


class WatchedRun(Run):
    """A training of somebody's own; written by `synergy_tui.watch`, and never run from here."""

    watched: Literal[True] = Field(description="Written by synergy_tui.watch.")


class Expect(Table):
    """A claim that must hold in the end, or the exit code is 1."""

    that: Annotated[str, AfterValidator(_expectation)] = Field(
        description="A comparison of the runs' numbers.", examples=["a.loss < b.loss"]
    )
    because: str = Field(default="", description="Why it should hold, shown with the result.")


def run_kind(value: Any) -> str:
    """Return which kind of run a table means: ``<trained>``, ``<designed>``, …"""
    if not isinstance(value, dict):
        return next(
            (tag for tag, model in RUN_MODELS.items() if isinstance(value, model)), "<trained>"
        )
    if "attention" in value or "checkpoint" in value:
        return "<loaded>"
    if "watched" in value:
        return "<watched>"
    if "graph" in value:
        return "<family>"
    return "<designed>" if isinstance(value.get("heads"), list) else "<trained>"


RUN_MODELS: dict[str, type[Run]] = {
    "<trained>": TrainedRun,
    "<designed>": DesignedRun,
    "<family>": FamilyRun,
    "<loaded>": LoadedRun,
    "<watched>": WatchedRun,
}

AnyRun = Annotated[
    Annotated[TrainedRun, Tag("<trained>")]
    | Annotated[DesignedRun, Tag("<designed>")]
    | Annotated[FamilyRun, Tag("<family>")]
    | Annotated[LoadedRun, Tag("<loaded>")]
    | Annotated[WatchedRun, Tag("<watched>")],
    Discriminator(run_kind),
]


class Scenario(Table):
    """A scenario file: runs that are compared, and what is expected of them."""

    title: str = Field(default="", description="One line, shown above everything.")
    description: str = Field(default="", description="What it shows, shown by the picker.")
    name: str = Field(default="", description="Part of its experiments' ids; the file's name.")
    seed: Seed = Field(default=0, description="Of initialisation, data and random graphs.")
    train: Train | None = Field(default=None, description="Absent when no run is trained.")
    analysis: AnalysisTable = Field(default=AnalysisTable(), description="How it is measured.")
    runs: list[AnyRun] = Field(default=[], description="What is compared.")
    expect: list[Expect] = Field(default=[], description="What must hold in the end.")
    sweep: SweepTable | None = Field(default=None, description="Many experiments from this one.")
    versions: dict[str, str] = Field(
        default={}, description="Written into experiments; what they were made with."
    )

    def run(self, name: str) -> AnyRun:
        """Return the run called ``name``."""
        return next(run for run in self.runs if run.name == name)

    @property
    def trained(self) -> list[TrainedRun]:
        """The runs that learn."""
        return [run for run in self.runs if isinstance(run, TrainedRun)]

    def as_toml(self) -> str:
        """Return the scenario as TOML, every default filled in."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))
