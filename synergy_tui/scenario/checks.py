"""What must hold between the keys of a scenario; checked even when single keys are wrong.

Works on the raw tables, so every check skips values of the wrong type, which the model reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeGuard

from synergy_engine.topologies.catalogue import FAMILIES
from synergy_trainer.checks import (
    heads_problem,
    probe_problem,
    sequences_problem,
    tied_problem,
    warmup_problem,
)
from synergy_trainer.tasks import TASKS
from synergy_tui.errors import did_you_mean
from synergy_tui.scenario import expect
from synergy_tui.scenario.metrics import unknown_metric
from synergy_tui.scenario.models import Train, run_kind
from synergy_tui.scenario.positions import Key
from synergy_tui.scenario.problems import MISSING, Problem
from synergy_tui.words import counted

Raw = dict[str, Any]


def check(raw: Raw) -> Iterator[Problem]:
    """Yield every problem between keys."""
    runs = [
        (index, run) for index, run in enumerate(_list(raw.get("runs"))) if isinstance(run, dict)
    ]
    train = raw.get("train") if isinstance(raw.get("train"), dict) else None
    yield from _enough(raw, runs, train)
    yield from _names(runs)
    if train is not None:
        yield from _training(train)
    for index, run in runs:
        at: Key = ("runs", index)
        kind = run_kind(run)
        if kind == "<trained>":
            yield from _widths(at, run, train or {})
        elif kind == "<designed>":
            yield from _designed(at, run)
        elif kind == "<family>":
            yield from _family(at, run)
        elif kind == "<loaded>":
            yield from _loaded(at, run, train)
        yield from _head_weights(at, run)
    yield from _expectations(raw, runs)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _enough(raw: Raw, runs: list[tuple[int, Raw]], train: Raw | None) -> Iterator[Problem]:
    if not runs and "sweep" not in raw and not raw.get("runs"):
        yield Problem(("runs",), "at least one [[runs]] table is needed", MISSING)
    for index, run in runs:
        if run_kind(run) == "<trained>" and train is None and "heads" in run:
            yield Problem(
                ("runs", index),
                "this run is trained (heads is a number), so a [train] table is needed; "
                "a designed run has [[runs.heads]] tables or a graph, a loaded one a file",
                MISSING,
            )


def _names(runs: list[tuple[int, Raw]]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, run in runs:
        name = run.get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Problem(
                ("runs", index, "name"), f"runs[{seen[name]}] has this name already", name
            )
        seen.setdefault(name, index)


def _training(train: Raw) -> Iterator[Problem]:
    task = TASKS.get(train["task"]) if isinstance(train.get("task"), str) else None
    length, vocabulary = _shared(train, "length"), _shared(train, "vocabulary")
    if task and _whole(length, 2) and _whole(vocabulary, 2):
        for problem in task.problems(length, vocabulary):
            key, _, message = problem.partition(": ")
            yield Problem(("train", key), message, train.get(key, MISSING))
    steps = _shared(train, "steps")
    for number, step in enumerate(_list(train.get("probe_at"))):
        if _whole(step, 0) and _whole(steps, 1) and (late := probe_problem(step, steps)):
            yield Problem(("train", "probe_at", number), late, step)
    warmup, schedule = _shared(train, "warmup"), _shared(train, "schedule")
    if (
        _whole(warmup, 0)
        and _whole(steps, 1)
        and isinstance(schedule, str)
        and (long := warmup_problem(warmup, steps, schedule))
    ):
        yield Problem(("train", "warmup"), long, warmup)
    batch, sequences = _shared(train, "batch"), _shared(train, "sequences")
    if _whole(sequences, 0) and _whole(batch, 1) and (few := sequences_problem(sequences, batch)):
        yield Problem(("train", "sequences"), few, sequences)


def _shared(train: Raw, key: str) -> Any:
    return train.get(key, Train.model_fields[key].default)


def _whole(value: Any, least: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _widths(at: Key, run: Raw, train: Raw) -> Iterator[Problem]:
    heads: Any = run.get("heads")
    embed = run.get("embed", _shared(train, "embed"))
    positions = run.get("positions", _shared(train, "positions"))
    width: Any = run.get("head_width")
    tied: Any = run.get("tied")
    if (
        _whole(heads, 1)
        and _whole(embed, 1)
        and (problem := heads_problem(heads, embed, positions, width if _whole(width, 1) else None))
    ):
        yield Problem((*at, "heads"), problem, heads)
    if _whole(heads, 1) and _whole(tied, 1) and (problem := tied_problem(tied, heads)):
        yield Problem((*at, "tied"), problem, tied)


def _family(at: Key, run: Raw) -> Iterator[Problem]:
    graph = run["graph"]
    if isinstance(graph, dict):
        own = {"topology", "nodes", "diversity", "redraw", "seed"}
        yield from _parameters((*at, "graph"), graph, graph.get("nodes", 32), own)


def _parameters(at: Key, table: Raw, nodes: Any, own: set[str]) -> Iterator[Problem]:
    """Check a topology's own parameters, which only the catalogue of families knows."""
    topology = table.get("topology")
    family = FAMILIES.get(topology) if isinstance(topology, str) else None
    given = {key: value for key, value in table.items() if key not in own}
    if family is None:
        if topology is None:
            known = own | {each.name for family in FAMILIES.values() for each in family.parameters}
            for key, value in given.items():
                yield Problem((*at, key), f"unknown key{did_you_mean(key, known)}", value)
        return
    parameters = {parameter.name: parameter for parameter in family.parameters}
    for key, value in given.items():
        if key not in parameters:
            allowed = sorted([*own, *parameters])
            yield Problem(
                (*at, key),
                f"unknown key for topology {topology}{did_you_mean(key, allowed)} "
                f"(allowed: {', '.join(allowed)})",
                value,
            )
        elif problem := parameters[key].problem(value):
            yield Problem((*at, key), problem, value)
    if _whole(nodes, 2) and nodes < family.smallest:
        yield Problem(
            (*at, "nodes"), f"topology {topology} needs at least {family.smallest}", nodes
        )


