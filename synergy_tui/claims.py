"""The claims: what the paper says, what would refute it, and the null that each must exceed.

One list for the report, the verdict, JUnit and the scoreboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict

SMALLEST_EFFECT = 1.25
"""A ratio nearer to 1 than this is no effect.

At the spread seen, about 20 seeds have 80 % power to show that for a claim by itself, and 35 to 40
for the first of twenty.
"""


Word = Literal["supported", "contradicted", "no effect", "undecided"]
Foreseen = Literal["supported", "contradicted", "no effect"]


class ClaimRecord(TypedDict):
    """What ``synergy report --json`` prints of a claim in one group and convention.

    The schema of reports follows from it. Infinite numbers are strings there.
    """

    claim: Annotated[str, "claim"]
    group: str
    """Task and sizes, or a family of graphs: what is held fixed."""
    convention: str
    verdict: Word
    ratio: Annotated[float, "number"] | None
    """To the null, above 1 as claimed; of effects."""
    correlation: Annotated[float, "number"] | None
    """Of associations."""
    interval: Annotated[list[float], "interval"] | None
    """95 %, over seeds."""
    null: str | None
    n: Annotated[int, "count"]
    """Seeds; of checks: systems."""
    predicted: Foreseen | None
    """What was predicted before the first event."""
    effect: Annotated[float, "number"] | None
    """Smallest ratio (or correlation) of interest."""
    missing: str | None
    """Why there is no verdict."""
    details: list[str]
    """For people: further nulls, seeds left out, what was checked."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that numbers can refute."""

    id: str
    label: str
    """A word or two for a scoreboard."""
    sentence: str
    """What is claimed, as the paper claims it."""
    refuted_by: str
    null: str = ""
    """What could have passed the same test without the cause that is claimed."""
    kind: Literal["effect", "association", "check"] = "effect"
    """A check is of the software or of a theorem: it has no sampling error and no null."""


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "sooner",
        "sooner",
        "With more heads at equal parameters, information needs fewer steps to reach the sink.",
        "Trained networks speed up no more with the head count than the same networks untrained.",
        "untrained",
    ),
    Claim(
        "clearer",
        "clearer",
        "With more heads at equal parameters, minimax fidelity is higher.",
        "Trained networks gain no more fidelity with the head count than the same untrained ones.",
        "untrained",
    ),
    Claim(
        "synergy-clarity",
        "synergy, clarity",
        "A network's heads together are clearer than its best head alone.",
        "Heads that never trained together, that looked at different inputs, or that were not "
        "trained exceed their best head by as much.",
        "swapped heads",
    ),
    Claim(
        "synergy-speed",
        "synergy, speed",
        "A network's heads together are heard sooner than its best head alone.",
        "Heads that never trained together, that looked at different inputs, or that were not "
        "trained are as much sooner than their best head.",
        "swapped heads",
    ),
    Claim(
        "learned",
        "learned better",
        "With more heads at equal parameters, the held-out loss is lower.",
        "The held-out loss does not fall with the head count, or falls as much before training.",
        "untrained",
    ),
    Claim(
        "diversity-loss",
        "diversity, loss",
        "More diverse heads cause a lower held-out loss.",
        "The held-out loss does not fall as λ grows at equal parameters, data and first numbers.",
        "untrained",
    ),
    Claim(
        "diversity-clarity",
        "diversity, clarity",
        "More diverse heads cause a higher minimax fidelity.",
        "Fidelity grows with λ no more than in the same networks untrained, or with the share of "
        "redrawn rows no more than in designed heads that differ by 1e-9.",
        "untrained",
    ),
    Claim(
        "diversity-synergy",
        "diversity, synergy",
        "More diverse heads cause a larger gain over the best head.",
        "The gain grows with λ no more than in the same networks untrained, or with the share of "
        "redrawn rows no more than in designed heads that differ by 1e-9.",
        "untrained",
    ),
    Claim(
        "concordance",
        "loss with synergy",
        "Within a seed, what lowers the loss also raises the gain over the best head.",
        "Loss and gain are not ordered alike across λ.",
        kind="association",
    ),
    Claim(
        "condition",
        "condition",
        "Synergy appears where its computable condition holds, and not where the routing bound "
        "forbids it.",
        "A system where the condition holds has no synergy, or one where it is forbidden has some.",
        kind="check",
    ),
    Claim(
        "identical-heads",
        "identical heads",
        "Heads that differ by 1e-9 have no synergy.",
        "Such heads are clearer together than the best of them.",
        kind="check",
    ),
    Claim(
        "bounds",
        "bounds",
        "The proven bounds hold in every system.",
        "One bound is broken: the software is wrong.",
        kind="check",
    ),
)

BY_ID = {claim.id: claim for claim in CLAIMS}
