"""On which line of a TOML file something stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from synergy_tui.scenario.positions import Positions

POSITIONED = """\
# a comment with [brackets] = "x"
title = "with # no comment" # and [one]
"quoted key" = 'it''s'
long = \"\"\"
[[runs]]
not = "a key"
\"\"\"
a.b.c = 1
[t]
list = [ # here
  1, "]",
  [2, 3],
]
inline = { x = 1, y = { z = [1] } }
[[runs]]
name = "a"
  [[runs.heads]]
  edges = [[0, 1],
           [1, 2]]
[[runs]]
name = "b"
[runs.sub]
k = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("title",), 2),
        (("a", "b", "c"), 8),
        (("t",), 9),
        (("t", "list", 0), 11),
        (("t", "list", 2, 1), 12),
        (("t", "inline", "y", "z"), 14),
        (("t", "absent", "deeper"), 9),
        (("runs", 0, "name"), 16),
        (("runs", 0, "heads", 0, "edges", 1), 19),
        (("runs", 1), 20),
        (("runs", 1, "name"), 21),
        (("runs", 1, "sub", "k"), 23),
    ],
)
def test_positions(path: Any, line: int) -> None:
    text = POSITIONED.replace("'it''s'", "'its'")
    tomllib.loads(text)
    assert Positions(text).line(path) == line
