"""GraphML, read straight from the XML parser: no tree in memory, no entities, no document types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.files import MEMORY_PER_BYTE, size_of
from synergy_engine.graphio.table import EdgeRow, EdgeTable, TableBuilder
from synergy_engine.limits import refuse_if_too_large

DEEPEST = 32
"""Deeper XML is not a graph."""

NODE_LABELS = ("label", "name", "v_name", "NodeLabel")
"""Where a node's name stands, best first: Gephi, networkx, igraph, and yEd's ``y:NodeLabel``."""

_CHUNK = 1 << 20
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Reader:
    """Handlers of the XML parser; everything of interest goes to a builder."""

    def __init__(self, path: Path, undirected: str) -> None:
        self.path = path
        self.builder = TableBuilder(undirected)
        self.keys: dict[str, str] = {}
        self.node_keys: dict[str, str] = {}
        self.node: str | None = None
        self.node_label = len(NODE_LABELS)  # how good the label found so far is: lower is better
        self.defaults: dict[str, str] = {}
        self.depth = self.graphs = 0
        self.directed = self.edge_directed = True
        self.ends: tuple[str, str] | None = None
        self.data: dict[str, str] = {}
        self.data_key: str | None = None
        self.default_of: str | None = None
        self.text: list[str] = []

    def refuse(self, *_: object) -> None:
        raise GraphFileError(
            f"{self.path}: declares a document type or entities; GraphML needs neither, and they "
            "can blow a small file up to any size: remove the <!DOCTYPE …> part"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise GraphFileError(f"{self.path}: elements nest deeper than {DEEPEST} levels")
        name = tag.rpartition(":")[2]
        if self.depth == 1 and name != "graphml":
            raise GraphFileError(f"{self.path}: the document is <{tag}>, not <graphml>")
        if name == "graph":
            self._graph(attributes)
        elif name == "key" and "id" in attributes:
            meant, called = attributes.get("for", "all"), attributes.get("attr.name")
            for kind, keys in (("edge", self.keys), ("node", self.node_keys)):
                if meant in (kind, "all"):
                    keys[attributes["id"]] = called or attributes["id"]
            self.default_of = attributes["id"]
        elif name == "node":
            self.node = self._need(attributes, "id", "node")
            self.node_label = len(NODE_LABELS)
            self.builder.node(self.node)
        elif name == "edge":
            self._edge(attributes)
        elif name == "hyperedge":
            self.builder.problem("hyperedges", "edges have two ends")
        elif (name == "data" and self.ends) or (name == "default" and self.default_of):
            self.data_key = attributes.get("key") if name == "data" else self.default_of
            self.text.clear()
        elif self.node and name in ("data", "NodeLabel"):
            self.data_key = attributes.get("key") if name == "data" else name
            self.text.clear()

    def end(self, tag: str) -> None:
        self.depth -= 1
        name = tag.rpartition(":")[2]
        if self.node and name in ("data", "NodeLabel") and self.data_key:
            self._label(self.node_keys.get(self.data_key, self.data_key))
            self.data_key = None
        elif name == "node":
            self.node = None
        elif name == "data" and self.data_key and self.ends:
            self.data[self.keys.get(self.data_key, self.data_key)] = "".join(self.text).strip()
            self.data_key = None
        elif name == "default" and self.data_key:
            self.defaults[self.keys.get(self.data_key, self.data_key)] = "".join(self.text).strip()
            self.data_key = None
        elif name == "key":
            self.default_of = None
        elif name == "edge" and self.ends:
            attributes = {**self.defaults, **self.data}
            self.builder.edge(*self.ends, attributes, directed=self.edge_directed)
            self.ends = None

    def characters(self, text: str) -> None:
        if self.data_key:
            self.text.append(text)

    def _graph(self, attributes: dict[str, str]) -> None:
        self.graphs += 1
        if self.graphs > 1:
            self.builder.problem("more than one graph", "one graph per file, without nesting")
        self.directed = attributes.get("edgedefault", "directed") != "undirected"

    def _label(self, key: str) -> None:
        text = "".join(self.text).strip()
        rank = NODE_LABELS.index(key) if key in NODE_LABELS else len(NODE_LABELS)
        if text and rank < self.node_label:
            self.node_label = rank
            self.builder.labels[self.node or ""] = text

    def _edge(self, attributes: dict[str, str]) -> None:
        by_default = "true" if self.directed else "false"
        self.edge_directed = attributes.get("directed", by_default) == "true"
        self.ends = (
            self._need(attributes, "source", "edge"),
            self._need(attributes, "target", "edge"),
        )
        self.data = {}

    def _need(self, attributes: dict[str, str], key: str, what: str) -> str:
        if key not in attributes:
            self.builder.problem(f"{what}s without {key}", str(attributes))
        return attributes.get(key, "")


def read(path: Path, undirected: str) -> EdgeTable:
    """Read a GraphML file; edge data named weight, head and head_weight are understood."""
    refuse_if_too_large(MEMORY_PER_BYTE * size_of(path), f"{path}, read")
    reader = _Reader(path, undirected)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except GraphFileError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: its encoding
        raise GraphFileError(f"{path}: not well-formed XML: {error}") from None
    except OSError as error:
        raise GraphFileError(f"{path}: {error.strerror or error}") from None
    if not reader.graphs:
        raise GraphFileError(f"{path}: contains no <graph>")
    return reader.builder.table()


def lines(names: list[str], rows: Iterator[EdgeRow]) -> Iterator[str]:
    """Write a GraphML document."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    for key, kind in (("weight", "double"), ("head", "int"), ("head_weight", "double")):
        yield f'<key id="{key}" for="edge" attr.name="{key}" attr.type="{kind}"/>\n'
    yield '<graph edgedefault="directed">\n'
    quoted = [_quoted(name) for name in names]
    for name in quoted:
        yield f"<node id={name}/>\n"
    for row in rows:
        yield (
            f"<edge source={quoted[row.sender]} target={quoted[row.receiver]}>"
            f'<data key="weight">{row.weight!r}</data><data key="head">{row.head}</data>'
            f'<data key="head_weight">{escape(repr(row.head_weight))}</data></edge>\n'
        )
    yield "</graph>\n</graphml>\n"


def _quoted(name: str) -> str:
    if found := _NOT_XML.search(name):
        raise GraphFileError(
            f"the name {name!r} contains {found[0]!r}, which XML cannot hold; "
            "write .json, or give the node another name"
        )
    return quoteattr(name)
