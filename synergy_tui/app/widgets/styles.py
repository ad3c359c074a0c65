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
    "run-1",
    "run-2",
    "run-3",
    "run-4",
    "faint-1",
    "faint-2",
    "faint-3",
    "faint-4",
)
INDEX = {name: position for position, name in enumerate(STYLES)}
TEXT, MUTED, AXIS, CURSOR, TITLE = (
    INDEX[name] for name in ("text", "muted", "axis", "cursor", "title")
)
