"""GML: nested ``key value`` lists, read by a tokeniser that cannot recurse."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.files import read_text
from synergy_engine.graphio.graphml import DEEPEST
from synergy_engine.graphio.table import EdgeRow, EdgeTable, TableBuilder, shorten

# A line that begins with # is a comment, except within a quoted string, which is taken whole.
_TOKEN = re.compile(r'(?P<comment>^[ \t]*#.*$)|"[^"]*"|[\[\]]|[^\s\[\]"]+', re.MULTILINE)


def read(path: Path, undirected: str) -> EdgeTable:
    """Read a GML file; nodes go by their label, or their id when they have none."""
    builder = TableBuilder(undirected, 'add "directed 1" to the graph; ')
    nodes: list[dict[str, str]] = []
    edges: list[dict[str, str]] = []
    graphs, directed = 0, False
    for level, key, value in _records(path, read_text(path)):
        if level == ("graph",) and key == "":
            graphs += 1
        elif level == ("graph",) and key == "directed":
            directed = value == "1"
        elif level == ("graph", "node"):
            _collect(nodes, key, value)
        elif level == ("graph", "edge"):
            _collect(edges, key, value)
    if graphs != 1:
        raise GraphFileError(f"{path}: holds {graphs} graphs; expected one")
    for node in nodes:
        if "id" in node:
            builder.node(node["id"], node.get("label"))
        else:
            builder.problem("nodes without id", shorten(node))
    for edge in edges:
        if "source" not in edge or "target" not in edge:
            builder.problem("edges without source and target", shorten(edge))
            continue
        builder.edge(edge["source"], edge["target"], edge, directed=directed)
    return builder.table()


def _collect(records: list[dict[str, str]], key: str, value: str) -> None:
    if key == "":
        records.append({})
    else:
        records[-1][key] = value


def _records(path: Path, text: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """``(lists around it, key, value)`` of every pair; key ``""`` when a list opens."""
    level: list[str] = []
    key: str | None = None
    for match in _TOKEN.finditer(text):
        if match["comment"] is not None:
            continue
        token = match.group()
        if token == "]":
            if key is not None or not level:
                raise GraphFileError(f"{path}: a list closes at character {match.start():,} {_ODD}")
            level.pop()
        elif key is None:
            if token == "[" or token.startswith('"'):
                raise GraphFileError(
                    f"{path}: expected a key at character {match.start():,}, not {shorten(token)}"
                )
            key = token
        elif token == "[":
            level.append(key)
            if len(level) > DEEPEST:
                raise GraphFileError(f"{path}: lists nest deeper than {DEEPEST} levels")
            yield tuple(level), "", ""
            key = None
        else:
            value = html.unescape(token[1:-1]) if token.startswith('"') else token
            yield tuple(level), key, value
            key = None
    if level or key is not None:
        raise GraphFileError(f"{path}: ends inside a list; it seems to be cut off")


_ODD = "where none is open or a value is due"


def lines(names: list[str], rows: Iterator[EdgeRow]) -> Iterator[str]:
    """Write a GML document."""
    yield "graph [\n  directed 1\n  multigraph 1\n"
    for number, name in enumerate(names):
        label = _quoted(name)
        yield f'  node [\n    id {number}\n    label "{label}"\n  ]\n'
    for key, row in enumerate(rows):
        yield (
            f"  edge [\n    source {row.sender}\n    target {row.receiver}\n    key {key}\n"
            f"    weight {row.weight!r}\n    head {row.head}\n"
            f"    head_weight {row.head_weight!r}\n  ]\n"
        )
    yield "]\n"


def _quoted(name: str) -> str:
    """A name in ASCII, with references for what is not; line breaks and tabs are among these."""
    if any(
        unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\t\n\r" for letter in name
    ):
        raise GraphFileError(f"the name {name!r} holds control characters, which GML cannot hold")
    text = html.escape(name)
    for letter in "\t\n\r":
        text = text.replace(letter, f"&#{ord(letter)};")
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
