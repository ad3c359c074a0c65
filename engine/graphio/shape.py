"""Which shapes a graph's matrix may have."""

from __future__ import annotations

from pathlib import Path

from engine.errors import GraphFileError
from engine.memory import refuse_if_too_large
from engine.sparse import MAX_NODES


def check_shape(path: Path, rows: int, columns: int) -> None:
    """Refuse matrices that are not square, or whose nodes would not fit into memory."""
    if rows != columns:
        raise GraphFileError(f"{path}: the matrix is not square ({rows:,} × {columns:,})")
    if not 1 <= rows <= MAX_NODES:
        raise GraphFileError(f"{path}: a graph has 1 to {MAX_NODES:,} nodes, not {rows:,}")
    refuse_if_too_large(40 * rows, f"{path}: a graph of {rows:,} nodes")
