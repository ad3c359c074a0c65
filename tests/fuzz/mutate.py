"""Damage to files: of bytes, of text, and of what is inside containers."""

from __future__ import annotations

import ast
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (
    *("0", "1", "-1", "2", "7", "0.5", "-0.0", "1e-320", "1e308", "1e999", "nan", "inf", "-inf"),
    *("255", "65536", "2147483647", "2147483648", "4294967296", "9223372036854775807"),
    *("18446744073709551616", "-9223372036854775809", "9" * 400, "1_000", "0x10", "１"),
)
WORDS = (
    *("", " ", "\0", "\ufeff", "\u202e", "τ", "\ud800", "a" * 300, "..", "../../etc/passwd"),
    *(
        "true",
        "null",
        "NaN",
        "source",
        "target",
        "weight",
        "head",
        "directed",
        "<!DOCTYPE a>",
        "&a;",
    ),
    *("[[", "]]", '"', "'", "\\", "\n", "\r", "\t", ",", ";", "#", "=", "/dev/zero", "%s", "{0}"),
)
SMALL: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 0.5, float("nan"), float("inf"), -0.0, 1e308, 2**31, 2**53),
    *(2**63, 2**64, -(2**63), 10**30, "", "nan", "inf", "-inf", "x", "\u202e\0", "../x", "a" * 300),
    *([], {}, [[]], [None], {"": {}}, [0] * 50, [[0.5, 0.5]], {"a": 1}),
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
LARGEST = 1 << 17

Damage = Callable[[bytes, Random], bytes]


def mutate(data: bytes, suffix: str, others: Sequence[bytes], rng: Random) -> bytes:
    """Return ``data`` with one to four places damaged; ``others`` are files to borrow parts of."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        inside = _INSIDE.get(suffix)
        draw = rng.random()
        if inside is not None and draw < 0.7:
            data = inside(data, rng)
        elif draw < 0.85 and _is_text(data):
            data = of_text(data, rng)
        elif draw < 0.95 or not others:
            data = of_bytes(data, rng)
        else:
            other = rng.choice(others)
            at, begin = rng.randint(0, len(data)), rng.randint(0, len(other))
            data = data[:at] + other[begin:]
    return data[:LARGEST]


def of_bytes(data: bytes, rng: Random) -> bytes:
    """Cut, repeat, overwrite, insert, flip or truncate somewhere."""
    made = bytearray(data)
    at, length = rng.randint(0, len(made)), rng.choice((1, 1, 2, 4, 8, 60))
    kind = rng.randrange(6)
    if kind == 0:
        del made[at : at + length]
    elif kind == 1:
        made[at:at] = made[at : at + length] * rng.randint(1, 20)
    elif kind == 2:
        made[at : at + length] = rng.randbytes(length)
    elif kind == 3:
        made[at:at] = rng.choice((rng.randbytes(length), bytes(length), b"\xff" * length))
    elif kind == 4 and at < len(made):
        made[at] ^= 1 << rng.randrange(8)
    elif kind == 5:
        del made[at:]
    return bytes(made)


def of_text(data: bytes, rng: Random) -> bytes:
    """Change a number, insert a word, or drop, double, swap or join lines."""
    text = data.decode("utf-8", "surrogateescape")
    kind = rng.randrange(4)
    if kind < 2 and (found := list(_NUMBER.finditer(text))):
        number = rng.choice(found)
        text = text[: number.start()] + rng.choice(NUMBERS) + text[number.end() :]
    elif kind == 2:
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice((*WORDS, *NUMBERS)) + text[at + rng.choice((0, 0, 1, 5)) :]
    else:
        lines = text.split("\n")
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        change = rng.randrange(4)
        if change == 0:
            del lines[one]
        elif change == 1:
            lines[other:other] = [lines[one]] * rng.choice((1, 1, 30))
        elif change == 2:
            lines[one], lines[other] = lines[other], lines[one]
        else:
            lines[one : one + 2] = ["".join(lines[one : one + 2])]
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass")


def of_value(value: Any, rng: Random, depth: int = 0) -> Any:
    """A JSON value with one thing in it replaced, dropped, doubled, renamed or wrapped."""
    children: list[Any] = []
    if isinstance(value, dict):
        children = list(value)
    elif isinstance(value, list):
        children = list(range(len(value)))
    if children and rng.random() < 0.85 and depth < 30:
        chosen = rng.choice(children)
        made = dict(value) if isinstance(value, dict) else list(value)
        if (draw := rng.random()) < 0.08:
            del made[chosen]
        elif draw < 0.12 and isinstance(made, list):
            made[chosen:chosen] = [made[chosen]] * rng.choice((1, 40))
        elif draw < 0.12:
            made[rng.choice((*WORDS[:7], *children))] = made.pop(chosen)
        else:
            made[chosen] = of_value(made[chosen], rng, depth + 1)
        return made
    if rng.random() < 0.1:
        for _ in range(rng.choice((1, 2, 60))):
            value = [value]
        return value
    return rng.choice(SMALL)


def of_json(data: bytes, rng: Random) -> bytes:
    """A JSON document with one value changed."""
    try:
        return _dumped(of_value(json.loads(data), rng))
    except (ValueError, RecursionError):
        return of_bytes(data, rng)


def of_json_lines(data: bytes, rng: Random) -> bytes:
    """One JSON object of many, a line each, with one value changed."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = of_json(lines[at], rng)
    return b"\n".join(lines)


