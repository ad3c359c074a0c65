"""Copying, with a stand-in for tmux and with the real one."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from synergy_tui.app import clipboard
from synergy_tui.app.session import Copy
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, screen_text, until


def stand_in(folder: Path, script: str) -> None:
    tmux = folder / "tmux"
    tmux.write_text(f"#!/bin/sh\n{script}\n")
    tmux.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ('cat > "$TAKEN"', "tmux, which hands it to its terminal"),
        ('[ "$2" = -w ] && exit 1; cat > "$TAKEN"', "tmux's buffer"),  # before tmux 3.2
        ("exit 1", ""),
    ],
)
async def test_in_tmux_copying_goes_through_tmux_and_is_only_claimed_when_it_did(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, where: str
) -> None:
    stand_in(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setenv("TAKEN", str(tmp_path / "taken"))
    async with opened(synthetic.trained(upto=40)) as pilot:
        pilot.app.screen.post_message(Copy("0.25 ± φ", "number 0.25"))
        said = f"Copied the number 0.25 to {where}" if where else "nothing was copied"
        await until(lambda: said in screen_text(pilot.app), pilot)
        assert (tmp_path / "taken").exists() is bool(where)
        if where:
            assert (tmp_path / "taken").read_text() == "0.25 ± φ"


async def test_without_tmux_the_terminal_is_asked_and_the_keys_give_way_to_the_message(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with opened(synthetic.trained(upto=40)) as pilot:
        await pilot.press("Y")
        said = "Sent the verdict and table of runs to the terminal's clipboard"
        await until(lambda: said in screen_text(pilot.app).splitlines()[-1], pilot)
        rows = list(csv.reader(io.StringIO(pilot.app.clipboard), delimiter="\t"))
        assert [row[0] for row in rows if row[0].endswith("multi-head")][-1:] == ["▲ multi-head"]
        assert any(row[1:2] == ["sooner"] for row in rows)


async def test_a_message_that_fits_stands_in_the_bar_of_keys_for_a_while(opened: Opened) -> None:
    async with opened(synthetic.trained(upto=40)) as pilot:
        app, last = pilot.app, lambda: screen_text(pilot.app).splitlines()[-1]
        app.notify("short", timeout=0.3)
        await pilot.pause()
        assert last().strip() == "short"
        assert not app._notifications
        await until(lambda: "play/pause" in last(), pilot)
        app.notify("long " * 40)
        await pilot.pause()
        assert "play/pause" in last()
        assert len(app._notifications) == 1


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_real_tmux_keeps_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = f"synergy-copy-{os.getpid()}"

    def run(*arguments: str) -> str:
        command = ["tmux", "-L", socket, "-f", os.devnull, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    run("new-session", "-d", "cat")
    try:
        where = run("display-message", "-p", "#{socket_path},#{pid},0").strip()
        monkeypatch.setenv("TMUX", where)
        assert "tmux" in clipboard.load_into_tmux("a\tb\n")
        assert run("show-buffer") == "a\tb\n"
    finally:
        run("kill-server")


def test_tables_have_tabs_and_nothing_that_a_spreadsheet_would_run() -> None:
    assert clipboard.tsv([["a\tb", "=1+1"], ["φ", ""]]) == "a b\t'=1+1\nφ\t\n"
    assert clipboard.tsv_of_csv('a,b\n"x, y",2\n') == "a\tb\nx, y\t2\n"
