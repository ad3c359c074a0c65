"""The styles that every canvas refers to, by their position."""

from __future__ import annotations

STYLES = (
    "text",
    "muted",
    "axis",
    "marker",
    "cursor",
    "title",
    "headline",
    "warning",
    "error",
    "good",
    "pill-good",
    "pill-warning",
    "pill-error",
    "pill-quiet",
    *(f"run-{place}" for place in range(1, 9)),
    *(f"faint-{place}" for place in range(1, 9)),
)
INDEX = {name: position for position, name in enumerate(STYLES)}
TEXT, MUTED, AXIS, CURSOR, TITLE = (
    INDEX[name] for name in ("text", "muted", "axis", "cursor", "title")
)