def of_npy(data: bytes, rng: Random) -> bytes:
    """An array file whose header says something else, at its right length; or with odd numbers."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        return of_bytes(data, rng)
    wide = data[6] > 1
    start = 12 if wide else 10
    length = int.from_bytes(data[8:start], "little")
    header, body = data[start : start + length], data[start + length :]
    if rng.random() < 0.5 and body:
        return data[: start + length] + _odd_number(body, rng)
    try:
        described = ast.literal_eval(header.decode("latin1"))
        change = rng.randrange(4)
        if change == 0:
            described["descr"] = rng.choice(
                ("<f2", "<f4", ">f8", "<i8", "|u1", "|b1", "|O", "<c16", "<U4", "|S3", "<M8[s]",
                 [("a", "<f4")], "<f16", "", None)
            )  # fmt: skip
        elif change == 1:
            described["fortran_order"] = rng.choice((True, False, 3, None))
        elif change == 2:
            shape = list(described["shape"]) or [0]
            shape[rng.randrange(len(shape))] = rng.choice((0, 1, -1, 2**40, 2**64, 3, "2", None))
            described["shape"] = tuple(shape)
        else:
            described = of_value(described, rng)
        header = repr(described).encode("utf-8", "replace") + b" " * rng.choice((0, 1, 16)) + b"\n"
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        header = of_text(header, rng)
    if not wide and len(header) >= 65536:
        return of_bytes(data, rng)
    return data[:8] + len(header).to_bytes(4 if wide else 2, "little") + header + body


def of_archive(data: bytes, rng: Random) -> bytes:
    """A zip with one member damaged, renamed, dropped or doubled, packed again with right sums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(each.filename, archive.read(each)) for each in archive.infolist()]
    except Exception:  # what a damaged zip raises is of many kinds; what is tested is our reader
        return of_bytes(data, rng)
    if not members:
        return of_bytes(data, rng)
    at = rng.randrange(len(members))
    name, content = members[at]
    draw = rng.random()
    if draw < 0.75:
        damage = of_npy if name.endswith(".npy") else rng.choice((of_bytes, _odd_number))
        members[at] = (name, damage(content, rng))
    elif draw < 0.85:
        renamed = rng.choice(("a.npy", "attention.npy", "mask.npy", "../x.npy", name + ".npy", "q"))
        members[at] = (renamed, content)
    elif draw < 0.93:
        del members[at]
    else:
        members.append(members[at])
    made = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(made, "w", packing) as archive:
        for each, inside in members:
            archive.writestr(zipfile.ZipInfo(each), inside)
    return made.getvalue()


def of_safetensors(data: bytes, rng: Random) -> bytes:
    """A safetensors file whose header has one value changed, at its right length; or odd numbers.

    The metadata of our own files is JSON again, which is changed inside.
    """
    length = int.from_bytes(data[:8], "little")
    if length > len(data):
        return of_bytes(data, rng)
    header, body = data[8 : 8 + length], data[8 + length :]
    draw = rng.random()
    if draw < 0.4 and body:
        return data[: 8 + length] + _odd_number(body, rng)
    if draw < 0.7:
        try:
            described = json.loads(header)
            metadata = described["__metadata__"]
            name = rng.choice(sorted(metadata))
            metadata[name] = of_json(metadata[name].encode(), rng).decode("utf-8", "replace")
            header = _dumped(described)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            header = of_json(header, rng)
    else:
        header = of_json(header, rng)
    return len(header).to_bytes(8, "little") + header + body


def _odd_number(data: bytes, rng: Random) -> bytes:
    """Bytes with a number of some width overwritten by an extreme one, where it is aligned."""
    kind = rng.choice(("<d", "<f", "<q", "<i", "<Q", "<H"))
    width = struct.calcsize(kind)
    if len(data) < width:
        return of_bytes(data, rng)
    at = rng.randrange(len(data) // width) * width
    if kind in ("<d", "<f"):
        odd = (0.0, -0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), 1e-40, 3e38, 1e-3)
    else:
        bits = 8 * width - (kind.islower() or 0)
        odd = (0, 1, 2, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits // 2))
    return data[:at] + struct.pack(kind, rng.choice(odd)) + data[at + width :]


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:200] and len(data) < LARGEST


_INSIDE: dict[str, Damage] = {
    ".npy": of_npy,
    ".npz": of_archive,
    ".pt": of_archive,
    ".safetensors": of_safetensors,
    ".json": of_json,
    ".jsonl": of_json_lines,
}
