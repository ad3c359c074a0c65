"""Reads scenario files, and reports all that is wrong with one at once."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from synergy_tui.errors import UserError, did_you_mean, nearest
from synergy_tui.files import expand
from synergy_tui.scenario import checks, models
from synergy_tui.scenario.models import Scenario
from synergy_tui.scenario.narrow import PARTS, narrow
from synergy_tui.scenario.positions import Key, Positions
from synergy_tui.scenario.problems import MISSING, Problem, ScenarioError
from synergy_tui.scenario.sweep import Override, Prediction
from synergy_tui.scenario.training import training_problems

LARGEST = 16 * 2**20
DEEPEST_KEY = 64
# Looking up the nearest name takes time; a file with more problems is not a scenario with typos.
MOST_PROBLEMS = 1000

# The parser's time grows with the square of a dotted key's parts. Possessive, and only from where a
# part begins: one pass.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_RUN_KEYS = {key for model in models.RUN_MODELS.values() for key in model.model_fields}
_VALID = re.compile(r"^must be a valid (\w+)")
_DEEP_KEY = re.compile(rf"(?<![\w-])(?:{_PART}){{{DEEPEST_KEY - 1}}}")


def load_scenario(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    inputs: Callable[[Scenario], list[Problem]] | None = None,
    notes: list[str] | None = None,
) -> Scenario:
    """Read, check and resolve a scenario file; a `ScenarioError` lists every problem.

    Paths that it names are relative to its folder. ``overrides`` are as given to ``--set``: see
    `apply_override`. ``seed`` replaces the scenario's. ``inputs`` finds what is wrong with
    files that a scenario names; it sees each run that can be read, whatever else is wrong.
    ``notes`` gets a sentence for what ``overrides`` have left out: see `narrow`.
    """
    file = str(path)
    text = _read(Path(path), file)
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(file, [_syntax_problem(error, text)]) from error
    positions = Positions(text)
    changed: set[Key] = set()
    problems: list[Problem] = []
    of_file = copy.deepcopy(raw.get("sweep"))
    for override in overrides:
        try:
            changed.add(apply_override(raw, override))
        except ValueError as error:
            problems.append(Problem((), f"--set {override}: {error}"))
    left_out = _narrowed(raw, of_file, changed)
    changed |= {("sweep", part) for part in left_out}  # its lines are no longer those of the file
    if notes is not None:
        notes += left_out.values()
    if seed is not None:
        raw["seed"] = seed
        changed.add(("seed",))

    def line(where: Key) -> int | None:
        if any(where[: len(key)] == key for key in changed):
            return None
        return positions.line(where)

    folder = Path(path).parent
    scenario, found = resolve(raw, folder=folder, name=Path(path).stem)
    if inputs is not None:
        found += _of_inputs(raw, scenario, folder, inputs)
    problems += [Problem(each.path, each.message, each.value, line(each.path)) for each in found]
    if problems or scenario is None:
        raise ScenarioError(file, problems)
    return scenario


def _narrowed(raw: dict[str, Any], of_file: Any, changed: set[Key]) -> dict[str, str]:
    """Apply `narrow` where ``--set`` changed an axis, and not what is said about it."""
    table = raw.get("sweep")
    ours = {key[:2] for key in changed} & {("sweep",), *(("sweep", part) for part in PARTS)}
    if not isinstance(table, dict) or not isinstance(of_file, dict) or ours:
        return {}
    return narrow(table, of_file)


def _of_inputs(
    raw: dict[str, Any],
    scenario: Scenario | None,
    folder: Path,
    inputs: Callable[[Scenario], list[Problem]],
) -> list[Problem]:
    """Return the problems of the files that runs name; run by run where not all can be read."""
    if scenario is not None:
        return inputs(scenario)
    problems: list[Problem] = []
    runs = raw.get("runs")
    for index, run in enumerate(runs if isinstance(runs, list) else []):
        if not isinstance(run, dict) or models.run_kind(run) not in ("<designed>", "<loaded>"):
            continue
        alone = {key: raw[key] for key in ("seed", "train") if key in raw} | {"runs": [run]}
        found, _ = resolve(alone, folder=folder)
        problems += [
            Problem(("runs", index, *each.path[2:]), each.message, each.value)
            for each in (inputs(found) if found is not None else [])
        ]
    return problems


def resolve(
    raw: dict[str, Any], *, folder: Path | None = None, name: str = ""
) -> tuple[Scenario | None, list[Problem]]:
    """Check tables and fill in what they leave out; return everything that is wrong, too.

    Relative paths start in ``folder``, and stay relative without one. ``name`` is for a scenario
    that gives none. The scenario is ``None`` when something is wrong.
    """
    problems: list[Problem] = []
    scenario = None
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += [_problem(raw, each) for each in found[:MOST_PROBLEMS]]
        if len(found) > MOST_PROBLEMS:
            problems.append(Problem((), f"{len(found) - MOST_PROBLEMS:,} problems more"))
    covered = {problem.path for problem in problems}
    problems += [each for each in checks.check(raw) if each.path not in covered]
    if scenario is not None and not problems:
        problems += training_problems(scenario)
    if scenario is None or problems:
        return None, problems
    updates: dict[str, Any] = {}
    if not scenario.name:
        updates["name"] = re.sub(r"[^\w-]+", "_", name)
    if not scenario.title:
        updates["title"] = (updates.get("name") or scenario.name).replace("_", " ")
    if folder is not None:
        updates["runs"] = [_absolute(run, folder) for run in scenario.runs]
    return scenario.model_copy(update=updates), problems


def parse_scenario(raw: dict[str, Any], *, name: str, origin: str) -> Scenario:
    """Return the scenario of tables made by a program, which errors call ``origin``."""
    scenario, problems = resolve(raw, name=name)
    if scenario is None:
        raise ScenarioError(origin, problems)
    return scenario


def apply_override(raw: dict[str, Any], override: str) -> Key:
    """Set one key in raw tables, and return its path; a `ValueError` says why it cannot be.

    ``override`` is ``key=value``: a dotted key and a TOML value; what is not TOML is text. In the
    key, a run is named or numbered from 0 (``runs.multi-head.heads``, ``runs.0.heads``), and
    ``runs.heads`` means every run.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ValueError("write key=value, as in train.steps=100")
    return set_key(raw, parts, _value(text.strip()))


