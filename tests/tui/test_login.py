"""What surrounds the process: tmux without UTF-8, sessions that end what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from synergy_tui import login, machine

TMUX = {"TMUX": "/tmp/tmux-0/default,1,0"}


@pytest.mark.parametrize(
    ("answer", "environment", "ascii_only"),
    [
        ("", {"LANG": "C"}, False),
        ("1", TMUX | {"LC_ALL": "C"}, False),  # tmux -u
        ("0", TMUX | {"LC_ALL": "C.UTF-8"}, True),  # attached in another locale than this one
        ("", TMUX, True),
        ("", TMUX | {"LANG": "C"}, True),
        ("", TMUX | {"LANG": "de_DE.utf8"}, False),
        ("", TMUX | {"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, False),
        ("", TMUX | {"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ("", TMUX | {"LANG": "de_DE.ISO-8859-1"}, True),
    ],
)
def test_ascii_where_tmux_shows_nothing_else(
    answer: str, environment: dict[str, str], ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "_output", lambda *_: answer)
    assert login.tmux_draws_ascii(environment) == ascii_only


def test_the_locale_that_python_sets_itself_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    # PEP 538: where the locale is C, Python writes LC_CTYPE=C.UTF-8 into its own environment.
    code = "from synergy_tui.login import tmux_draws_ascii; print(tmux_draws_ascii())"
    for locale, expected in ((("LANG", "C"), "True"), (("LANG", "C.UTF-8"), "False")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PATH": str(tmp_path), "PYTHONPATH": str(Path.cwd()), **dict([locale]), **TMUX},
        )  # fmt: skip
        assert done.stdout.strip() == expected, locale


DESKTOP = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome.scope\n"
SSH = "0::/user.slice/user-1000.slice/session-4.scope\n"


@pytest.mark.parametrize(
    ("group", "kills", "lingers", "remedy"),
    [
        ("0::/\n", True, False, ""),
        ("0::/system.slice/slurmd.service\n", True, False, ""),
        (SSH, False, False, ""),
        (SSH, True, False, "`loginctl enable-linger`, then start with `systemd-run --user"),
        (SSH, True, True, "start with `systemd-run --user"),
        (DESKTOP, False, False, "`loginctl enable-linger`"),
        (DESKTOP, False, True, ""),
    ],
)
def test_what_keeps_runs_after_logging_out(
    group: str, kills: bool, lingers: bool, remedy: str
) -> None:
    found = login._remedy(group, kills=lambda: kills, lingers=lambda: lingers)
    assert found.startswith(remedy)
    assert bool(found) == bool(remedy)


def test_doctor_names_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ends_at_logout", lambda: "`loginctl enable-linger`")
    found = machine._logout()
    assert found.state == "warning"
    assert "enable-linger" in found.advice
    monkeypatch.setattr(machine, "ends_at_logout", lambda: "")
    assert machine._logout().state == "ok"
