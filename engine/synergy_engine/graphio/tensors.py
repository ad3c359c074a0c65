"""Arrays in .npy, .npz and .safetensors files: looked at before they are loaded, never pickled."""

from __future__ import annotations

import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from synergy_engine.errors import AttentionFileError, GraphFileError
from synergy_engine.graphio.files import size_of
from synergy_engine.graphio.table import shorten
from synergy_engine.limits import refuse_if_too_large

HEADER_LIMIT = 16 << 20
"""Longest header that is read, in bytes."""

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip

_NARROW = ("F8_", "F6_", "F4")
"""Types of one byte or less: not attention, and skipped so that the rest of a file is read."""


@dataclass(frozen=True)
class Tensor:
    """An array that is in a file: what it is called, how large it is, and how to get it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # as stored; bfloat16 as 16-bit integers
    load: Callable[[], npt.NDArray[Any]]
    bfloat16: bool = False

    @property
    def rounding(self) -> float:
        """Relative rounding error of a number of this type, 0 where it does not matter."""
        return 2.0**-8 if self.bfloat16 else 2.0**-11 if self.dtype == np.float16 else 0.0

    def __str__(self) -> str:
        return f"{self.name} {self.shape}"


@dataclass(frozen=True)
class TensorFile:
    """All arrays of a file, by name, and the rest of its header."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def open_tensors(path: Path) -> TensorFile:
    """Look into a tensor file without loading anything.

    `AttentionFileError` when it is cut off, garbled, pickled, or claims sizes that cannot be.
    """
    try:
        size = size_of(path)
    except GraphFileError as error:
        raise AttentionFileError(error.problems) from None
    readers = {".npy": _npy_file, ".npz": _npz_file, ".safetensors": _safetensors_file}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise AttentionFileError(f"{path}: tensors are read from {', '.join(readers)}")
    try:
        return readers[suffix](path, size)
    except AttentionFileError:
        raise
    except (ValueError, SyntaxError, TypeError, OverflowError, EOFError, RecursionError) as error:
        raise AttentionFileError(f"{path}: not a whole {suffix} file: {error}") from None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, tokenize.TokenError) as error:
        raise AttentionFileError(f"{path}: not a whole {suffix} file: {error}") from None
    except OSError as error:
        raise AttentionFileError(f"{path}: {error.strerror or error}") from None


def load(path: Path, tensor: Tensor) -> npt.NDArray[Any]:
    """Load one array; refused when it would not fit in memory."""
    refuse_if_too_large(
        3 * math.prod(tensor.shape) * tensor.dtype.itemsize, f"{path}: {tensor}, read"
    )
    try:
        return tensor.load()
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise AttentionFileError(f"{path}: {tensor.name} cannot be read: {error}") from None
    except OSError as error:
        raise AttentionFileError(f"{path}: {error.strerror or error}") from None


def _header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of an .npy stream of ``size`` bytes, checked against its size."""
    version = np.lib.format.read_magic(stream)
    start, width = stream.tell(), 2 if version == (1, 0) else 4
    # NumPy makes room for as long a header as is claimed before it reads any of it.
    if (length := int.from_bytes(stream.read(width), "little")) > min(size, HEADER_LIMIT):
        raise ValueError(f"claims that its header has {length:,} bytes")
    stream.seek(start)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject or dtype.kind not in "fiubSU":
        raise ValueError(f"holds {dtype}; only plain numbers are read, never pickled objects")
    if any(length < 0 for length in shape):
        raise ValueError(f"claims shape {shape}")
    needed = math.prod(shape) * dtype.itemsize
    if stream.tell() + needed > size:
        raise ValueError(
            f"claims shape {shape} of {dtype}, {needed:,} bytes, "
            f"but has only {max(0, size - stream.tell()):,}"
        )
    return shape, fortran, dtype


def _read_array(stream: IO[bytes], size: int) -> npt.NDArray[Any]:
    shape, fortran, dtype = _header(stream, size)
    raw = stream.read(math.prod(shape) * dtype.itemsize)
    flat = np.frombuffer(raw, dtype=dtype, count=math.prod(shape))
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _npy_file(path: Path, size: int) -> TensorFile:
    with path.open("rb") as file:
        shape, _, dtype = _header(file, size)

    def read() -> npt.NDArray[Any]:
        with path.open("rb") as file:
            return _read_array(file, size)

    return TensorFile({"array": Tensor("array", shape, dtype, read)}, {})


def _npz_file(path: Path, size: int) -> TensorFile:
    tensors = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                continue
            name = member.filename.removesuffix(".npy")
            try:
                with archive.open(member) as stream:
                    shape, _, dtype = _header(stream, member.file_size)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
            tensors[name] = Tensor(name, shape, dtype, _member(path, member))
    return TensorFile(tensors, {})


def _member(path: Path, member: zipfile.ZipInfo) -> Callable[[], npt.NDArray[Any]]:
    def read() -> npt.NDArray[Any]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            return _read_array(stream, member.file_size)

    return read


def _safetensors_file(path: Path, size: int) -> TensorFile:
    """The header is ``length, JSON``; every offset it names is checked against the file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            raise ValueError(
                f"claims that its header has {length:,} bytes; the file has {size:,}, "
                f"and headers up to {HEADER_LIMIT:,} are read"
            )
        header = json.loads(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is not a JSON object")
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        if isinstance(entry, dict) and str(entry.get("dtype")).startswith(_NARROW):
            continue
        shape, dtype, begin = _entry(name, entry, size - start)
        kind = entry["dtype"]
        tensors[name] = Tensor(
            name, shape, dtype, _slice(path, start + begin, shape, kind), kind == "BF16"
        )
    return TensorFile(tensors, {str(key): str(value) for key, value in metadata.items()})


def _entry(name: str, entry: Any, room: int) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise ValueError(f"tensor {shorten(name)} is not described")
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"tensor {shorten(name)} has unknown type {shorten(entry['dtype'])}")
    shape, offsets = _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if shape is None or len(shape) > 8:
        raise ValueError(f"tensor {shorten(name)} has shape {shorten(entry.get('shape'))}")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    needed = math.prod(shape) * dtype.itemsize
    if (
        offsets is None
        or len(offsets) != 2
        or offsets[1] > room
        or offsets[1] - offsets[0] != needed
    ):
        raise ValueError(
            f"tensor {shorten(name)} needs {needed:,} bytes but lies at "
            f"{shorten(entry.get('data_offsets'))} of {room:,}"
        )
    return shape, dtype, offsets[0]


def _counts(values: object) -> tuple[int, ...] | None:
    """A list of whole numbers from 0 as a tuple; ``None`` for anything else."""
    if not isinstance(values, list) or len(values) > 64:
        return None
    if not all(type(value) is int and value >= 0 for value in values):
        return None
    return tuple(values)


def _slice(
    path: Path, start: int, shape: tuple[int, ...], kind: str
) -> Callable[[], npt.NDArray[Any]]:
    def read() -> npt.NDArray[Any]:
        flat = np.fromfile(path, _DTYPES[kind], count=math.prod(shape), offset=start)
        if kind == "BF16":
            # The upper half of a float32.
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.reshape(shape)

    return read
