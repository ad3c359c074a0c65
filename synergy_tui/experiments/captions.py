"""The words around the scoreboard: what is compared, how it was measured, and what else to know."""

from __future__ import annotations

import math

from synergy_tui.experiments import comparison
from synergy_tui.experiments.comparison import CLEAR, SOON, Pair, View, loss, number, shown
from synergy_tui.experiments.state import RunState
from synergy_tui.words import compact, counted


def heading(heads: list[Pair], diverse: list[Pair], joint: list[RunState], view: View) -> str:
    """Which runs, and what they have in common."""
    pairs = heads or diverse
    if not pairs:
        run = joint[0]
        soon, clear = (comparison.typical(view.of(run), measure) for measure in (SOON, CLEAR))
        exact = view.exact([run])
        parts = [f"{run.name} ({counted(run.heads, 'head')})"]
        if not math.isnan(soon):
            parts.append(f"{shown([soon], exact)} steps to sink")
        if not math.isnan(clear):
            parts.append(f"φ {shown([clear], exact)}")
        return " · ".join(parts)
    one, other = pairs[0].one, pairs[0].other
    if heads:
        names = f"{other.name} ({other.heads}) against {one.name} ({one.heads})"
        if len(pairs) > 1:
            names = f"{other.heads} heads against {one.heads}, {len(pairs)} seeds"
    else:
        least, most = comparison.diversity(one), comparison.diversity(other)
        names = f"head diversity λ {compact(most)} against {compact(least)}"
        if len(pairs) > 1:
            names += f", {len(pairs)} seeds"
    parts = [names]
    if one.kind == "trained":
        parts.append("same seed, same batches" if len(pairs) == 1 else "same batches within each")
    if one.parameters is not None and other.parameters is not None:
        same = one.parameters == other.parameters
        parts.append(
            f"{one.parameters:,} parameters each"
            if same
            else f"parameters differ: {other.parameters:,} and {one.parameters:,}"
        )
    return " · ".join(parts)


def convention(run: RunState, view: View) -> str:
    """Convention, and which layers."""
    analysis, layers = view.of(run), run.layers
    probe = run.probe_at(view.step)
    main = probe.overall.get("convention", "theory") if probe else "theory"
    name = view.convention.source if view.convention else str(main)
    parts = [str(analysis.get("convention", name))]
    if layers > 1:
        parts.append(
            f"layer {min(view.layer, layers)}" if view.layer else f"mean of {layers} layers"
        )
    return " · ".join(parts)


def measured(run: RunState, view: View) -> str:
    """Everything else that numbers depend on."""
    analysis = view.of(run)
    combine, sink = analysis.get("combine", "walks"), analysis.get("sink", "excluded")
    weights = analysis.get("weights")
    return f"{combine}, sink {sink}" + (f", {weights} head weights" if weights else "")


def basis(pairs: list[Pair], joint: list[RunState], view: View) -> str:
    if len(pairs) > 1:
        return f"95% over {len(pairs)} seeds"
    inputs = view.of(joint[0]).get("inputs") or 1
    if view.exact(joint):
        return "1 input, exact"
    which = "these two networks" if pairs else "this network"
    return f"{which}; 95% over {inputs:g} inputs"


def notes(heads: list[Pair], joint: list[RunState], view: View) -> list[str]:
    """Further sentences, most important first."""
    return [*_conventions(heads, view), *_no_null(joint, view), *_loudness(joint, view)]


def measures(group: list[RunState], view: View) -> list[str]:
    """What was measured by head count, where there are three or more."""
    counts = _counts(group)
    parts = []
    for name, measure in (("steps", SOON), ("φ", CLEAR)) if counts else ():
        found = [
            [comparison.typical(view.of(run), measure) for run in group if run.heads == count]
            for count in counts
        ]
        if not any(math.isnan(value) for values in found for value in values):
            parts.append(f"{name} {', '.join(shown(values, False) for values in found)}")
    return parts


def trend(parts: list[str], group: list[RunState], step: int | None) -> list[str]:
    """The sentence of measures by head count, and of losses."""
    counts = _counts(group)
    losses = [[loss(run, step) for run in group if run.heads == count] for count in counts]
    known = [[comparison.log(loss) for loss in each if loss is not None] for each in losses]
    if known and all(known):
        parts = [*parts, f"loss {', '.join(shown(values, False) for values in known)}"]
    return [f"trend over {', '.join(map(str, counts))} heads: {' · '.join(parts)}"] if parts else []


def _counts(group: list[RunState]) -> list[int]:
    counts = sorted({run.heads for run in group})
    return counts if len(counts) > 2 else []


def _conventions(pairs: list[Pair], view: View) -> list[str]:
    """What other conventions say, those first that point the other way."""
    against, alike = [], []
    for pair in pairs[:1]:
        one, other = (run.probe_at(view.step) for run in (pair.one, pair.other))
        if one is None or other is None:
            continue
        for name in [name for name in other.conventions if name in one.conventions]:
            for label, measure in (("sooner", SOON), ("clearer", CLEAR)):
                there = comparison.difference(
                    one.conventions[name], other.conventions[name], measure, paired=True
                )
                here = comparison.difference(
                    view.of(pair.one), view.of(pair.other), measure, paired=True
                )
                if there is None or here is None:
                    continue
                text = f"{label} {number(there.ratio)}×"
                if there.log * here.log < 0:
                    against.append(f"but {name} points the other way: {text}")
                else:
                    same = ", same direction" if there.log * here.log > 0 else ""
                    alike.append(f"{name}{same}: {text}")
    return against + alike


def _no_null(joint: list[RunState], view: View) -> list[str]:
    """Why synergy of one input is not supported, however large it is."""
    if not joint or joint[0].heads < 2 or view.graphs(joint) or not view.exact(joint):
        return []
    return [
        f"{joint[0].name}: synergy has no null, since one input cannot be shuffled: heads that "
        "never met may gain as much"
    ]


def _loudness(joint: list[RunState], view: View) -> list[str]:
    """At which step the faintest node is heard best: at 1, more than one step has no part in it."""
    if len(joint) > 1 or joint[0].heads < 2:
        return []
    fidelity = view.of(joint[0]).get("fidelity") or {}
    share, time = fidelity.get("beyond_one_step"), fidelity.get("time")
    if share is None:
        return []
    best = f" at t* = {time}" if time is not None else ""
    return [
        f"{joint[0].name}: faintest token heard best{best}; "
        f"t* > 1, where heads compose, in {share:.0%} of inputs"
    ]
