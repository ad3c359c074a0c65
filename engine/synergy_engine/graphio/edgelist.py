"""Edge lists: one line per edge, columns by comma, tab or blanks, with or without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from synergy_engine.errors import GraphFileError
from synergy_engine.graphio.files import read_text
from synergy_engine.graphio.table import WEIGHT_NAMES, EdgeRow, EdgeTable, TableBuilder

SENDER_NAMES = ("source", "from", "sender", "src")
RECEIVER_NAMES = ("target", "to", "receiver", "dst")
_FIELDS = {
    **dict.fromkeys(SENDER_NAMES, "sender"),
    **dict.fromkeys(RECEIVER_NAMES, "receiver"),
    **dict.fromkeys(WEIGHT_NAMES, "weight"),
    "head": "head",
    "head_weight": "head_weight",
}
_COLUMNS = ["sender", "receiver", "weight", "head", "head_weight"]


def read(path: Path, undirected: str) -> EdgeTable:
    """Read an edge list; without a header the columns are source, target, weight, head.

    Nodes come as they are first met, but numbers by their size, unless self-loops of weight 0 list
    them all (`synergy_engine.graphio.table.listing_of`).
    """
    builder = TableBuilder()
    listed: set[str] = set()
    columns: list[str] | None = None
    try:
        for number, row in _rows(path):
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
            edge: dict[str, str] = dict(zip(columns, row, strict=False))
            if not edge.get("sender") or not edge.get("receiver"):
                builder.problem("lines without both nodes", f"line {number:,}")
                continue
            sender, receiver = edge.pop("sender"), edge.pop("receiver")
            builder.edge(sender, receiver, edge)
            if sender == receiver and edge.get("weight") == "0.0":
                listed.add(sender)
    except csv.Error as error:
        raise GraphFileError(f"{path}: {error}") from None
    return builder.table(numeric_order=listed != builder.names.keys())


def _header(row: list[str]) -> list[str] | None:
    """What each column is, when the first row is a header."""
    fields = [_FIELDS.get(cell.strip().lower(), "") for cell in row]
    return fields if "sender" in fields and "receiver" in fields else None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = read_text(path)
    if "\0" in text:
        raise GraphFileError(f"{path}: contains zero bytes; this is not text")
    delimiter = _delimiter(path, text)
    if delimiter is None:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield number, line.split()
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells) and not cells[0].startswith("#"):
            yield reader.line_num, cells


def _delimiter(path: Path, text: str) -> str | None:
    """Comma or tab by suffix; for other suffixes whichever the first edge holds, else blanks."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return "," if suffix == ".csv" else "\t"
    first = next(
        (line for line in io.StringIO(text) if line.strip() and not line.startswith("#")), ""
    )
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
