"""The claims, tested in every group with seeds as the sample, each against its own null.

What is tested is always a log ratio *beyond the null*, one number per seed. Along head counts or
λ it is the least-squares line within a seed, from its lower to its upper end; with two conditions
that is their paired ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synergy_tui.claims import BY_ID, CLAIMS, SMALLEST_EFFECT, Foreseen
from synergy_tui.experiments.comparison import log
from synergy_tui.report.statistics.checked import bounds, condition, identical_heads
from synergy_tui.report.statistics.decide import (
    ALPHA,
    Sample,
    Verdict,
    decide,
    equivalence,
    holm,
    power,
    sample,
    samples_needed,
)
from synergy_tui.report.statistics.findings import Finding
from synergy_tui.report.statistics.observations import (
    Gain,
    Observation,
    Value,
    by_group,
    complete_blocks,
    dose_in_words,
)
from synergy_tui.words import decimal, number

SMALLEST_CORRELATION = 0.3
"""A mean rank correlation nearer to 0 than this is no association.

Below it one order explains less than a tenth of the variance of the other (ρ² = .09): Cohen's
medium correlation (*Statistical Power Analysis*, 1988, §3.2).
"""

NO_UNTRAINED = "the untrained network was not measured by this convention (no probe at step 0)"
NOT_EXCHANGEABLE = (
    'the first head is special: graph.redraw = "others" keeps it, and redraws all others'
)
JITTERED = "heads that differ by 1e-9"
DEAF = "a node hears nobody, so that nearly equal heads cannot be made"
NO_LOSS = "no held-out loss of the untrained network: set train.eval_sequences"


@dataclass(frozen=True)
class Predicted:
    """A prediction that was made before the first event."""

    claim: str
    outcome: Foreseen
    effect: float
    where: dict[str, object]

    def means(self, finding: Finding) -> bool:
        return self.claim == finding.claim and all(
            finding.settings.get(axis) in (wanted if isinstance(wanted, list) else [wanted])
            for axis, wanted in self.where.items()
        )


@dataclass(frozen=True)
class _Draft:
    """A finding before the correction, with its sample."""

    finding: Finding
    found: Sample | None
    unexceeded: tuple[str, ...] = ()  # nulls that it must exceed as well, and does not


def examine(
    observations: Iterable[Observation],
    convention: str,
    predicted: Sequence[Predicted] = (),
    *,
    of_loss: bool = True,
) -> list[Finding]:
    """Test every claim that the observations of one convention can speak to.

    The loss has no convention: ``of_loss`` says whether claims about it alone are tested here.
    Holm's correction runs over all tests of this call: once over those against 0, once over those
    of equivalence. Findings come by claim, then group; claims without data are absent.
    """
    members = list(observations)
    drafts = []
    for claim in CLAIMS:
        if _MEASURES.get(claim.id) is _learned and not of_loss:
            continue
        for draft in _TESTS[claim.id](members, claim.id):
            finding = replace(draft.finding, convention=convention)
            own = next((each for each in predicted if each.means(finding)), None)
            size = own.effect if own else SMALLEST_EFFECT
            if claim.kind == "association":
                size = SMALLEST_CORRELATION
            if claim.kind != "check":
                finding = replace(finding, effect=size)
            if own:
                finding = replace(finding, predicted=own.outcome)
            drafts.append(replace(draft, finding=finding))
    tested = [
        (place, draft, draft.found)
        for place, draft in enumerate(drafts)
        if draft.found is not None and not draft.finding.missing
    ]
    differ = holm([found.p_value for _, _, found in tested])
    alike = holm([equivalence(found, _bound(draft.finding)) for _, draft, found in tested])
    findings = [draft.finding for draft in drafts]
    for (place, draft, found), *adjusted in zip(tested, differ, alike, strict=True):
        findings[place] = _decided(draft, found, *adjusted, family=len(tested))
    return findings


def _bound(finding: Finding) -> float:
    """The smallest effect of interest, as what is tested is measured."""
    return finding.effect if finding.about.kind == "association" else math.log(finding.effect)


def _decided(draft: _Draft, found: Sample, differs: float, alike: float, *, family: int) -> Finding:
    finding, bound = draft.finding, _bound(draft.finding)
    verdict = decide(found, differs, alike, bound)
    if verdict is Verdict.SUPPORTED and draft.unexceeded:
        verdict = Verdict.UNDECIDED
        beyond = f"beyond {finding.against}, but not beyond {' and '.join(draft.unexceeded)}"
        finding = replace(finding, details=(beyond, *finding.details))
    scale: Callable[[float], float] = float if finding.about.kind == "association" else _exp
    size = bound / found.spread if found.spread > 0 else math.nan
    low, high = found.interval
    return replace(
        finding,
        verdict=verdict,
        ratio=scale(found.mean),
        interval=(scale(low), scale(high)),
        samples=found.samples,
        p_value=found.p_value,
        adjusted_p=float(differs),
        equivalence_p=float(alike),
        power=power(size, found.samples, alpha=ALPHA / family) if found.spread > 0 else math.nan,
        needed=samples_needed(size, alpha=ALPHA / family),
        test=found.test,
        details=(
            *((f"{found.undefined} seeds undefined and left out",) if found.undefined else ()),
            *finding.details,
        ),
    )


def _exp(value: float) -> float:
    return math.inf if value >= 700 else math.exp(value)


def contrast(conditions: ArrayLike, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rise of each row's least-squares line over the conditions, from the first to the last."""
    x = np.asarray(conditions, dtype=np.float64)
    x = x - x.mean()
    with np.errstate(invalid="ignore"):
        if len(x) == 2:
            return np.asarray(table[:, 1] - table[:, 0], dtype=np.float64)
        return np.asarray(table @ x / (x @ x) * (x[-1] - x[0]), dtype=np.float64)


