"""Measuring sources: which node the strongest paths start from."""

from __future__ import annotations

import pytest

import synergy_engine as engine
from synergy_tui.analyze.measure import Options, measure
from synergy_tui.analyze.sources import Source
from synergy_tui.errors import UserError


def first_path(names: list[str] | None, source: str | None) -> list[int]:
    system = engine.MultiHeadSystem.from_edges([[(0, 1), (1, 2)]], nodes=3, names=names)
    layer, _ = measure(Source("line", graph=system), Options(top_paths=1, source=source))
    nodes: list[int] = layer["paths"]["strongest"][0]["nodes"]
    return nodes


@pytest.mark.parametrize(
    ("names", "source", "path"),
    [
        (None, "1", [1, 2]),
        (["u", "v", "w"], "v", [1, 2]),
        (["u", "v", "w"], "0", [0, 1, 2]),
        (["1", "5", "7"], "1", [0, 1, 2]),  # a name goes before a number
        (["1", "5", "7"], "5", [1, 2]),
        (["u", "v", "w"], None, [1, 2]),  # the faintest
    ],
)
def test_paths_start_from_a_name_or_a_number(
    names: list[str] | None, source: str | None, path: list[int]
) -> None:
    assert first_path(names, source) == path


@pytest.mark.parametrize("source", ["x", "3", "-1", "1.0", "9" * 5000, ""])
def test_a_node_that_is_not_there_is_refused_with_the_names(source: str) -> None:
    with pytest.raises(UserError, match="from 0 to 2") as refused:
        first_path(["u", "v", "w\x1b"], source)
    assert refused.value.hint == "Their names are u, v, w�."
