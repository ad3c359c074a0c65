"""The ``[sweep]`` table of a scenario: what is varied, what is compared, and on what it runs.

Light on purpose (pydantic alone): ``synergy validate`` reads it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synergy_tui.claims import BY_ID, SMALLEST_EFFECT
from synergy_tui.errors import did_you_mean

Scalar = bool | int | float | str

AXES: dict[str, str] = {
    "tasks": "train.task",
    "lengths": "train.length",
    "widths": "train.embed",
    "layers": "train.layers",
    "heads": "runs.heads",
    "topologies": "runs.graph.topology",
    "nodes": "runs.graph.nodes",
    "diversity": "runs.graph.diversity",
}
"""The named axes and the scenario key that each one sets, in the order of a point's name."""


class Override(BaseModel):
    """Settings for some points: where these axes have these values, set these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: dict[str, Scalar | list[Scalar]] = Field(
        description="Axis → value (or values) that a point must have; seed counts as an axis.",
        examples=[{"tasks": "sort"}],
    )
    set: dict[str, Scalar | list[Scalar]] = Field(
        description="Scenario key → value, as in `--set`.", examples=[{"train.steps": 1500}]
    )


class Prediction(BaseModel):
    """``[[sweep.predict]]``: the verdict on a claim, predicted before the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str = Field(description="The claim, by its id.", json_schema_extra={"enum": list(BY_ID)})
    outcome: Literal["supported", "contradicted", "no effect"] = Field(
        description="The verdict that is predicted; no effect: a ratio within `effect` of 1."
    )
    effect: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] = Field(
        default=SMALLEST_EFFECT,
        description="The smallest ratio of interest; nearer to 1 on either side is no effect.",
    )
    why: str = Field(default="", description="The reason, shown with the outcome.")
    where: dict[str, Scalar | list[Scalar]] = Field(
        default={},
        description="Axis → value (or values) of the groups that are meant; all when absent.",
        examples=[{"tasks": "sort"}],
    )

    @field_validator("claim")
    @classmethod
    def _known(cls, claim: str) -> str:
        if claim not in BY_ID:
            near = did_you_mean(claim, BY_ID)
            raise ValueError(f"there is no such claim{near} (allowed: {', '.join(BY_ID)})")
        return claim