def set_key(raw: dict[str, Any], parts: Sequence[str], value: Any) -> Key:
    """Set a dotted key, given as its parts, in raw tables; see :func:`apply_override`."""
    table: Any = raw
    path: Key = ()
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(table, list):
            index = _index(table, part)
            if index is None and not last and path == ("runs",) and part not in _RUN_KEYS:
                names = [each["name"] for each in table if isinstance(each.get("name"), str)]
                near = did_you_mean(part, names)
                raise ValueError(f"there is no run '{part}'{near} (runs: {', '.join(names)})")
            if index is None:
                for each in table:
                    if not isinstance(each, dict):
                        raise ValueError(f"{'.'.join(parts[:number])} contains no tables")
                    set_key(each, parts[number:], value)
                return path
            path = (*path, index)
            if last:
                table[index] = value
            table = table[index]
            continue
        if not isinstance(table, dict):
            raise ValueError(f"{'.'.join(parts[:number])} is not a table")
        path = (*path, part)
        if last:
            table[part] = value
        else:
            table = table.setdefault(part, {})
    return path


def _index(table: list[Any], part: str) -> int | None:
    for number, each in enumerate(table):
        if isinstance(each, Mapping) and each.get("name") == part:
            return number
    if part.isdigit():
        if int(part) >= len(table):
            raise ValueError(f"there is no element {part}; there are {len(table)}, from 0")
        return int(part)
    return None


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _read(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)  # the size of a device says nothing
        if len(data) > LARGEST:
            raise UserError(f"{file}: larger than {LARGEST // 2**20} MiB; not a scenario.")
        text = data.decode("utf-8-sig")
        if _DEEP_KEY.search(text):
            raise UserError(f"{file}: a key of {DEEPEST_KEY} parts or more; not a scenario.")
        return text.replace("\r\n", "\n")
    except FileNotFoundError as error:
        near = nearest(path.name, _siblings(path))
        hint = f"Did you mean '{near}'?" if near else None
        raise UserError(f"{file}: there is no such file.", hint=hint) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not a TOML file (it is not UTF-8 text).") from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"{file!r}: not a path: {error}.") from error


