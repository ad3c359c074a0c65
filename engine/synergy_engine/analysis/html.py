"""An analysis as a small HTML table, as notebooks show it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any


def analysis_table(analysis: Mapping[str, Any]) -> str:
    """Return what was measured as the caption, then a row for each number that papers quote."""
    fidelity, synergy = analysis["fidelity"], analysis["synergy"]
    where = "" if fidelity["argmin"] is None else f"node {fidelity['argmin']}"
    if fidelity["time"] is not None:
        where += f" at step t* = {fidelity['time']}"
    rows = (
        ("mean steps to the sink", analysis["mixing"]["hitting_time_mean"], "hitting_time_mean"),
        (
            f"mixing time, worst start, total variation ≤ {analysis['epsilon']}",
            analysis["mixing"]["mixing_time_tv_max"],
            "",
        ),
        ("minimax fidelity φ", fidelity["minimax"], "fidelity_minimax"),
        ("φ × nodes", fidelity["normalised"], ""),
        ("faintest", where, ""),
        ("best head's φ", synergy["best_head_fidelity"], ""),
        ("fidelity amplification", synergy["fidelity_amplification"], "fidelity_amplification"),
        ("mixing gain", synergy["mixing_gain"], "mixing_gain"),
    )
    sizes = ", ".join(f"{key} {analysis[key]}" for key in ("heads", "nodes", "inputs"))
    caption = (
        f"layer {analysis['layer']}: {sizes}; {analysis['convention']}, {analysis['combine']}, "
        f"{analysis['weights']} head weights, sink {analysis['sink']}"
    )
    intervals = analysis["intervals"]
    body = "".join(
        f"<tr><th>{escape(label)}</th><td>{escape(_text(value))}</td>"
        f"<td>{escape(_interval(intervals.get(key)))}</td></tr>"
        for label, value, key in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr><th></th><th></th>"
        f"<th>95 % interval</th></tr></thead><tbody>{body}</tbody></table>"
    )


def _text(value: Any) -> str:
    """Numbers as all that people read here: ``.25``, never ``0.25``."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.5g}") if isinstance(value, float) else str(value)


def _interval(ends: list[float] | None) -> str:
    """The interval, or nothing where it has no width."""
    return "" if not ends or ends[0] == ends[1] else f"[{_text(ends[0])}, {_text(ends[1])}]"
