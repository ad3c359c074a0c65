"""Records what a training reports in a thread of its own, so that measuring holds nothing up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class RecordingThread:
    """Passes events to ``record`` one by one, in their order, in a thread of its own.

    What ``record`` raises ends the recording; :meth:`put` and :meth:`drain` raise it again.
    """

    def __init__(self, record: Callable[[Any], None], *, ahead: int) -> None:
        self._record = record
        self._events: queue.Queue[Any] = queue.Queue()
        self._room = threading.Semaphore(ahead)
        self._error: BaseException | None = None
        # A daemon, since a process that is interrupted twice must end in the midst of measuring.
        self._thread = threading.Thread(target=self._work, name="recording", daemon=True)

    def put(self, event: Any, *, slow: bool = False) -> None:
        """Have an event recorded; waits only while ``ahead`` slow ones are yet to be recorded."""
        if slow:
            self._room.acquire()
        if self._error is not None:
            raise self._error
        self._events.put((event, slow))

    def drain(self) -> None:
        """Wait until everything is recorded."""
        self._events.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._events.get()) is not None:
            event, slow = item
            try:
                if self._error is None:
                    self._record(event)
            except BaseException as error:
                self._error = error
            finally:
                if slow:
                    self._room.release()
                self._events.task_done()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            self._error = error  # interrupted: what is still queued is left
        else:
            self._events.join()
        self._events.put(None)
        if error is None and self._error is not None:
            raise self._error
