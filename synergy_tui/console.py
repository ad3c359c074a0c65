"""The one door by which text for people reaches a terminal: what comes from files cannot act."""

from __future__ import annotations

import os
from typing import Any

import click

from synergy_tui.words import clean_lines


def echo(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Write text to stdout, or to stderr for ``err``, as `clean_lines` leaves it.

    It is flushed at once. JSON needs no cleaning (`events.encode` escapes what a terminal would
    act upon) but tolerates it.
    """
    click.echo(clean_lines(text), err=err, nl=nl)


def sign(text: str, colour: str | None) -> None:
    """Write a sign of the program's own to stdout, in colour where that is wanted."""
    plain = bool(os.environ.get("NO_COLOR"))
    click.secho(text, fg=colour, nl=False, color=False if plain else None)
