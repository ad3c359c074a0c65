"""How much memory there is, asked before something large is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import TooLargeError


def available_bytes() -> int:
    """Memory that can be taken without swapping, in bytes; a guess of 4 GiB where none is told."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30


def refuse_if_too_large(needed: int, what: str) -> None:
    """Raise :class:`~engine.errors.TooLargeError` when ``needed`` bytes are more than there are.

    Examples
    --------
    >>> refuse_if_too_large(1000, "a small array")
    >>> refuse_if_too_large(10**18, "10^17 edges")
    Traceback (most recent call last):
        ...
    engine.errors.TooLargeError: 10^17 edges would take 931,322,574.6 GiB; this machine has ...
    """
    available = available_bytes()
    if needed > available:
        raise TooLargeError(
            f"{what} would take {needed / 2**30:,.1f} GiB; "
            f"this machine has {available / 2**30:,.1f} GiB available"
        )
