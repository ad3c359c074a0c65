"""JSON Schemas (draft 2020-12) of scenarios, the event stream, analyses and reports.

The ``*.schema.json`` files in this folder are for editors and other programs; a test keeps them
equal to what is built here from the program's own descriptions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def scenario_schema() -> Schema:
    """Return the schema of scenario files, from the model that validates them."""
    from synergy_tui.scenario import Scenario

    schema = Scenario.model_json_schema()
    # The kinds of run overlap, as in a run of which only the name is given: any may match.
    runs = schema["properties"]["runs"]["items"]
    runs["anyOf"] = runs.pop("oneOf")
    return {"$schema": DIALECT, **schema, "title": "Synergy scenario"}


def events_schema() -> Schema:
    from synergy_tui.schemas import described

    return {"$schema": DIALECT, **described.event()}


def analysis_schema() -> Schema:
    from synergy_tui.schemas import described

    return {"$schema": DIALECT, **described.analysis()}


def report_schema() -> Schema:
    from synergy_tui.schemas import described

    return {"$schema": DIALECT, **described.report()}


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "scenario": scenario_schema,
    "events": events_schema,
    "analysis": analysis_schema,
    "report": report_schema,
}


def schema_path(name: str) -> Path:
    """Return the shipped file of a schema."""
    return Path(__file__).parent / f"{name}.schema.json"


def render(schema: Schema) -> str:
    """Return a schema as the text of its file."""
    import json

    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
