"""JSON Schemas (draft 2020-12) of scenarios, the event stream and analysis objects.

The ``*.schema.json`` files beside this module are what editors and other programs use; a test keeps
them equal to what is built here from the models the program itself validates with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def scenario_schema() -> Schema:
    """Return the JSON Schema of scenario files, from the model that validates them."""
    from synergy_tui.scenario import Scenario

    schema = Scenario.model_json_schema()
    # The kinds of run overlap, as in a run of which only the name is given: any may match.
    runs = schema["properties"]["runs"]["items"]
    runs["anyOf"] = runs.pop("oneOf")
    return {"$schema": DIALECT, **schema, "title": "Synergy scenario"}


def events_schema() -> Schema:
    """Return the JSON Schema of one line of ``events.jsonl`` and of ``synergy run --json``."""
    from synergy_tui.schemas import described

    return {"$schema": DIALECT, **described.events_schema()}


def analysis_schema() -> Schema:
    """Return the JSON Schema of one line of ``synergy analyze --json``."""
    from synergy_tui.schemas import described

    return {"$schema": DIALECT, **described.analysis_schema()}


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "scenario": scenario_schema,
    "events": events_schema,
    "analysis": analysis_schema,
}


def schema_path(name: str) -> Path:
    """Return the shipped file of a schema."""
    return Path(__file__).parent / f"{name}.schema.json"


def render(schema: Schema) -> str:
    """Return a schema as the text of its file."""
    import json

    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
