"""What the signs on the screens mean, for the help screen."""

from __future__ import annotations

from synergy_tui.app.themes import ASCII_GLYPHS, GLYPHS
from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.app.widgets.shading import ASCII_SHADES

_PANELS = ("dashboard", "heads", "inspector", "stepper", "sidebyside")
_LISTS = ("picker", "sweep")
_EVERY = (*_PANELS, *_LISTS, "log", "help")

_TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (" ".join(GLYPHS), "a run; its curves have the sign's colour", _PANELS),
    ("φ", "minimax fidelity: how clearly the token is heard that is heard worst", _PANELS),
    ("Σ", "the mixture of all heads that are on", ("inspector", "stepper")),
    ("×", "times", _EVERY),
    ("→", "from … to; before a number: approached and never reached", _PANELS),
    ("≤ ¼", "at most a quarter", _PANELS),
    ("≈", "no effect: the interval lies within 1.25 times", ("dashboard", "sidebyside", "sweep")),
    ("✔ ✘ ?", "supported, contradicted, undecided", ("dashboard", "sidebyside", *_LISTS)),
    ("● ✓ ! ✗ ■", "runs, finished, finished but not as expected, failed, stopped", _LISTS),
    ("· • ●", "one, two, more seeds at a place of the scale", ("sweep",)),
    ("•", "a curve with one point so far", ("dashboard", "heads", "sidebyside")),
    ("▁ … █", "a curve: its lowest and highest value", ("sweep",)),
    ("▁ … █", "the last minutes, up to all of one core or to the most", ("dashboard",)),
    ("– ·", "unknown, or not measured yet", _EVERY),
    ("…", "cut short: there is more than there is room for", _EVERY),
    ("▸", "what is selected, and what the keys act on", _PANELS),
    ("▾ ▴ ↓ ↑", "more below, above: so many lines out of sight", (*_PANELS, "picker")),
    ("▼ ▲", "the end of an edge: the token that listens", _PANELS),
    ("★", "the best: of the heads, or of the steps", ("inspector", "stepper")),
    ("▶ ⇄", "along a path: the next token; the head is switched", ("inspector",)),
    ("← ↓", "on a map: hears; read downwards", ("inspector",)),
    (
        "√",
        "shades by square root, so that faint entries can be seen ({inspector.scale} changes)",
        ("inspector",),
    ),
    ("γ", "the part of a token's state that attention replaces in a layer", ("inspector",)),
    ("░ ▒ ▓ █", "from little to much, where colours are few", _PANELS),
    ("┄ ┊", "a value that is named beside the line; on the way of time: still to come", _PANELS),
    ("━ ┿ ◉", "time: what is recorded, a probe, the cursor", _PANELS),
    ("FINISHED !", "an expectation of the scenario failed", ("dashboard", "inspector")),
)

_ASCII = {
    " ".join(GLYPHS): " ".join(ASCII_GLYPHS),
    "· • ●": ". o @",
    "▁ … █": "_ ... @",
    "– ·": "- .",
    "…": ". or ...",
    "░ ▒ ▓ █": f"{ASCII_SHADES[1]} ... {ASCII_SHADES[-1]}",
    "┄ ┊": "- :",
    "━ ┿ ◉": "= + O",
}
"""What the screens draw themselves in ASCII, where it is not what `to_ascii` makes of the sign."""


def signs_of(screen: str, ascii_only: bool = False) -> list[tuple[str, str]]:
    """Signs that can be on a screen, and what they mean."""
    found = [(signs, meaning) for signs, meaning, screens in _TABLE if screen in screens]
    if not ascii_only:
        return found
    return [(_ASCII.get(signs) or to_ascii(signs), to_ascii(meaning)) for signs, meaning in found]
