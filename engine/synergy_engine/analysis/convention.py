"""Named conventions: what exactly is counted, so that every number says which one it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synergy_engine.errors import choose
from synergy_engine.limits import soon

ConventionName = Literal["theory", "paper-code", "feedforward"]


@dataclass(frozen=True)
class Convention:
    """One way to measure.

    Attributes
    ----------
    name
        What outputs call it.
    about
        One line for a person.
    distance, aggregate
        The mixing time that heads are compared by.
    sink
        Whether the sink counts in the minimum of the fidelity.
    horizon
        Steps after which fidelity stops looking; ``None`` looks until it is certified.
    gain
        What `mixing_gain` compares: ``"mixing"`` times, or mean ``"hitting"`` times where mixing
        times would mostly be censored.
    published_walk
        Whether walks follow the published code: columns of attention, which are not stochastic,
        are sampled, what is left jumps to the sink, and a walk is cut at `cap` steps. Graphs are
        made attention first: rows that do not sum to one are normalised.
    cap
        Where the capped mean hitting time cuts a walk off.
    """

    name: ConventionName
    about: str
    distance: Literal["tv", "l1"] = "tv"
    aggregate: Literal["max", "mean"] = "max"
    sink: Literal["excluded", "included"] = "excluded"
    horizon: int | None = None
    gain: Literal["mixing", "hitting"] = "mixing"
    published_walk: bool = False
    cap: int = 100

    def fidelity_steps(self, nodes: int) -> int:
        """Steps at most for fidelity: the convention's horizon, else a few n.

        `engine.fidelity` takes more.
        """
        return self.horizon or soon(nodes)


# What `engine.analyze` calls each, for a notebook to list.
CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            name="theory",
            about="proper walks, worst-case total variation, the sink does not bind fidelity",
        ),
        Convention(
            name="feedforward",
            about="as theory, but mixing by the mean L1 distance, as arXiv 2502.06751 plots it",
            distance="l1",
            aggregate="mean",
        ),
        Convention(
            name="paper-code",
            about="what the published code of arXiv 2507.02944 measures, its expectation exactly",
            sink="included",
            horizon=100,
            gain="hitting",
            published_walk=True,
        ),
    )
}


def convention(name: str) -> Convention:
    """Return the convention of that name; raise `OptionError` when there is none."""
    return CONVENTIONS[choose("convention", name, tuple(CONVENTIONS))]
