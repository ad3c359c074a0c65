"""How numbers, durations, sizes and text from files are written for a person."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number known only from below: a mixing time that was not reached within its limit."""

    bound: float


Value = float | AtLeast

_ZERO = re.compile(r"(?<![\d.,])0(?=\.\d)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def short_decimals(text: str) -> str:
    """``text`` with its numbers in the one style of all that people read: ``.25``, never ``0.25``.

    Data files have numbers as Python writes them.
    """
    return _ZERO.sub("", text)


def decimal(value: float, form: str = "g") -> str:
    """``value`` by Python's format ``form``, in that style."""
    return short_decimals(format(value, form))


def number(value: Any, digits: int = 4) -> str:
    """A number for tables: ``1,234``, ``.3333``, ``∞``, ``–`` where unknown; text as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return {"inf": "∞", "-inf": "−∞", "nan": "–"}.get(str(value), str(value))
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return decimal(value, f",.{digits}g")


def bound_name(name: str) -> str:
    """What a proven bound bounds, in words."""
    known = {
        "thm_2_9": "mixing time (theorem 2.9)",
        "sharper": "mixing time (sharper)",
        "fidelity_backward": "fidelity x nodes",
    }
    return known.get(name, name.replace("_", " "))


def changes(keys: Mapping[str, Any]) -> str:
    """Keys of a scenario with their values: ``head_diversity .5, match_scale``."""
    return ", ".join(
        name if value is True else f"{name} {number(value)}" for name, value in keys.items()
    )


def short_number(value: Value | None) -> str:
    """A number for sentences, in three significant digits: ``12.3``, ``1.0e-5``, ``>10000``."""
    if value is None:
        return "–"
    if isinstance(value, AtLeast):
        return f">{decimal(value.bound)}"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-4:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return decimal(value, ".3g")


def fraction(value: float, largest: int = 1000) -> str:
    """``5/12`` for a number that is a fraction of small terms, else as `short_number`.

    Designed graphs have such numbers, measured ones only by chance: so only denominators up to
    ``largest`` count, and they must match to the last bits.
    """
    if not math.isfinite(value):
        return short_number(value)
    from fractions import Fraction  # with decimal, 2 ms that --help need not wait for

    near = Fraction(value).limit_denominator(largest)
    if near.denominator > 1 and math.isclose(float(near), value, rel_tol=1e-12):
        return f"{near.numerator}/{near.denominator}"
    return short_number(value)


def show_value(value: Any, *, exact: bool = True) -> str:
    """One side of a comparison in five digits, with its fraction where it has one.

    What is not a number, as a damaged log may have it, is shown as `number` does.
    """
    if isinstance(value, AtLeast):
        return short_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return number(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    text = decimal(value, ",.5g")
    small = fraction(value, largest=1000)
    return f"{small} = {text}" if exact and "/" in small else text


@lru_cache(maxsize=1024)  # frames say the same numbers again and again
def compact(value: float, digits: int = 2) -> str:
    """A number in few characters: ``.25``, ``12``, ``1,200``, ``12k``, ``3e12``, ``inf``."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 10**-4 or size >= 10**7:
        mantissa, exponent = f"{value:.{max(digits - 1, 0)}e}".split("e")
        return f"{_trim(mantissa)}e{int(exponent)}"
    if size < 1:
        return _trim(decimal(value, f".{digits - 1 - math.floor(math.log10(size))}f"))
    for limit, letter in ((10**6, "M"), (10**4, "k")):
        if size >= limit:
            scaled = value / (limit if letter == "M" else 1000)
            return _trim(f"{scaled:.{max(digits - len(str(int(abs(scaled)))), 0)}f}") + letter
    if size >= 1000:
        return f"{value:,.0f}"
    return _trim(f"{value:.{max(digits - len(str(int(size))), 0)}f}")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """A share as a percentage in at most six characters: ``62%``, ``4.1%``, ``.034%``, ``~0%``."""
    if math.isnan(share):
        return "–"
    value = 100 * share
    if 0 < value < 0.0001:
        return "~0%"
    return f"{value:.0f}%" if value >= 9.95 else f"{compact(value)}%"


def tick_text(value: float, step: float) -> str:
    """A tick's label, with the decimals that tell it from the next tick."""
    if value == 0 or abs(value) < abs(step) * 1e-9:
        return "0"
    if abs(value) >= 10**4 or (0 < step < 10**-4):
        return compact(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    if step > 0 and not math.isclose(round(step, decimals), step, rel_tol=1e-6):
        decimals += 1
    return decimal(value, f",.{decimals}f")


def measured(value: Any) -> str:
    """A metric of an event in few characters: a censored time as written, ``–`` for none."""
    if isinstance(value, str):
        return value.replace("> ", ">")
    return "–" if value is None else compact(float(value), 3)


def interval_text(ends: Sequence[Any] | None) -> str:
    """`` [low, high]``, or nothing for an interval without width: exact numbers need none."""
    if not ends or measured(ends[0]) == measured(ends[1]):
        return ""
    return f" [{measured(ends[0])}, {measured(ends[1])}]"


def span(ends: Sequence[float]) -> str:
    """``[low, high]``, or nothing for an interval that is unknown or without width."""
    return "" if any(map(math.isnan, ends)) else interval_text(ends).strip()


def age(started: str, now: datetime.datetime | None = None) -> str:
    """How long ago a moment (ISO 8601) was, for a person."""
    try:
        then = datetime.datetime.fromisoformat(started)
    except ValueError:
        return ""
    now = datetime.datetime.now(datetime.UTC) if now is None else now
    return f"{ago((now - then).total_seconds())} ago"


def share_text(value: float, room: int) -> str:
    """A share in ``room`` characters: two digits, or two decimals where these are too long."""
    text = compact(value)
    if len(text) <= room:
        return text
    return f"{value:.{max(room - 1, 0)}f}".removeprefix("0")[:room] if value >= 0.005 else "<1%"


def out_of_sight(before: int, after: int, ascii_only: bool = False) -> str:
    """How many lines are above and below those shown: ``2 more ▴  3 more ▾``; empty for none."""
    up, down = "^v" if ascii_only else "▴▾"
    parts = [(before, up), (after, down)]
    return "  ".join(f"{count} more {sign}" for count, sign in parts if count)


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, with ``…`` where some are missing."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)].rstrip()}…"


def duration(seconds: float) -> str:
    """A duration, rounded: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = minutes / 60
    if hours < 48:
        return f"{int(hours)} h {minutes % 60} min"
    return f"{int(hours // 24)} d {round(hours % 24)} h"


def ago(seconds: float) -> str:
    """An age in its largest whole unit: ``12 s``, ``5 min``, ``3 h``, ``2 d``; never negative."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(seconds, 0))} s"


def clock(seconds: float) -> str:
    """A running time as ``m:ss`` or ``h:mm:ss``."""
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Bytes in binary units: ``900 B``, ``1.9 GiB``, ``412 MiB``."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    digits = 0 if units[0] == "B" or count >= 100 else 1
    return f"{count:.{digits}f} {units[0]}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 head``, ``2 heads``, ``1,000 processes``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def clean(text: Any) -> str:
    """Text from a file, on one line and unable to steer a terminal.

    White space becomes blanks; controls, marks that turn the direction of writing, characters
    without width and halves of surrogate pairs become ``�``.
    """
    return _replaced(str(text), "")


def clean_lines(text: Any) -> str:
    """As `clean`, for text of several lines: line breaks and tabs stay."""
    return _replaced(str(text), "\n\t")


def csv_text(text: str) -> str:
    """Text for a cell of a CSV file: clean, and nothing that spreadsheets take for a formula."""
    text = clean(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def xml_text(text: str) -> str:
    """Text with ``�`` for what XML 1.0 cannot contain, not even escaped."""
    return _NOT_XML.sub("�", text)


def _replaced(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else " " if each.isspace() else "�"
        for each in text
    )