def _designed(at: Key, run: Raw) -> Iterator[Problem]:
    names = run.get("nodes")
    known: dict[str, int] = {}
    if isinstance(names, list):
        for number, name in enumerate(names):
            if name in known:
                yield Problem((*at, "nodes", number), "a node's name may be used once", name)
            known.setdefault(str(name), number)
        if len(names) < 2:
            yield Problem((*at, "nodes"), "a graph has at least two nodes", names)
    links: list[tuple[int, int]] = []
    complete = True
    for number, head in enumerate(run["heads"]):
        if not isinstance(head, dict):
            complete = False
            continue
        here: Key = (*at, "heads", number)
        given = [key for key in ("topology", "edges", "file") if key in head]
        if len(given) != 1:
            yield Problem(
                here,
                "a head is one of topology, edges and file"
                + (f", not {' and '.join(given)}" if given else ""),
                MISSING,
            )
        if given != ["edges"]:
            complete = False
        if "topology" in head or not given:
            own = {"topology", "edges", "file", "seed"}
            yield from _parameters(here, head, _count(names), own)
            if "topology" in head and names is None:
                yield Problem((*at, "nodes"), "a topology needs the number of nodes", MISSING)
        for place, edge in enumerate(_list(head.get("edges"))):
            ends, problem = _ends(edge, known, _count(names))
            if problem:
                yield Problem((*here, "edges", place), problem, edge)
            if ends is None:
                complete = False
            else:
                links.append(ends)
    if complete and links and run.get("unreachable", "refuse") == "refuse":
        yield from _reachability(at, names, links)


def _count(names: Any) -> int | None:
    if isinstance(names, list):
        return len(names)
    return names if _whole(names, 2) else None


