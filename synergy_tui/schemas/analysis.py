"""The JSON Schema of analysis objects: what ``analyze --json`` prints and probes carry."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

# A number of steps or a measure: infinite and undefined ones are strings in strict JSON.
NUMBER: Schema = {
    "anyOf": [
        {"type": "number"},
        {"enum": ["inf", "-inf", "nan"]},
    ]
}
TIME: Schema = {
    "description": "Diffusion steps; a time not reached is text such as '> 10000'.",
    "anyOf": [
        {"type": "number"},
        {"enum": ["inf", "nan"]},
        {"type": "string", "pattern": "^> [0-9]+$"},
    ],
}
SHARE: Schema = {"type": "number", "minimum": -1e-9, "maximum": 1 + 1e-9}
TIMES = ("mixing_time_tv_max", "mixing_time_tv_mean", "mixing_time_l1_max", "mixing_time_l1_mean")


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return an object schema whose further keys, of later versions, are allowed."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def build() -> Schema:
    """Return the schema of one analysis: a layer, or "overall" (the mean over layers)."""
    integer = {"type": "integer", "minimum": 0}
    four: dict[str, Schema] = {name: {"$ref": "#/$defs/time"} for name in TIMES}
    layer = {
        "required": ["per_head", "arrival"],
        "properties": {"fidelity": record({"argmin": integer, "time": integer})},
    }
    return {
        "title": "Synergy analysis",
        "description": "How soon and how clearly information reaches the sink, in one layer.",
        **record(
            {
                "layer": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "overall"}]},
                "heads": {"type": "number", "minimum": 1},
                "nodes": {"type": "number", "minimum": 1},
                "inputs": {"type": "number", "minimum": 1},
                "head_weights": {"type": "array", "items": SHARE},
                "weights": {"type": "string"},
                "convention": {"enum": ["theory", "paper-code", "feedforward"]},
                "combine": {"enum": ["walks", "attention"]},
                "epsilon": {"type": "number", "exclusiveMinimum": 0},
                "sink": {"enum": ["excluded", "included"]},
                "mixing": record(
                    {
                        "hitting_time_mean": {"$ref": "#/$defs/number"},
                        "hitting_time_median": {"$ref": "#/$defs/number"},
                        **four,
                    },
                    {
                        "hitting_time_capped_mean": {"$ref": "#/$defs/number"},
                        "arrival_median": {"$ref": "#/$defs/time"},
                        "max_steps": {"type": "number"},
                        "backward": record(four),
                    },
                ),
                "fidelity": record(
                    {
                        name: {"$ref": "#/$defs/number"}
                        for name in ("minimax", "normalised", "lower", "upper")
                    },
                    {
                        "argmin": {"type": ["integer", "null"]},
                        "time": {"type": ["integer", "null"]},
                        "unreachable": {"type": "array"},
                    },
                ),
                "synergy": record(
                    {
                        name: {"$ref": "#/$defs/number"}
                        for name in ("fidelity_amplification", "mixing_gain")
                    }
                ),
                "diversity": {
                    "type": "object",
                    "additionalProperties": {"$ref": "#/$defs/number"},
                },
                "bounds": {"type": "object"},
            },
            {
                "file": {"type": "string"},
                "per_head": {
                    "type": "array",
                    "items": record(
                        {
                            "hitting_time_mean": {"$ref": "#/$defs/number"},
                            "fidelity_minimax": {"$ref": "#/$defs/number"},
                        },
                        {
                            "head": {"type": "integer", "minimum": 1},
                            "weight": SHARE,
                            "mixing_time_tv_max": {"$ref": "#/$defs/time"},
                        },
                    ),
                },
                "arrival": record(
                    {"steps": {"type": "array", "items": integer}},
                    {
                        name: {"type": "array", "items": SHARE}
                        for name in ("mean", "median", "worst")
                    },
                ),
                "intervals": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "array",
                        "items": {"$ref": "#/$defs/number"},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                },
                "paths": record(
                    {
                        "source": integer,
                        "strongest": {
                            "type": "array",
                            "items": record(
                                {
                                    "nodes": {"type": "array", "items": integer},
                                    "heads": {"type": "array", "items": integer},
                                    "strength": {"type": "number"},
                                }
                            ),
                        },
                    }
                ),
            },
        ),
        "if": {"properties": {"layer": {"type": "integer"}}},
        "then": layer,
        "$defs": {"number": NUMBER, "time": TIME},
    }
