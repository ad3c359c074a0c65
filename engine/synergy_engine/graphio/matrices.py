"""One head as SciPy's sparse ``.npz`` or Matrix Market: rows are receivers, columns senders."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from synergy_engine.errors import AttentionFileError, GraphFileError
from synergy_engine.graphio.files import check_shape, size_of, written_aside
from synergy_engine.graphio.table import EdgeTable
from synergy_engine.graphio.tensors import TensorFile, load, open_tensors
from synergy_engine.kernels.order import SORTED, check_rows
from synergy_engine.limits import refuse_if_too_large
from synergy_engine.sparse import SparseHead
from synergy_engine.validation import FAINTEST, LARGEST

if TYPE_CHECKING:
    import scipy.sparse

_PARTS = {
    "csr": ("indptr", "indices", "data"),
    "csc": ("indptr", "indices", "data"),
    "coo": ("row", "col", "data"),
}
"""Arrays of each format of ``scipy.sparse.save_npz``."""

_LAYOUTS = ("coordinate", "array")
_FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")
_LONGEST_LINE = 1 << 16


def read_scipy(path: Path, *, in_order: bool = True) -> SparseHead | scipy.sparse.coo_array:
    """Read a matrix written by ``scipy.sparse.save_npz``.

    A lower-triangular CSR matrix in order is taken as it is, without going through an edge list:
    that is how 10^8 edges are read. Without ``in_order`` every matrix becomes a list of entries.
    """
    try:
        file = open_tensors(path)
        format_name = _format(path, file)
        shape = np.asarray(load(path, file.tensors["shape"])).ravel().tolist()
        if len(shape) != 2 or not all(isinstance(length, int) for length in shape):
            raise GraphFileError(f"{path}: claims shape {shape}; a head is a square matrix")
        check_shape(path, shape[0], shape[1])
        parts = [load(path, file.tensors[name]) for name in _PARTS[format_name]]
    except AttentionFileError as error:
        raise GraphFileError(error.problems) from None
    if format_name == "csr" and in_order:
        head = _csr_head(parts, shape[0])
        if head is not None:
            return head
    return _assembled(path, format_name, parts, shape)


def table_of(matrix: scipy.sparse.coo_array, rows: str = "receivers") -> EdgeTable:
    """Edges of a matrix whose rows are ``"receivers"`` or ``"senders"``; names are numbers."""
    if rows == "senders":
        matrix = matrix.T
    values = np.asarray(matrix.data, dtype=np.float64)
    return EdgeTable(
        [str(node) for node in range(matrix.shape[0])],
        matrix.col.astype(np.int64),
        matrix.row.astype(np.int64),
        None if np.all(values == 1.0) else values,
    )


def write_scipy(head: SparseHead, path: Path) -> None:
    """Write a head as ``scipy.sparse.save_npz`` would; a uniform one with one byte per edge."""
    values = np.ones(head.edges, dtype=np.int8) if head.weights is None else head.weights
    with written_aside(path) as out:
        np.savez(
            out,
            indices=head.indices,
            indptr=head.indptr,
            format=np.array("csr"),
            shape=np.array([head.nodes, head.nodes]),
            data=values,
        )


def _format(path: Path, file: TensorFile) -> str:
    stored = file.tensors.get("format")
    name = "" if stored is None or stored.shape != () else load(path, stored).item()
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    if name not in _PARTS:
        kinds = ", ".join(_PARTS)
        raise GraphFileError(
            f"{path}: no sparse matrix in format {kinds}; attention tensors are read by "
            "read_attention"
        )
    missing = [part for part in (*_PARTS[name], "shape") if part not in file.tensors]
    if missing:
        raise GraphFileError(f"{path}: lacks {', '.join(missing)}; it is not a whole matrix")
    return name


def _csr_head(parts: list[np.ndarray[Any, Any]], nodes: int) -> SparseHead | None:
    """The head, when rows are sorted and lower triangular already."""
    indptr, indices, data = parts
    if any(part.ndim != 1 for part in parts) or indptr.dtype.kind != "i":
        return None
    if indices.dtype.kind != "i" or data.dtype.kind not in "fiub":
        return None
    indptr = indptr.astype(np.int64, copy=False)
    ordered = len(indptr) == nodes + 1 and indptr[0] == 0 and indptr[-1] == len(indices)
    if not ordered or len(data) != len(indices) or np.any(indptr[1:] < indptr[:-1]):
        return None
    if check_rows(indptr, indices, 0, nodes) != SORTED:
        return None
    uniform = bool(np.all(data == 1))
    if not uniform and not np.all((data >= FAINTEST) & (data <= LARGEST)):
        return None
    weights = None if uniform else data.astype(np.float64, copy=False)
    return SparseHead(indptr, indices.astype(np.int32, copy=False), weights)


def _assembled(
    path: Path, name: str, parts: list[np.ndarray[Any, Any]], shape: list[int]
) -> scipy.sparse.coo_array:
    from scipy import sparse

    *_, weights = parts
    if weights.dtype.kind not in "fiub":
        raise GraphFileError(f"{path}: holds {weights.dtype}; weights are real numbers")
    if weights.dtype.kind != "f" or weights.dtype.itemsize not in (4, 8):
        weights = weights.astype(np.float64)
    parts = [*parts[:2], weights]
    if any(part.dtype.kind not in "iu" for part in parts[:2]):
        raise GraphFileError(f"{path}: not a whole sparse matrix: places are whole numbers")
    try:
        if name == "coo":
            row, column, data = parts
            return sparse.coo_array((data, (row, column)), shape=tuple(shape))
        indptr, indices, data = parts
        # SciPy does not look where the last of them is 0, and then writes outside its arrays.
        if np.any(indptr[1:] < indptr[:-1]):
            raise ValueError("indptr decreases")
        build = sparse.csr_array if name == "csr" else sparse.csc_array
        matrix = build((data, indices, indptr), shape=tuple(shape))
        matrix.check_format(full_check=True)
        return sparse.coo_array(matrix)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise GraphFileError(f"{path}: not a whole sparse matrix: {reason}") from None


@dataclass(frozen=True)
class _Header:
    layout: str
    field: str
    symmetry: str
    rows: int
    entries: int


def read_market(path: Path) -> scipy.sparse.coo_array:
    """Read a Matrix Market file; its header is believed only as far as the file is long."""
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
            f"{path}: claims {entries:,} entries, which {size:,} bytes cannot hold"
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
