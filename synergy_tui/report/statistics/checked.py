"""What is checked, not tested: theorems and controls have no sampling error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.statistics.findings import Finding
from synergy_tui.report.statistics.observations import Observation
from synergy_tui.words import bound_name, decimal

# Heads that differ by 1e-9 stay within 2·1e-9·t*; measured equality is float32's.
JITTER_TOLERANCE = 1e-6
EQUAL_TOLERANCE = 1e-6


def _finding(claim: str, samples: int, broken: int, details: Sequence[str]) -> Finding:
    verdict = Verdict.UNDECIDED
    if samples:
        verdict = Verdict.CONTRADICTED if broken else Verdict.SUPPORTED
    return Finding(
        claim, "", verdict=verdict, samples=samples, test="checked", details=tuple(details)
    )


def condition(members: Sequence[Observation]) -> Finding | None:
    """Where synergy is promised some weights have it, and where it is forbidden these do not."""
    found = [one.condition for one in members if one.condition is not None]
    if not found:
        return None
    promised, kept = sum(c.promised for c in found), sum(c.kept for c in found)
    forbidden, broken = sum(c.forbidden for c in found), sum(c.broken for c in found)
    return _finding(
        "condition",
        promised + forbidden,
        promised - kept + broken,
        [
            f"the condition holds in {promised} systems, synergy exists in {kept} of these",
            f"the routing bound forbids it in {forbidden}, {broken} of these have it",
        ],
    )


def identical_heads(members: Sequence[Observation]) -> Finding | None:
    """Heads jittered by 1e-9, and runs whose heads are made alike, are no clearer together."""
    jittered = [one.jitter for one in members if not math.isnan(one.jitter)]
    alike = [
        abs(math.log(one.amplification)) if one.amplification > 0 else math.inf
        for one in members
        if one.heads > 1 and one.dose == 0.0 and not math.isnan(one.amplification)
    ]
    if not jittered and not alike:
        return None
    details = []
    if jittered:
        details.append(f"{len(jittered)} systems jittered: at most {max(jittered):.1e} from 1")
    if alike:
        details.append(f"{len(alike)} runs of identical heads: at most {max(alike):.1e} from 1")
    broken = sum(off > JITTER_TOLERANCE for off in jittered)
    broken += sum(off > EQUAL_TOLERANCE for off in alike)
    return _finding("identical-heads", len(jittered) + len(alike), broken, details)


def bounds(members: Sequence[Observation]) -> Finding | None:
    """One violation where a bound applies contradicts."""
    checks = [(member, bound) for member in members for bound in member.bounds]
    if not checks:
        return None
    applicable = [(member, bound) for member, bound in checks if bound.applies]
    broken = [(member, bound) for member, bound in applicable if not bound.holds]
    details = []
    for name in dict.fromkeys(bound.name for _, bound in checks):
        these = [bound for _, bound in applicable if bound.name == name]
        tightest = [b.measured / b.bound for b in these if b.bound > 0 and math.isfinite(b.bound)]
        inapplicable = sum(bound.name == name and not bound.applies for _, bound in checks)
        if not these:
            details.append(f"{bound_name(name)}: applies to none of {inapplicable}")
            continue
        details.append(
            f"{bound_name(name)}: holds in {sum(b.holds for b in these)} of {len(these)}"
            + (
                f", measured at most {decimal(max(tightest), '.2g')} of the bound"
                if tightest
                else ""
            )
            + (f"; does not apply to {inapplicable}" if inapplicable else "")
        )
    details += [
        f"VIOLATED: {bound_name(bound.name)} by {member.run} ({member.block}): "
        f"{decimal(bound.measured, '.4g')} against {decimal(bound.bound, '.4g')}"
        for member, bound in broken[:10]
    ]
    return _finding("bounds", len(applicable), len(broken), details)
