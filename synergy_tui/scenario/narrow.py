"""Narrowing a sweep with ``--set``: what its file says of values that are cut goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.words import counted

PARTS = {"predict": "prediction", "overrides": "override"}


def narrow(table: dict[str, Any], file: Mapping[str, Any]) -> dict[str, str]:
    """Leave out of a ``[sweep]`` table what is about nothing but values that it has no more.

    ``file`` is the table before ``--set``. Returns a sentence for each of `PARTS` that is now
    shorter. What no value of the file's axes ever matched stays, to be refused as a typo.
    """
    try:
        before, after = _axes(file), _axes(table)
    except ValidationError:  # of which whoever reads the whole table will say more
        return {}
    found: dict[str, str] = {}
    for part, word in PARTS.items():
        entries = table.get(part)
        if not isinstance(entries, list):
            continue
        cut: dict[str, None] = {}
        kept = [made for each in entries if (made := _rest(each, before, after, cut)) is not None]
        if len(kept) < len(entries):
            table[part] = kept
            those = f"{len(entries) - len(kept)} of {counted(len(entries), word)}"
            found[part] = f"--set cuts {', '.join(cut)}; left out with that: {those}"
    return found


def _axes(table: Mapping[str, Any]) -> SweepTable:
    return SweepTable.model_validate({key: table[key] for key in table if key not in PARTS})


def _rest(entry: Any, before: SweepTable, after: SweepTable, cut: dict[str, None]) -> Any:
    """An entry without the values that are no more, which `cut` collects; or nothing."""
    where = entry.get("where") if isinstance(entry, dict) else None
    if not isinstance(where, dict):
        return entry
    rest = dict(where)
    for axis, wanted in where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        gone = [v for v in values if v in before.known(axis) and v not in after.known(axis)]
        if gone and len(gone) == len(values):
            cut.update(dict.fromkeys(f"{axis} {value}" for value in gone))
            return None
        if gone:
            rest[axis] = [each for each in values if each not in gone]
    return {**entry, "where": rest}
