"""The outcome of an experiment as a JUnit XML file, which continuous integration systems show.

A run is one test case (error when it failed, skipped when it was stopped before its end), and so
is every expectation (failure when it does not hold, with both sides' values). The scoreboard's
claims are properties of the suite. The layout is the common subset that GitHub, GitLab, Jenkins and
Azure read: ``testsuites/testsuite/testcase``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.files import require_writable, write_output
from synergy_tui.streams import leave_stdout
from synergy_tui.words import xml_text

if TYPE_CHECKING:
    from synergy_tui.experiments.state import ExperimentState


def write_junit(path: Path, state: ExperimentState) -> None:
    """Write the JUnit report of ``state`` to ``path``, all of it or none; ``-`` is stdout.

    Without its report a run has failed; a reader of stdout that has left wants none.
    """
    try:
        with _as_failure():
            write_output(path, render_junit(state))
    except BrokenPipeError:
        leave_stdout()


def require_junit(path: Path) -> None:
    """Make sure that :func:`write_junit` will find a place, before the run."""
    with _as_failure():
        require_writable(path)


@contextmanager
def _as_failure() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(
            error.message, hint="Choose another FILE for --junit.", exit_code=ExitCode.RUN_FAILED
        ) from error


def render_junit(state: ExperimentState) -> str:
    """Return the JUnit XML of an experiment."""
    name = state.scenario or state.id or "synergy"
    suite = ET.Element("testsuite", name=xml_text(name), time=f"{state.elapsed:.3f}")
    _claims(suite, state)
    for run in state.runs.values():
        case = _case(suite, f"{name}.runs", run.name)
        if run.status == "failed":
            _outcome(case, "error", run.reason or "the run failed")
        elif run.status != "finished":
            _outcome(case, "skipped", run.reason or f"the run is {run.status}")
    for event in state.expectations:
        case = _case(suite, f"{name}.expect", str(event["that"]))
        if not event.get("holds"):
            _outcome(case, "failure", _why(event))
    if state.exit_code not in (None, 0, 1) and not suite.findall("testcase/error"):
        case = _case(suite, name, "experiment")
        _outcome(case, "error", state.reason or f"the experiment ended with {state.exit_code}")
    for outcome in ("failure", "error", "skipped"):
        plural = outcome if outcome == "skipped" else f"{outcome}s"
        suite.set(plural, str(len(suite.findall(f"testcase/{outcome}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    root = ET.Element("testsuites", name="synergy")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _claims(suite: ET.Element, state: ExperimentState) -> None:
    """The scoreboard as properties of the suite: a finding neither passes nor fails."""
    from synergy_tui.experiments.verdict import scoreboard

    found = scoreboard(state)
    if not found.lines:
        return
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("compared", found.heading),
        ("measured", f"{found.convention} · {found.measured} · {found.basis}"),
        *((line.claim, f"{line.verdict}: {line.text}") for line in found.lines),
    ):
        ET.SubElement(properties, "property", name=xml_text(name), value=xml_text(value))


def _why(event: dict[str, Any]) -> str:
    """What an expectation compared, with both sides' values."""
    if event.get("reason"):
        return f"{event['that']}: {event['reason']}"
    return f"{event['that']} does not hold: {event.get('left')} against {event.get('right')}"


def _case(suite: ET.Element, classname: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=xml_text(classname), name=xml_text(name))


def _outcome(case: ET.Element, kind: str, message: str) -> None:
    ET.SubElement(case, kind, message=xml_text(message)).text = xml_text(message)
