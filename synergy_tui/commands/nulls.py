"""What `analyze` shows beside ratios above 1: what heads gain that never met."""

from __future__ import annotations

from collections.abc import Sequence

from synergy_tui.commands.presentation import print_note
from synergy_tui.commands.reasons import TIE, Record
from synergy_tui.words import number

NO_NULL = (
    "averaging raises the faintest node of unrelated heads too, so a ratio above 1 by itself is "
    "no evidence that heads act together: compare it with that of untrained heads, or measure "
    "several inputs, whose heads can be shuffled (--shuffles)"
)
NULL = (
    "over shuffled: amplification over that of heads from different inputs, which never met; only "
    "an interval above 1 says that heads act together"
)


def print_nulls(records: Sequence[Record]) -> None:
    """How to read the null of the records, and that others have none."""
    if any(shuffled(record) for record in records):
        print_note(NULL, "null")
    if any(_above_one(record) for record in records):
        print_note(NO_NULL, "null")


def shuffled(record: Record) -> Record:
    """What heads from different inputs gain, where that was measured."""
    found: Record = (record.get("nulls") or {}).get("shuffled") or {}
    return found


def over_shuffled(record: Record) -> str:
    """The amplification over that of heads from different inputs, with its interval."""
    null, name = shuffled(record), "fidelity_amplification"
    own, other = record["synergy"].get(name), null.get(name)
    if not isinstance(own, int | float) or not isinstance(other, int | float) or not other:
        return "–"
    low, high = null["beyond"][name]
    return f"{number(own / other)} [{number(low, 2)}, {number(high, 2)}]"


def _above_one(record: Record) -> bool:
    """Whether heads exceed the best of them, or layers their best chain, without a null."""
    own = record["synergy"].get("fidelity_amplification")
    ratios = [] if shuffled(record) else [own]
    ratios += [each["synergy"] for each in record.get("layered") or ()]
    return any(isinstance(ratio, int | float) and ratio > 1 + TIE for ratio in ratios)
