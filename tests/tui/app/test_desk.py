"""The desk that asks off the event loop."""

from __future__ import annotations

import threading

from synergy_tui.app.desk import Desk, reason
from synergy_tui.errors import UserError


def test_the_desk_delivers_the_newest_and_skips_what_was_overtaken() -> None:
    delivered: list[int] = []
    started = threading.Event()
    go_on = threading.Event()
    desk: Desk[int] = Desk(delivered.append, lambda error: delivered.append(-1))

    def slow() -> int:
        started.set()
        go_on.wait(10)
        return 0

    desk.ask(slow)
    assert started.wait(10)
    ran: list[int] = []
    for value in range(1, 6):
        desk.ask(lambda value=value: ran.append(value) or value)  # type: ignore[misc, func-returns-value]
    go_on.set()
    assert desk.wait(10)
    assert delivered == [5]
    assert ran == [5]
    assert not desk.busy


def test_the_desk_reports_errors_and_works_on() -> None:
    errors: list[str] = []
    delivered: list[int] = []
    desk: Desk[int] = Desk(delivered.append, lambda error: errors.append(reason(error)))

    def fail() -> int:
        raise UserError("no such file", hint="look elsewhere")

    desk.ask(fail)
    assert desk.wait(10)
    desk.ask(lambda: 1 // 0)
    assert desk.wait(10)
    desk.ask(lambda: 7)
    assert desk.wait(10)
    assert errors[0] == "no such file look elsewhere"
    assert errors[1].startswith("ZeroDivisionError")
    assert delivered == [7]


def test_a_closed_desk_delivers_nothing() -> None:
    delivered: list[int] = []
    started = threading.Event()
    go_on = threading.Event()
    desk: Desk[int] = Desk(delivered.append, lambda error: None)

    def work() -> int:
        started.set()
        go_on.wait(10)
        return 1

    desk.ask(work)
    assert started.wait(10)
    desk.close()
    desk.ask(lambda: 2)
    go_on.set()
    assert desk.wait(10)
    assert delivered == []
