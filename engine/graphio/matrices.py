"""One head as SciPy's sparse ``.npz``: rows are receivers, columns senders."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import AttentionFileError, GraphFileError
from engine.sparse import SparseHead
from engine.validation import FAINTEST, LARGEST

from .files import written_aside
from .shape import check_shape
from .table import EdgeTable
from .tensors import TensorFile, load, open_tensors

if TYPE_CHECKING:
    import scipy.sparse

_PARTS = {
    "csr": ("indptr", "indices", "data"),
    "csc": ("indptr", "indices", "data"),
    "coo": ("row", "col", "data"),
}


def read_scipy(path: Path) -> SparseHead | scipy.sparse.coo_array:
    """Read a matrix written by ``scipy.sparse.save_npz``.

    A lower-triangular CSR matrix in order is taken as it is, without going through an edge list:
    that is how 10^8 edges are read.
    """
    try:
        file = open_tensors(path)
        format_name = _format(path, file)
        shape = np.asarray(load(path, file.tensors["shape"])).ravel().tolist()
        if len(shape) != 2 or not all(isinstance(length, int) for length in shape):
            raise GraphFileError(f"{path}: says shape {shape}; a head is a square matrix")
        check_shape(path, shape[0], shape[1])
        parts = [load(path, file.tensors[name]) for name in _PARTS[format_name]]
    except AttentionFileError as error:
        raise GraphFileError(error.problems) from None
    if format_name == "csr":
        head = _csr_head(parts, shape[0])
        if head is not None:
            return head
    return _coo(path, _assembled(path, format_name, parts, shape))


def table_of(matrix: scipy.sparse.coo_array) -> EdgeTable:
    """Edges of a matrix whose rows are receivers; names are numbers."""
    values = np.asarray(matrix.data, dtype=np.float64)
    return EdgeTable(
        [str(node) for node in range(matrix.shape[0])],
        matrix.col.astype(np.int64),
        matrix.row.astype(np.int64),
        None if np.all(values == 1.0) else values,
    )


def write_scipy(head: SparseHead, path: Path) -> None:
    """Write a head as ``scipy.sparse.save_npz`` would; a uniform one with a byte an edge."""
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
        raise GraphFileError(f"{path}: holds no {', '.join(missing)}; it is no whole matrix")
    return name


def _csr_head(parts: list[np.ndarray[Any, Any]], nodes: int) -> SparseHead | None:
    """The head, when rows are sorted and lower triangular already."""
    from engine.kernels.order import SORTED, check_rows

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


def _assembled(path: Path, name: str, parts: list[np.ndarray[Any, Any]], shape: list[int]) -> Any:
    from scipy import sparse

    if any(part.dtype.kind not in "iu" for part in parts[:2]):
        raise GraphFileError(f"{path}: not a whole sparse matrix: places are whole numbers")
    try:
        if name == "coo":
            row, column, data = parts
            return sparse.coo_array((data, (row, column)), shape=tuple(shape))
        indptr, indices, data = parts
        build = sparse.csr_array if name == "csr" else sparse.csc_array
        matrix = build((data, indices, indptr), shape=tuple(shape))
        matrix.check_format(full_check=True)
        return matrix
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise GraphFileError(f"{path}: not a whole sparse matrix: {error}") from None


def _coo(path: Path, matrix: Any) -> scipy.sparse.coo_array:
    from scipy import sparse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entries = sparse.coo_array(matrix)
    if np.iscomplexobj(entries.data) or entries.data.dtype.kind not in "fiub":
        raise GraphFileError(f"{path}: holds {entries.data.dtype}; weights are real numbers")
    if entries.data.dtype.kind != "f":
        entries.data = entries.data.astype(np.float64)
    return entries
