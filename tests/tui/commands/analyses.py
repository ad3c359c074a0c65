"""Analysis objects that a command printed, checked against their schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result
from jsonschema import Draft202012Validator

from synergy_tui.schemas import schema_path

Call = Callable[..., Result]


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    found = [json.loads(line, parse_constant=refuse) for line in result.stdout.splitlines()]
    validator = Draft202012Validator(json.loads(schema_path("analysis").read_text("utf-8")))
    for record in found:
        validator.validate(record)
    return found


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not strict JSON")
