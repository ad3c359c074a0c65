"""What this process runs in: tmux and its character set, and a session that may end with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_LINGERING = Path("/var/lib/systemd/linger")
_LOGIN = "org.freedesktop.login1"


def tmux_draws_ascii(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether tmux would replace all that is not ASCII: its terminal is not known to show UTF-8.

    It knows by the locale that it was attached in, or by ``tmux -u``. Where it cannot be asked (a
    container, or nobody is attached), the locale in here has to do.
    """
    if not environment.get("TMUX"):
        return False
    if shown := _output("tmux", "display-message", "-p", "#{client_utf8}"):
        return shown == "0"
    names = [environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if sys.flags.utf8_mode and names[1] == "C.UTF-8":
        names[1] = ""  # Python puts it there itself where the locale is C
    chosen = next(filter(None, names), "").lower().replace("-", "")
    return not chosen.endswith("utf8")


def ends_at_logout() -> str:
    """Return what keeps runs alive after logging out, where they would be ended; else nothing.

    systemd ends what a user left behind: with ``KillUserProcesses=yes`` each session's processes,
    and always those of the user's manager (what desktops start), unless the user lingers.
    """
    try:
        group = Path("/proc/self/cgroup").read_text(errors="replace")
    except OSError:
        return ""
    return _remedy(group, kills=_kills_user_processes, lingers=_lingers)


def _remedy(group: str, *, kills: Callable[[], bool], lingers: Callable[[], bool]) -> str:
    """`ends_at_logout` of a process in a control group; what else there is to know is asked for."""
    linger = "" if lingers() else "`loginctl enable-linger`"
    if re.search(r"/user@\d+\.service/", group):
        return linger
    if re.search(r"/session-\w+\.scope", group) and kills():
        scope = "start with `systemd-run --user --scope synergy …`"
        return f"{linger}, then {scope}" if linger else scope
    return ""


def _kills_user_processes() -> bool:
    return _output(
        "busctl", "get-property", _LOGIN, "/org/freedesktop/login1", f"{_LOGIN}.Manager",
        "KillUserProcesses",
    ) == "b true"  # fmt: skip


def _lingers() -> bool:
    import pwd

    try:
        return (_LINGERING / pwd.getpwuid(os.getuid()).pw_name).exists()
    except (KeyError, OSError):
        return False


def _output(*command: str) -> str:
    """What a command prints, or nothing where it is absent, fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