def _siblings(path: Path) -> list[str]:
    try:
        return [each.name for each in path.parent.iterdir() if each.suffix == ".toml"]
    except OSError:
        return []


def _syntax_problem(error: Exception, source: str) -> Problem:
    text = str(error)
    if not isinstance(error, tomllib.TOMLDecodeError | RecursionError):
        return Problem((), "contains a number of more than 4,300 digits")
    if text.endswith(" (at end of document)"):
        last = source.rstrip().count("\n") + 1
        return Problem((), f"not valid TOML: {text}", line=last)
    place = re.search(r"\s*\(at line (\d+), column (\d+)\)", text)
    if place is None:
        return Problem((), f"not valid TOML: {text}")
    message = text[: place.start()]
    return Problem((), f"not valid TOML: {message} (column {place[2]})", line=int(place[1]))


def _problem(raw: dict[str, Any], error: Any) -> Problem:
    """Reword pydantic's message."""
    path: Key = error["loc"]
    if path[:1] == ("runs",) and path[2:3] and path[2] in models.RUN_MODELS:
        path = path[:2] + path[3:]  # which kind of run pydantic took the table for
    while path and not _exists(raw, path) and error["type"] not in ("missing", "extra_forbidden"):
        path = path[:-1]  # pydantic appends which member of a union it tried
    value = _at(raw, path)
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = sorted(_allowed(raw, path[:-1]))
        near = did_you_mean(str(path[-1]), allowed)
        message = f"unknown key{near} (allowed: {', '.join(allowed)})"
    elif kind == "missing":
        message = "this key is needed"
        value = MISSING
    elif kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context.get("expected")))
        message = f"allowed: {', '.join(allowed)}{did_you_mean(str(value), allowed)}"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "must be a table"
    elif kind == "value_error":
        message = str(context.get("error", error["msg"]))
    else:
        message = error["msg"].replace("Input should be", "must be")
        message = _VALID.sub(lambda found: f"must be {_article(found[1])} {found[1]}", message)
    return Problem(path, message, value)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _exists(raw: Any, path: Key) -> bool:
    return _at(raw, path) is not MISSING


def _at(raw: Any, path: Key) -> Any:
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return raw


def _allowed(raw: dict[str, Any], path: Key) -> list[str]:
    """Return the keys that the table at ``path`` may have."""
    if path[:1] == ("runs",):
        model: type[BaseModel] = models.RUN_MODELS[models.run_kind(_at(raw, path[:2]))]
    elif path[:2] == ("sweep", "overrides"):
        model = Override
    elif path[:2] == ("sweep", "predict"):
        model = Prediction
    else:
        model = _TABLES.get(path[:1], Scenario)
    return list(model.model_fields)


_TABLES: dict[Key, type[BaseModel]] = {
    ("train",): models.Train,
    ("analysis",): models.AnalysisTable,
    ("expect",): models.Expect,
    ("sweep",): models.SweepTable,
}


def _absolute(run: Any, folder: Path) -> Any:
    """Return the run with the files that it names made absolute."""

    def rooted(name: str | None) -> str | None:
        return None if name is None else str((folder / expand(name)).absolute())

    if isinstance(run, models.LoadedRun):
        return run.model_copy(
            update={"attention": rooted(run.attention), "checkpoint": rooted(run.checkpoint)}
        )
    if isinstance(run, models.DesignedRun):
        heads = [head.model_copy(update={"file": rooted(head.file)}) for head in run.heads]
        return run.model_copy(update={"heads": heads})
    return run
