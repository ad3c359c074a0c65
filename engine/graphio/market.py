"""One head as a Matrix Market file (rows are receivers), read with bounds.

SciPy's reader is fast, but ends the process on some damaged files (a segmentation fault in its
native code), and a reader of other people's files must not. NumPy's parser takes the body here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from engine.errors import GraphFileError
from engine.memory import refuse_if_too_large
from engine.sparse import SparseHead

from .files import size_of, written_aside
from .shape import check_shape

if TYPE_CHECKING:
    import scipy.sparse

_LAYOUTS = ("coordinate", "array")
_FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class _Header:
    layout: str
    field: str
    symmetry: str
    rows: int
    entries: int


def read_market(path: Path) -> scipy.sparse.coo_array:
    """Read a Matrix Market file; its header is believed only as far as the file is long.

    Raises
    ------
    GraphFileError
        It is not a whole, square, real matrix.
    """
    from scipy import sparse

    try:
        with path.open("rb") as file:
            header = _header(path, file)
            body = _body(path, file, header)
    except OSError as error:
        raise GraphFileError(f"{path}: {error.strerror or error}") from None
    row, column, value = _entries(path, header, body)
    if header.symmetry != "general":
        mirrored = row != column
        sign = -1.0 if header.symmetry == "skew-symmetric" else 1.0
        row, column = (
            np.concatenate([row, column[mirrored]]),
            np.concatenate([column, row[mirrored]]),
        )
        value = np.concatenate([value, sign * value[mirrored]])
    return sparse.coo_array((value, (row, column)), shape=(header.rows, header.rows))


def write_market(head: SparseHead, path: Path) -> None:
    """Write a head as a Matrix Market file; pattern only when it is uniform."""
    from scipy.io import mmwrite

    field = "pattern" if head.weights is None else "real"
    with written_aside(path) as out:
        mmwrite(out, head.to_scipy(), field=field, precision=17, symmetry="general")


def _header(path: Path, file: BinaryIO) -> _Header:
    size = size_of(path)
    try:
        banner = file.readline(1024).decode("ascii").lower().split()
        if len(banner) != 5 or banner[:2] != ["%%matrixmarket", "matrix"]:
            raise GraphFileError(f"{path}: does not begin with %%MatrixMarket matrix")
        layout, field, symmetry = banner[2:]
        if field == "complex":
            raise GraphFileError(f"{path}: holds complex numbers; weights are real")
        if layout not in _LAYOUTS or field not in _FIELDS or symmetry not in _SYMMETRIES:
            raise GraphFileError(f"{path}: no matrix that is {layout} {field} {symmetry}")
        line = file.readline(_LONGEST_LINE)
        while line.strip().startswith(b"%") or (line and not line.strip()):
            line = file.readline(_LONGEST_LINE)
        sizes = [int(word) for word in line.split()]
    except (ValueError, UnicodeDecodeError) as error:
        if isinstance(error, GraphFileError):
            raise
        raise GraphFileError(f"{path}: its size line is not whole numbers") from None
    if len(sizes) != (3 if layout == "coordinate" else 2) or min(sizes) < 0:
        raise GraphFileError(f"{path}: its size line is {sizes}")
    rows, columns = sizes[:2]
    check_shape(path, rows, columns)
    if layout == "coordinate":
        entries = sizes[2]
    else:
        entries = rows * columns if symmetry == "general" else rows * (rows + 1) // 2
    # A coordinate entry takes at least "1 1\n", an array entry at least "1\n".
    if entries > size:
        raise GraphFileError(
            f"{path}: says it has {entries:,} entries, which {size:,} bytes cannot hold"
        )
    refuse_if_too_large(72 * entries + 40 * rows, f"{path}: {entries:,} entries, read")
    return _Header(layout, field, symmetry, rows, entries)


def _body(path: Path, file: BinaryIO, header: _Header) -> np.ndarray[Any, Any]:
    """Every entry as a row: receiver, sender and value, as far as the layout has them."""
    width = 1 if header.layout == "array" else 2 if header.field == "pattern" else 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty body is judged by its length
            body = np.loadtxt(file, dtype=np.float64, comments="%", ndmin=2, encoding="ascii")
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise GraphFileError(f"{path}: not a whole Matrix Market file: {error}") from None
    if body.size == 0:
        body = body.reshape(0, width)
    if body.shape != (header.entries, width):
        raise GraphFileError(
            f"{path}: not a whole Matrix Market file: {body.shape[0]:,} lines of {body.shape[1]} "
            f"numbers where its size line promises {header.entries:,} of {width}"
        )
    return body


def _entries(
    path: Path, header: _Header, body: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    n = header.rows
    if header.layout == "array":
        # Column by column; only the lower triangle where the other half follows from it.
        if header.symmetry == "general":
            column, row = np.divmod(np.arange(n * n), n)
        else:
            column, row = np.triu_indices(n)
        kept = body[:, 0] != 0.0
        return row[kept], column[kept], body[kept, 0]
    places = body[:, :2]
    if not np.all((places >= 1) & (places <= n) & (places == np.floor(places))):
        raise GraphFileError(f"{path}: an entry lies outside the {n:,} × {n:,} matrix")
    row, column = (places[:, axis].astype(np.int64) - 1 for axis in (0, 1))
    return row, column, np.ones(len(body)) if header.field == "pattern" else body[:, 2].copy()
