"""Edge lists: one line per edge, columns by comma, semicolon, tab or blanks; header or none."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.files import read_text
from synergy_engine.graphio.table import WEIGHT_NAMES, EdgeRow, EdgeTable, TableBuilder, shorten

SENDER_NAMES = ("source", "from", "sender", "src")
RECEIVER_NAMES = ("target", "to", "receiver", "dst")
_FIELDS = {
    **dict.fromkeys(SENDER_NAMES, "sender"),
    **dict.fromkeys(RECEIVER_NAMES, "receiver"),
    **dict.fromkeys(WEIGHT_NAMES, "weight"),
    "head": "head",
    "head_weight": "head_weight",
    "type": "type",  # Gephi: Directed or Undirected
}
_COLUMNS = ["sender", "receiver", "weight", "head", "head_weight"]
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_ATTRIBUTES = re.compile(r"^(.*?)[\s,;]*(\{.*\})\s*$")


def read(path: Path, undirected: str) -> EdgeTable:
    """Read an edge list; without a header the columns are source, target, weight, head.

    Attributes may stand in braces, as networkx writes them; decimals may have a comma where the
    columns have none. Nodes come as they are first met, but numbers by their size, unless
    self-loops of weight 0 list them all (`synergy_engine.graphio.table.listing_of`).
    """
    builder = TableBuilder(undirected, "write Directed in the column Type; ")
    listed: set[str] = set()
    columns: list[str] | None = None
    try:
        rows = _rows(path)
        first = list(islice(rows, len(_COLUMNS) + 1))
        _refuse_matrix(path, [row for _, row, _ in first])
        for number, row, attributes in chain(first, rows):
            if columns is None:
                columns = _header(row)
                if columns is not None:
                    continue
                columns = _COLUMNS
            if len(row) < 2 or len(row) > max(len(columns), 2):
                builder.problem(
                    f"lines that have not 2 to {len(columns)} columns", f"line {number:,}"
                )
                continue
            edge: dict[str, object] = dict(zip(columns, row, strict=False))
            if not edge.get("sender") or not edge.get("receiver"):
                builder.problem("lines without both nodes", f"line {number:,}")
                continue
            sender, receiver = str(edge.pop("sender")), str(edge.pop("receiver"))
            directed = str(edge.pop("type", "")).lower() != "undirected"
            for column in ("weight", "head_weight"):
                if column in edge and _DECIMAL_COMMA.fullmatch(str(edge[column])):
                    edge[column] = str(edge[column]).replace(",", ".")
            builder.edge(sender, receiver, edge | attributes, directed=directed)
            if sender == receiver and edge.get("weight") == "0.0":
                listed.add(sender)
    except csv.Error as error:
        raise GraphFileError(f"{path}: {error}") from None
    return builder.table(numeric_order=listed != builder.names.keys())


def _refuse_matrix(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Refuse triangular lines of numbers, as many as columns: as edges they would be nonsense."""
    count = len(rows)
    try:
        matrix = [[float(cell) for cell in row] for row in rows]
    except ValueError:
        return
    if count < 3 or any(len(row) != count for row in matrix):
        return
    above = any(row[at + 1 :] != [0.0] * (count - at - 1) for at, row in enumerate(matrix))
    below = any(row[:at] != [0.0] * at for at, row in enumerate(matrix))
    if not (above and below):
        raise GraphFileError(
            f"{path}: {count} lines of {count} numbers, a triangle of them 0: a matrix, not edges. "
            "Save attention as .npy and graphs as .mtx or .npz, or head the columns source, "
            "target, weight"
        )


def _header(row: list[str]) -> list[str] | None:
    """What each column is, when the first row is a header."""
    fields = [_FIELDS.get(cell.strip().lower(), "") for cell in row]
    return fields if "sender" in fields and "receiver" in fields else None


def _rows(path: Path) -> Iterator[tuple[int, list[str], dict[str, object]]]:
    """Every edge's line, columns and attributes in braces; blank lines and comments left out."""
    text = read_text(path)
    if "\0" in text:
        raise GraphFileError(f"{path}: contains zero bytes; this is not text")
    first = next(
        (line for line in io.StringIO(text) if line.strip() and not line.startswith("#")), ""
    )
    braces = _ATTRIBUTES.match(first)
    delimiter = _delimiter(path, braces[1] if braces else first)
    if braces or delimiter is None:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                found = _ATTRIBUTES.match(line) if braces else None
                columns, attributes = (line, "{}") if found is None else found.groups()
                cells = [cell.strip() for cell in columns.split(delimiter)]
                yield number, cells, _dictionary(path, number, attributes)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells) and not cells[0].startswith("#"):
            yield reader.line_num, cells, {}


def _dictionary(path: Path, number: int, text: str) -> dict[str, object]:
    """Attributes as networkx writes them: a Python dictionary of plain values."""
    try:
        found = ast.literal_eval(text)
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        pass
    raise GraphFileError(f"{path}: line {number:,}: {shorten(text)} is not a dictionary of values")


def _delimiter(path: Path, first: str) -> str | None:
    """What separates the columns of the first edge; ``None`` for blanks.

    Comma or tab by suffix, for other suffixes whichever there is. Semicolons, where splitting at
    them leaves no comma but in decimals: spreadsheets write so where decimals have commas.
    """
    cells = [cell.strip() for cell in first.rstrip("\r\n").split(";")]
    if len(cells) > 1 and all(
        "," not in cell or (place > 1 and _DECIMAL_COMMA.fullmatch(cell))
        for place, cell in enumerate(cells)
    ):
        return ";"
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return "," if suffix == ".csv" else "\t"
    return next((mark for mark in ",\t" if mark in first), None)


def lines(names: list[str], rows: Iterator[EdgeRow], delimiter: str) -> Iterator[str]:
    """Write an edge list with a header; refuses names that would not be read back as they are."""
    for name in names:
        if (
            not name
            or name != name.strip()
            or name[0] == "#"
            or any(mark in name for mark in "\r\n\0")
        ):
            raise GraphFileError(
                f"the name {name!r} cannot stand in an edge list: names there are not empty, begin "
                "with no #, have no blanks around and no line breaks in them; write JSON"
            )
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["source", "target", "weight", "head", "head_weight"])
    for row in rows:
        writer.writerow(
            [names[row.sender], names[row.receiver], repr(row.weight), row.head, row.head_weight]
        )
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()
