"""One thread that works on the newest request; requests that come in meanwhile replace each other.

A person holding a key down asks for a dozen results per second and wants the last. The work is done
off the event loop, never twice at a time, and what has been overtaken is never started.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from synergy_tui.errors import UserError

Result = TypeVar("Result")

HORIZON = 20_000
"""Steps after which a fidelity that has not settled is given as it stands."""
TOLERANCE = 1e-9
"""How closely a fidelity must have settled."""
SEARCHED_NODES, SEARCHED_HEADS = 128, 16
"""Systems larger than this are not searched for best weights and bounds while somebody waits."""


class Desk(Generic[Result]):
    """Runs the newest request in a thread.

    ``deliver`` gets the result of a request and ``fail`` what it raised, both in that thread and
    only when no newer request is waiting.
    """

    def __init__(
        self, deliver: Callable[[Result], object], fail: Callable[[Exception], object]
    ) -> None:
        self._deliver = deliver
        self._fail = fail
        self._changed = threading.Condition()
        self._waiting: Callable[[], Result] | None = None
        self._working = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on or waits."""
        return self._working

    def ask(self, request: Callable[[], Result]) -> None:
        """Work on ``request`` next; one that still waits is forgotten."""
        with self._changed:
            if self._closed:
                return
            self._waiting = request
            if not self._working:
                self._working = True
                # A daemon: a long measurement must not hold up leaving the app.
                threading.Thread(target=self._work, name="desk", daemon=True).start()

    def close(self) -> None:
        """Take no more requests and deliver nothing any more."""
        with self._changed:
            self._closed = True
            self._waiting = None

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is left to do; false when ``timeout`` seconds were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._working, timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                request, self._waiting = self._waiting, None
                if request is None:
                    self._working = False
                    self._changed.notify_all()
                    return
            try:
                result = request()
            except Exception as error:
                if not self._overtaken():
                    self._fail(error)
            else:
                if not self._overtaken():
                    self._deliver(result)

    def _overtaken(self) -> bool:
        with self._changed:
            return self._closed or self._waiting is not None


def reason(error: Exception) -> str:
    """What went wrong in a request, in one line for a person."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return f"{text} {error.hint or ''}".strip()
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
