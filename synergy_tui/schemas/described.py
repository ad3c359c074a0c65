"""JSON Schemas that follow from the descriptions of events, analysis objects and claims.

Records may have further keys, of later versions.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from synergy_tui.claims import BY_ID, ClaimRecord
from synergy_tui.experiments.analysis import Analysis
from synergy_tui.experiments.kinds import KINDS

Schema = dict[str, Any]

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}
_TIME = {
    "description": "Diffusion steps; a time not reached is text such as '> 10000'.",
    "anyOf": [
        {"type": "number"},
        {"enum": ["inf", "nan"]},
        {"type": "string", "pattern": "^> [0-9]+$"},
    ],
}
_DEFINITIONS = {"number": _NUMBER, "time": _TIME}
# What descriptions name in ``Annotated``; ``open``: version 1 says nothing of such a key.
_NAMED: dict[str, Schema | None] = {
    "number": {"$ref": "#/$defs/number"},
    "time": {"$ref": "#/$defs/time"},
    "share": {"type": "number", "minimum": -1e-9, "maximum": 1 + 1e-9},
    "count": {"type": "integer", "minimum": 0},
    "positive": {"type": "integer", "minimum": 1},
    "mean count": {"type": "number", "minimum": 1},
    "above 0": {"type": "number", "exclusiveMinimum": 0},
    "interval": {
        "type": "array",
        "items": {"$ref": "#/$defs/number"},
        "minItems": 2,
        "maxItems": 2,
    },
    "claim": {"enum": list(BY_ID)},
    "moment": {"type": "string", "format": "date-time"},
    "open": None,
}


def event() -> Schema:
    """One line of ``events.jsonl`` and of ``synergy run --json``; other kinds are valid, too."""
    kinds = [
        {"if": {"properties": {"kind": {"const": name}}}, "then": _record(kind)}
        for name, kind in KINDS.items()
    ]
    return {
        "title": "Synergy event",
        "description": "One line of events.jsonl, and of `synergy run --json`.",
        "type": "object",
        "required": ["v", "t", "kind"],
        "properties": {
            "v": {"const": 1},
            "t": {"type": "number", "minimum": 0, "description": "Seconds since the start."},
            "kind": {"type": "string"},
            "run": {"type": "string"},
        },
        "allOf": kinds,
        "$defs": {**_DEFINITIONS, "analysis": _analysis()},
    }


def analysis() -> Schema:
    """One line of ``synergy analyze --json``: a layer, or "overall" (the mean over layers)."""
    return {**_analysis(), "$defs": _DEFINITIONS}


def report() -> Schema:
    """One line of ``synergy report --json``: a claim in one group and convention."""
    return {
        "title": "Synergy claim",
        "description": "What the evidence says about a claim, in one group and convention.",
        **_record(ClaimRecord),
        "$defs": {"number": _NUMBER},
    }


def _analysis() -> Schema:
    certified = {"argmin": _NAMED["count"], "time": _NAMED["count"]}
    of_a_layer = {
        "required": ["per_head", "arrival"],
        "properties": {
            "fidelity": {"type": "object", "required": list(certified), "properties": certified}
        },
    }
    return {
        "title": "Synergy analysis",
        "description": "How soon and how clearly information reaches the sink, in one layer.",
        **_record(Analysis),
        "if": {"properties": {"layer": {"type": "integer"}}},
        "then": of_a_layer,
    }


def _record(described: type) -> Schema:
    """Return the schema of a dataclass or of a typed dict."""
    if is_dataclass(described):
        defaults = {each.name: (each.default, each.default_factory) for each in fields(described)}
        required = {name for name, found in defaults.items() if found == (MISSING, MISSING)}
    else:
        required = set(described.__required_keys__)  # type: ignore[attr-defined]
    hints = get_type_hints(described, include_extras=True)
    keys = {name: _schema(hint) for name, hint in hints.items() if get_origin(hint) is not ClassVar}
    return {
        "type": "object",
        "required": [name for name in keys if name in required],
        "properties": {name: schema for name, schema in keys.items() if schema is not None},
    }


def _schema(described: Any) -> Schema | None:
    """Return the schema of a type, or ``None`` where version 1 leaves it open."""
    origin, arguments = get_origin(described), get_args(described)
    if origin is Annotated:
        return _NAMED[arguments[1]]
    if described is Analysis:
        return {"$ref": "#/$defs/analysis"}
    if origin is NotRequired:
        return _schema(arguments[0])
    if origin is Literal:
        return {"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]}
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(each) for each in arguments]}
    if origin is list:
        return {"type": "array"} | _inner("items", arguments[0])
    if origin is dict:
        return {"type": "object"} | _inner("additionalProperties", arguments[1])
    return _record(described) if is_typeddict(described) else {"type": _PLAIN[described]}


def _inner(key: str, described: Any) -> Schema:
    return {} if described is Any else {key: _schema(described)}