# Sign +1: larger is what is claimed.
def _soon(one: Observation) -> float:
    return -log(one.now.hitting_time)


def _clear(one: Observation) -> float:
    return log(one.now.fidelity)


def _learned(one: Observation) -> float:
    return -log(one.now.loss)


def _gained(one: Observation) -> float:
    return log(one.now.gain)


def _of_untrained(value: Value) -> Value:
    return lambda one: (
        value(replace(one, now=one.untrained)) if one.untrained is not None else math.nan
    )


_MEASURES: dict[str, Value] = {
    "sooner": _soon,
    "clearer": _clear,
    "learned": _learned,
    "diversity-loss": _learned,
    "diversity-clarity": _clear,
    "diversity-synergy": _gained,
}


def _by_heads(members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    """Along head counts, in networks that nothing was done to."""
    for group, own in by_group(members).items():
        plain = [one for one in own if one.trained and one.dose in (None, 1.0)]
        plain = plain or [one for one in own if one.loaded]
        yield from _trend(group, plain, claim, "heads", np.log2)


def _by_dose(members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    """Along λ, or the share of rows redrawn between designed heads, at one head count."""
    for group, own in several(members).items():
        yield from _trend(group, [one for one in own if one.trained], claim, "dose", np.asarray)
        if claim != "diversity-loss":
            yield from _designed(group, [one for one in own if not one.trained], claim)


def _designed(group: str, members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    """Heads that nobody trained, beside the control that differs in nothing but rounding."""
    blocks, doses, table = complete_blocks(members, "dose", _MEASURES[claim])
    if len(doses) < 2 or not blocks:
        return
    rise = contrast(doses, table)
    off = [
        max((one.jitter for one in members if one.block == block), default=math.nan)
        for block in blocks
    ]
    missing = ""
    if not all(one.exchangeable for one in members):
        missing = NOT_EXCHANGEABLE
    elif np.isnan(off).any():
        missing = next((one.unkept for one in members if one.unkept), DEAF)
    yield _Draft(
        Finding(
            claim,
            group,
            measured=_exp(float(np.mean(rise))),
            null=_exp(float(np.mean(off))),
            control=JITTERED,
            samples=len(blocks),
            missing=missing,
            details=(f"from {decimal(doses[0])} to {decimal(doses[-1])} of the rows redrawn",),
            settings=_shared(members),
        ),
        None if missing else sample(rise - off),
    )


def _trend(
    group: str,
    members: Sequence[Observation],
    claim: str,
    axis: str,
    place: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Iterator[_Draft]:
    value = _MEASURES[claim]
    blocks, conditions, table = complete_blocks(members, axis, value)
    if len(conditions) < 2 or not blocks:
        return
    at = place(np.asarray(conditions))
    *_, null = complete_blocks(
        [one for one in members if one.block in blocks], axis, _of_untrained(value)
    )
    missing = ""
    if value is _learned and any(one.loss_of != "held-out" for one in members):
        missing = NO_LOSS
    elif null.shape != table.shape:
        missing = NO_LOSS if value is _learned else NO_UNTRAINED
    rise = contrast(at, table)
    found = None
    by_null = math.nan
    if not missing:
        before = contrast(at, null)
        with np.errstate(invalid="ignore"):
            found = sample(rise - before)
        by_null = _exp(float(np.mean(before)))
    name = "heads" if axis == "heads" else dose_in_words(members)
    doses = [decimal(condition) for condition in conditions]
    details = [f"{name} from {doses[0]} to {doses[-1]}, over {len(doses)} values"]
    for column in range(1, len(conditions)):
        moved = table[:, column] - table[:, column - 1]
        against, along = int((moved < 0).sum()), int((moved > 0).sum())
        if against > along:
            details.append(
                f"{name} from {doses[column - 1]} to {doses[column]}: the other way "
                f"in {against} of {len(blocks)} seeds"
            )
    yield _Draft(
        Finding(
            claim,
            group,
            measured=_exp(float(np.mean(rise))),
            null=by_null,
            samples=len(blocks),
            missing=missing,
            details=tuple(details),
            settings=_shared(members),
        ),
        found,
    )


def several(members: Sequence[Observation]) -> dict[str, list[Observation]]:
    """Runs of several heads by group and head count, named where there is more than one."""
    found: dict[str, list[Observation]] = {}
    for group, own in by_group(one for one in members if one.heads > 1).items():
        counts = sorted({one.heads for one in own})
        for heads in counts:
            name = f"{group} · {heads} heads" if len(counts) > 1 else group
            found[name] = [one for one in own if one.heads == heads]
    return found


def _shared(members: Sequence[Observation]) -> dict[str, object]:
    """The settings in which members agree, their head count among them."""
    first, *rest = [{**one.settings, "heads": one.heads} for one in members]
    return {k: v for k, v in first.items() if all(k in each and each[k] == v for each in rest)}


def _gain(which: str, *, swapped: bool = False, kind: str = "held_out") -> Value:
    def value(one: Observation) -> float:
        gain: Gain | None = None
        if one.gains is not None:
            gain = getattr(one.gains, f"{which}_swapped" if swapped else which)
        return math.nan if gain is None else float(getattr(gain, kind))

    return value


def _beyond(which: str) -> Value:
    own, null = _gain(which), _gain(which, swapped=True)
    return lambda one: own(one) - null(one)


def _synergy(members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    """The gain over the best head, beyond that of swapped heads, at each head count.

    Support must be beyond shuffled inputs and the untrained network, too, where they were measured:
    an intersection-union test, which needs no further correction.

    Heads that are made alike (λ < 1, rows shared) have more in common than heads of different
    seeds: swapping would tell their likeness, not their training.
    """
    which = "clear" if claim == "synergy-clarity" else "soon"
    for group, own in several(members).items():
        these = [one for one in own if one.dose in (None, 1.0)]
        if all(one.gains is None or getattr(one.gains, which) is None for one in these):
            continue
        values = [_beyond(which)(one) for one in these]
        missing = "" if not np.isnan(values).all() else these[0].no_swap
        further = _further(these, which)
        yield _Draft(
            Finding(
                claim,
                group,
                measured=_typical(these, _gain(which)),
                null=_typical(these, _gain(which, swapped=True)),
                samples=len({one.block for one in these}),
                missing=missing,
                details=(*_beside(these, which), *map(_in_words, further)),
                settings=_shared(these),
            ),
            None if missing else sample(values),
            tuple(name for name, found, required in further if required and not _exceeds(found)),
        )


def _further(members: Sequence[Observation], which: str) -> list[tuple[str, Sample, bool]]:
    """Further nulls by name: what is beyond them, and whether an effect must be."""
    logs: dict[tuple[str, bool], list[float]] = {}
    for each in (each for one in members for each in one.further):
        logs.setdefault((each.name, each.required), []).append(getattr(each, which))
    return [
        (name, sample(values), required)
        for (name, required), values in logs.items()
        if not np.isnan(values).all()
    ]


def _exceeds(found: Sample) -> bool:
    return found.mean > 0 and found.p_value < ALPHA


def _in_words(further: tuple[str, Sample, bool]) -> str:
    name, found, _ = further
    low, high = (_exp(end) for end in found.interval)
    ends = "" if math.isnan(low) else f" [{number(low, 3)}, {number(high, 3)}]"
    return f"beyond {name} {number(_exp(found.mean), 3)}×{ends}"


def _typical(members: Sequence[Observation], value: Value) -> float:
    known = [v for v in map(value, members) if not math.isnan(v)]
    with np.errstate(invalid="ignore"):
        return _exp(float(np.mean(known))) if known else math.nan


def _beside(members: Sequence[Observation], which: str) -> Iterator[str]:
    """What must stand beside every claim of synergy."""
    own, null = (
        _typical(members, _gain(which, swapped=swapped, kind="per_input"))
        for swapped in (False, True)
    )
    if not math.isnan(own):
        yield (
            f"over each input's best head {number(own, 3)}×"
            + ("" if math.isnan(null) else f", swapped heads {number(null, 3)}×")
        )
    late = [one.beyond_one_step for one in members if not math.isnan(one.beyond_one_step)]
    times = [one.binding_time for one in members if not math.isnan(one.binding_time)]
    if late:
        steps = f"t* = {decimal(float(np.median(times)))} in the median; " if times else ""
        yield f"{steps}t* > 1 in {float(np.mean(late)):.0%} of inputs"
    layered = [one.layered for one in members if one.layered is not None]
    if layered:
        through = float(np.mean([each.gain for each in layered]))
        gamma, gain = number(layered[0].gamma), number(_exp(through), 3)
        yield f"through all layers in order (γ {gamma}) {gain}× over the best chain"
        single = float(np.mean([_gain(which)(one) for one in members]))
        if which == "clear" and single * through < 0:
            higher = "gains" if single > 0 else "loses"
            yield f"the two disagree: a layer by itself {higher}, all layers in order do not follow"


def _concordance(members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    """Rank correlation of lower loss with gain over the conditions of a seed."""
    for group, own in several(members).items():
        trained = [one for one in own if one.trained]
        blocks, doses, gain = complete_blocks(trained, "dose", _gained)
        others, _, learned = complete_blocks(trained, "dose", _learned)
        common = [block for block in blocks if block in others]
        if len(doses) < 3 or not common:
            continue
        gain = gain[[blocks.index(block) for block in common]]
        learned = learned[[others.index(block) for block in common]]
        scores = [spearman(a, b) for a, b in zip(gain, learned, strict=True)]
        yield _Draft(
            Finding(
                claim,
                group,
                samples=len(common),
                details=(
                    f"mean over seeds of the rank correlation across {dose_in_words(trained)}",
                ),
                settings=_shared(trained),
            ),
            sample(scores),
        )


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman correlation; 0 where one side does not vary; infinite values rank as extremes."""
    from scipy.stats import rankdata

    a, b = (rankdata(side) - (len(side) + 1) / 2 for side in (first, second))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / length if length else 0.0


def _check(members: Sequence[Observation], claim: str) -> Iterator[_Draft]:
    check = {"condition": condition, "identical-heads": identical_heads, "bounds": bounds}[claim]
    for group, own in by_group(members).items():
        finding = check(own)
        unkept = next((one.unkept for one in own if one.unkept), "")
        if finding is None and unkept and claim != "bounds":
            finding = Finding(claim, group, missing=unkept)
        if finding is not None:
            yield _Draft(replace(finding, group=group, settings=_shared(own)), None)


_TESTS: dict[str, Callable[[Sequence[Observation], str], Iterator[_Draft]]] = {
    "sooner": _by_heads,
    "clearer": _by_heads,
    "synergy-clarity": _synergy,
    "synergy-speed": _synergy,
    "learned": _by_heads,
    "diversity-loss": _by_dose,
    "diversity-clarity": _by_dose,
    "diversity-synergy": _by_dose,
    "concordance": _concordance,
    "condition": _check,
    "identical-heads": _check,
    "bounds": _check,
}
assert _TESTS.keys() == BY_ID.keys()
