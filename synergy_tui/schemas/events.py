"""The JSON Schema of the event stream, version 1."""

from __future__ import annotations

from typing import Any

from synergy_tui.schemas import analysis
from synergy_tui.schemas.analysis import NUMBER, TIME, record

Schema = dict[str, Any]

_STEP: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"$ref": "#/$defs/number"}
_RUN = {"run": _TEXT}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _measured() -> Schema:
    """A probe, and its like for designed graphs."""
    return record(
        {
            **_RUN,
            "step": _STEP,
            "inputs": {"type": "integer", "minimum": 1},
            "layers": {"type": "array", "items": {"$ref": "#/$defs/analysis"}},
            "overall": {"$ref": "#/$defs/analysis"},
        },
        {"attention": _or_null(_TEXT), "conventions": {"type": "object"}},
    )


def _ended() -> Schema:
    return record({**_RUN, "step": _STEP}, {"reason": _TEXT})


def _kinds() -> dict[str, Schema]:
    """Kind of event → what it must have, besides ``v``, ``t`` and ``kind``."""
    return {
        "experiment_started": record(
            {
                "id": _TEXT,
                "scenario": _TEXT,
                "runs": {"type": "array", "items": {"anyOf": [_TEXT, record({"name": _TEXT})]}},
                "seed": _or_null({"type": "integer"}),
                "versions": {"type": "object", "additionalProperties": _TEXT},
            },
            {"title": _TEXT, "started": {"type": "string", "format": "date-time"}},
        ),
        "run_started": record(
            {
                **_RUN,
                "heads": {"type": "integer", "minimum": 1},
                "parameters": _or_null(_STEP),
                "device": _or_null(_TEXT),
            },
            {
                "layers": {"type": "integer", "minimum": 1},
                "nodes": {"type": "integer", "minimum": 1},
                "floor": _or_null(_NUMBER),
                "ceiling": _or_null(_NUMBER),
                "task": _or_null(_TEXT),
                "steps": _or_null(_STEP),
                "seed": _or_null({"type": "integer"}),
                "kind_of_run": {"enum": ["trained", "designed", "loaded"]},
                "note": _TEXT,
            },
        ),
        "run_resumed": record({**_RUN, "step": _STEP}),
        "train_step": record(
            {**_RUN, "step": {"type": "integer", "minimum": 1}, "loss": _NUMBER},
            {"accuracy": _or_null(_NUMBER), "tokens_per_second": _or_null(_NUMBER)},
        ),
        "probe": _measured(),
        "simulated": _measured(),
        "checkpoint": record({**_RUN, "step": _STEP, "path": _TEXT}),
        "expectation": record(
            {
                "that": _TEXT,
                "holds": {"type": "boolean"},
                "left": _or_null({"$ref": "#/$defs/time"}),
                "right": _or_null({"$ref": "#/$defs/time"}),
            }
        ),
        "resources": record(
            {},
            {
                name: _or_null(_NUMBER)
                for name in ("cpu_percent", "memory_bytes", "gpu_percent", "gpu_memory_bytes")
            },
        ),
        "warning": record({"message": _TEXT}),
        "run_finished": _ended(),
        "run_failed": _ended(),
        "run_stopped": _ended(),
        "experiment_finished": record({"exit_code": {"type": "integer"}}, {"verdict": _TEXT}),
    }


def build() -> Schema:
    """Return the schema of one event.

    Kinds that are not listed are valid, as readers skip kinds they do not know.
    """
    one = analysis.build()
    definitions = one.pop("$defs")
    return {
        "title": "Synergy event",
        "description": "One line of events.jsonl, and of `synergy run --json`.",
        **record(
            {
                "v": {"const": 1},
                "t": {"type": "number", "minimum": 0, "description": "Seconds since the start."},
                "kind": _TEXT,
            },
            {"run": _TEXT},
        ),
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": schema}
            for kind, schema in _kinds().items()
        ],
        "$defs": {**definitions, "number": NUMBER, "time": TIME, "analysis": one},
    }