def _ends(
    edge: Any, known: dict[str, int], count: int | None
) -> tuple[tuple[int, int] | None, str | None]:
    """Return an edge's nodes by number, or what is wrong with them."""
    if not isinstance(edge, list) or len(edge) < 2:
        return None, None
    ends = []
    for end in edge[:2]:
        if isinstance(end, str):
            if end not in known:
                if not known:
                    return None, f'nodes have no names here: list them as nodes = ["{end}", …]'
                return None, (
                    f"there is no node '{end}'{did_you_mean(end, known)} "
                    f"(allowed: {', '.join(list(known)[:20])})"
                )
            ends.append(known[end])
        elif not isinstance(end, int) or isinstance(end, bool):
            return None, None
        elif end < 0 or (count is not None and end >= count):
            allowed = f"0 to {count - 1}" if count else "0 and up"
            return None, f"there is no node {end} (allowed: {allowed})"
        else:
            ends.append(end)
    if ends[0] > ends[1]:
        return None, "an edge goes from an earlier node to a later one; put the nodes in that order"
    return (ends[0], ends[1]), None


def _reachability(at: Key, names: Any, links: list[tuple[int, int]]) -> Iterator[Problem]:
    """Name the nodes that have no way to the last one over all heads together."""
    count = _count(names) or 1 + max(max(pair) for pair in links)
    if count > 1_000_000:
        return
    reaches = bytearray(count)
    reaches[count - 1] = 1
    for source, target in sorted(links, reverse=True):
        if target < count and reaches[target]:
            reaches[source] = 1
    lost = [node for node in range(count) if not reaches[node]]
    if not lost:
        return

    def called(node: int) -> str:
        return str(names[node]) if isinstance(names, list) else str(node)

    listed = ", ".join(called(node) for node in lost[:10]) + (" …" if len(lost) > 10 else "")
    yield Problem(
        (*at, "heads"),
        f"{len(lost)} of {count} nodes cannot reach the sink {called(count - 1)} over any head: "
        f'{listed}; add an edge from each, or set unreachable = "allow" on this run',
        MISSING,
    )


def _loaded(at: Key, run: Raw, train: Raw | None) -> Iterator[Problem]:
    if "attention" in run and "checkpoint" in run:
        yield Problem(at, "a run has attention or a checkpoint, not both", MISSING)
    if "checkpoint" in run and train is None:
        yield Problem(
            (*at, "checkpoint"),
            "a [train] table is needed: its task says on what the model is measured",
            run["checkpoint"],
        )
    if "graph" in run:
        yield Problem((*at, "graph"), "a run with attention or a checkpoint has no graph", MISSING)


def _head_weights(at: Key, run: Raw) -> Iterator[Problem]:
    weights, heads = run.get("weights"), run.get("heads")
    count = len(heads) if isinstance(heads, list) else heads
    if isinstance(weights, list) and _whole(count, 1) and len(weights) != count:
        yield Problem(
            (*at, "weights"),
            f"{counted(len(weights), 'weight')} for {counted(count, 'head')}: one for each",
            weights,
        )
    if weights == "learned" and run_kind(run) in ("<designed>", "<family>"):
        yield Problem(
            (*at, "weights"),
            "a designed graph has learnt nothing (allowed: uniform, optimal, or a list)",
            weights,
        )


def _expectations(raw: Raw, runs: list[tuple[int, Raw]]) -> Iterator[Problem]:
    names = [run["name"] for _, run in runs if isinstance(run.get("name"), str)]
    for index, table in enumerate(_list(raw.get("expect"))):
        that = table.get("that") if isinstance(table, dict) else None
        if not isinstance(that, str):
            continue
        try:
            parsed = expect.parse(that)
        except expect.ExpectationError:
            continue
        at: Key = ("expect", index, "that")
        for each in dict.fromkeys(parsed.metrics()):
            if each.run not in names and "sweep" not in raw:
                yield Problem(
                    at,
                    f"there is no run '{each.run}'{did_you_mean(each.run, names)} "
                    f"(allowed: {', '.join(names) or 'none, there are no runs'})",
                    that,
                )
            if wrong := unknown_metric(each.name):
                yield Problem(at, wrong, that)
        for one, other in pairwise(parsed.sides):
            if isinstance(one, expect.Number) and isinstance(other, expect.Number):
                yield Problem(at, "compares two numbers; name a run's metric, as in a.loss", that)