class SweepTable(BaseModel):
    """``[sweep]``: a grid of axes, a list of points, or both.

    Every combination of the axes (but the compared one) with every seed is a *point*: one ordinary
    experiment. The compared axis is laid side by side as the runs of each point, so that they share
    seed and data and differences between them are paired.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: Annotated[int, Field(ge=1, le=10_000)] | list[Annotated[int, Field(ge=0)]] = Field(
        default=1, description="How many seeds (0, 1, …), or the seeds themselves."
    )
    tasks: list[str] = Field(default=[], description="Tasks to train on.")
    lengths: list[Annotated[int, Field(ge=2)]] = Field(default=[], description="Sequence lengths.")
    widths: list[Annotated[int, Field(ge=1)]] = Field(default=[], description="Embedding widths.")
    layers: list[Annotated[int, Field(ge=1)]] = Field(default=[], description="Numbers of layers.")
    heads: list[Annotated[int, Field(ge=1)]] = Field(default=[], description="Head counts.")
    topologies: list[str] = Field(default=[], description="Graph families of designed heads.")
    nodes: list[Annotated[int, Field(ge=2)]] = Field(
        default=[], description="Nodes of designed graphs."
    )
    diversity: list[Annotated[float, Field(ge=0.0, le=1.0)]] = Field(
        default=[], description="Share of rows redrawn between designed heads; 0 is the control."
    )
    axes: dict[str, list[Scalar]] = Field(
        default={},
        description="Any other scenario key, as in `--set`, with the values to try.",
        examples=[{"train.learning_rate": [1e-3, 3e-3]}],
    )
    points: list[dict[str, Scalar]] = Field(
        default=[],
        description="Points listed one by one: axis or scenario key → value; added to the grid.",
    )
    compare: str | None = Field(
        default=None,
        description="The axis whose values are the runs of each point; heads when it is given.",
    )
    overrides: list[Override] = Field(default=[], description="Settings for some of the points.")
    predict: list[Prediction] = Field(
        default=[], description="Predicted verdicts; the report shows whether they came true."
    )
    executor: Literal["auto", "ensemble", "pool", "ray"] = Field(
        default="auto", description="What runs the points: batched ensembles, processes, Ray."
    )
    workers: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Points at a time; chosen from the machine when absent."
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        default=3, description="How often in all a point whose worker was lost is tried."
    )
    gpus_per_point: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None,
        description="Share of a GPU for each point on Ray; 0.25 puts four on one. When absent, "
        "points that train together have one of their own with --device cuda.",
    )
    memory_per_point: Annotated[float, Field(gt=0.0)] | None = Field(
        default=None, description="GiB that Ray reserves for each point; estimated when absent."
    )
    data_parallel: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Processes that train each point together (torchrun, DDP)."
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list):
            if not seeds:
                raise ValueError("needs at least one seed")
            _must_differ("seeds", list(seeds))
        return seeds

    @model_validator(mode="after")
    def _axes_make_sense(self) -> SweepTable:
        for name in (*AXES, *self.axes):
            _must_differ(name, self.values(name))
        for name, values in self.axes.items():
            if not values:
                raise ValueError(f"axis {name!r} has no values")
            if name in AXES.values():
                known = next(axis for axis, key in AXES.items() if key == name)
                raise ValueError(f"axis {name!r} is written {known!r}")
        if self.compare is not None and not self.values(self.compare):
            given = [name for name in (*AXES, *self.axes) if self.values(name)]
            raise ValueError(f"compare = {self.compare!r} is not an axis given here: {given}")
        for override in self.overrides:
            for name in override.where:
                if name != "seed" and name not in AXES and name not in self.axes:
                    raise ValueError(f"override where {name!r}: no such axis: {[*AXES, 'seed']}")
                if not self.points:  # which may spell an axis in other ways
                    self._must_have(f"override where {name!r}", name, override.where[name])
        for prediction in self.predict:
            self._must_mean_groups(prediction)
        return self

    def _must_mean_groups(self, prediction: Prediction) -> None:
        """Refuse a prediction about groups that the sweep does not have."""
        at = f"predict {prediction.claim}: where"
        axes = [name for name in (*AXES, *self.axes) if self.values(name)]
        listed = [key for point in self.points for key in point]
        for name, wanted in prediction.where.items():
            if name == "seed" or name == self.compared:
                raise ValueError(f"{at}: {name!r} is what a group compares, not a group")
            if name not in axes and name not in listed:
                near = did_you_mean(name, [*axes, *listed])
                raise ValueError(f"{at}: {name!r} is not an axis of this sweep{near}")
            self._must_have(at, name, wanted)

    def _must_have(self, at: str, axis: str, wanted: Scalar | list[Scalar]) -> None:
        """Refuse values that no point has."""
        known = self.seed_list if axis == "seed" else self.known(axis)
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if value not in known:
                near = did_you_mean(str(value), map(str, known))
                raise ValueError(f"{at}: {axis} has no value {value!r}{near} ({known})")

    def values(self, axis: str) -> list[Any]:
        """Return the values given for a named axis or for a key of ``axes``."""
        return list(getattr(self, axis)) if axis in AXES else list(self.axes.get(axis, []))

    def known(self, axis: str) -> list[Any]:
        """Return the values that an axis has in the grid and in the listed points."""
        return [*self.values(axis), *(each[axis] for each in self.points if axis in each)]

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @property
    def compared(self) -> str | None:
        """The axis whose values become the runs of each point, if any."""
        if self.compare is not None:
            return self.compare
        return next((axis for axis in ("heads", "topologies") if self.values(axis)), None)


def _must_differ(name: str, values: list[Any]) -> None:
    if len(set(map(repr, values))) < len(values):
        raise ValueError(f"{name} repeats a value: {values}")
