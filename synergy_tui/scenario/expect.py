"""Expectations: one line that compares numbers of runs, parsed by a small grammar, never ``eval``.

::

    expectation = sum (comparison sum)+              a.loss < b.loss ≤ 1
    comparison  = "<" | "<=" | ">" | ">=" | "==" | "!=" | "≤" | "≥" | "≠"
    sum         = term (("+" | "-" | "−") term)*
    term        = factor (("*" | "×" | "·" | "/" | "÷") factor)*
    factor      = ["-" | "−" | "+"] factor | number | "inf" | "(" sum ")"
                | ("min" | "max" | "abs") "(" sum ("," sum)* ")" | metric
    metric      = run "." name ("." name)*           multi-head.layer1.fidelity

``==`` means equal within a relative 1e-9 (absolute 1e-12 at zero): numbers computed in
different ways differ in their last bits. A run's name may contain ``-``; a metric's may not, so
``a.loss-b.loss`` is a difference. A chain holds when each of its comparisons does. Division by
zero, a number that is missing or NaN, and a mixing time known only as "more than the step limit"
where that does not decide: the expectation does not hold, and says why.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from synergy_tui.words import AtLeast, Value, short_number

LONGEST = 2000
DEEPEST = 40
RELATIVE = 1e-9
ABSOLUTE = 1e-12

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<metric>[^\W\d][\w-]*(?:\.\w+)+)"
    r"|(?P<number>(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|==|!=|[<>≤≥≠+\-−*×·/÷(),])"
    r")"
)
_SAME = {"≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "×": "*", "·": "*", "÷": "/"}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
Function = Callable[..., float]
_FUNCTIONS: dict[str, Function] = {"min": min, "max": max, "abs": abs}
_SUMS: dict[str, Function] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: dict[str, Function] = {"*": operator.mul, "/": operator.truediv}


class ExpectationError(ValueError):
    """The line is not an expectation; says where, and what was expected there."""


class UndecidedError(ArithmeticError):
    """A number is missing, or not known well enough to compare."""


Lookup = Callable[[str, str], Value]


@dataclass(frozen=True, slots=True)
class Metric:
    """A run's number by name."""

    run: str
    name: str

    def value(self, lookup: Lookup) -> Value:
        return lookup(self.run, self.name)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    number: float

    def value(self, lookup: Lookup) -> Value:
        return self.number


@dataclass(frozen=True, slots=True)
class Call:
    """An operation on numbers."""

    function: Function
    arguments: tuple[Node, ...]

    def value(self, lookup: Lookup) -> Value:
        numbers = []
        for argument in self.arguments:
            value = argument.value(lookup)
            if isinstance(value, AtLeast):
                raise UndecidedError(f"a number known only as {short_number(value)} enters a sum")
            numbers.append(value)
        try:
            return float(self.function(*numbers))
        except ZeroDivisionError:
            raise UndecidedError("division by zero") from None
        except OverflowError:
            raise UndecidedError("a number too large") from None


Node = Metric | Number | Call


@dataclass(frozen=True, slots=True)
class Expectation:
    """A parsed line."""

    text: str
    sides: tuple[Node, ...]
    """One more than there are comparisons."""
    comparisons: tuple[str, ...]
    """``<``, ``<=``, ``>``, ``>=``, ``==`` or ``!=``."""

    def metrics(self) -> Iterator[Metric]:
        """Yield every metric in it."""
        waiting: list[Node] = list(self.sides)
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, Metric):
                yield node
            elif isinstance(node, Call):
                waiting = [*node.arguments, *waiting]

    def evaluate(self, lookup: Lookup) -> Result:
        """Decide it; ``lookup`` raises `UndecidedError` for a number that is missing."""
        values: list[Value | None] = []
        reason = ""
        for side in self.sides:
            try:
                values.append(side.value(lookup))
            except UndecidedError as error:
                values.append(None)
                reason = reason or str(error)
        holds = not reason
        left, right = values[0], values[-1]
        for index, sign in enumerate(self.comparisons):
            one, other = values[index], values[index + 1]
            if one is None or other is None:
                continue
            try:
                true = compare(one, sign, other)
            except UndecidedError as error:
                true, reason = False, reason or str(error)
            if not true:
                if holds:
                    left, right = one, other
                holds = False
        return Result(self.text, holds, left, right, reason)


@dataclass(frozen=True, slots=True)
class Result:
    """Whether an expectation holds.

    The sides are those of the first comparison that failed; of the whole line when it holds.
    ``None``: a side could not be computed.
    """

    that: str
    holds: bool
    left: Value | None
    right: Value | None
    reason: str
    """Why it could not be decided."""


def compare(one: Value, sign: str, other: Value) -> bool:
    """Decide ``one sign other``.

    An `UndecidedError`: a side is NaN, or known only from below where that does not settle it.
    """
    if isinstance(one, AtLeast) or isinstance(other, AtLeast):
        return _compare_censored(one, sign, other)
    if math.isnan(one) or math.isnan(other):
        raise UndecidedError("a number is NaN")
    equal = one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if sign == "==":
        return equal
    if sign == "!=":
        return not equal
    return bool(_ORDER[sign](one, other))


_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _compare_censored(one: Value, sign: str, other: Value) -> bool:
    if isinstance(one, AtLeast) and not isinstance(other, AtLeast):
        one, sign, other = other, _MIRROR[sign], one
    if isinstance(other, AtLeast) and not isinstance(one, AtLeast) and one <= other.bound:
        return sign in ("<", "<=", "!=")
    raise UndecidedError("a mixing time is known only as more than the step limit")


def parse(text: str) -> Expectation:
    """Parse one line; an `ExpectationError` says where it stops making sense."""
    return _Parser(text).expectation()


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ExpectationError(f"an expectation has at most {LONGEST} characters")
        self.text = text
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        end = len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                where = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                character = self.text[where]
                hint = "; equality is written ==" if character == "=" else ""
                raise ExpectationError(
                    f"'{character}' at character {where + 1} is not understood{hint}"
                )
            kind = match.lastgroup or ""
            token = match.group(kind)
            yield kind, _SAME.get(token, token), match.start(kind)
            at = match.end()

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        kind, token, _ = self.tokens[self.at]
        self.at += 1
        return kind, token

    def fail(self, expected: str) -> ExpectationError:
        if self.at < len(self.tokens):
            _, token, start = self.tokens[self.at]
            return ExpectationError(
                f"expected {expected} instead of '{token}' at character {start + 1}"
            )
        return ExpectationError(f"expected {expected} at the end")

    def expectation(self) -> Expectation:
        sides = [self.sum()]
        comparisons = []
        while self.peek() in _COMPARISONS:
            comparisons.append(self.take()[1])
            sides.append(self.sum())
        if self.at < len(self.tokens) or not comparisons:
            raise self.fail("a comparison (<, <=, >, >=, ==, !=)")
        return Expectation(self.text, tuple(sides), tuple(comparisons))

    def sum(self) -> Node:
        return self.chain(self.term, _SUMS)

    def term(self) -> Node:
        return self.chain(self.factor, _PRODUCTS)

    def chain(self, part: Callable[[], Node], functions: Mapping[str, Function]) -> Node:
        node = part()
        while self.peek() in functions:
            function = functions[self.take()[1]]
            node = Call(function, (node, part()))
        return node

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpectationError(f"nested deeper than {DEEPEST}")
        try:
            return self._factor()
        finally:
            self.depth -= 1

    def _factor(self) -> Node:
        if self.at >= len(self.tokens):
            raise self.fail("a number or run.metric")
        kind, token, _ = self.tokens[self.at]
        if token in ("-", "+"):
            self.take()
            inner = self.factor()
            return Call(operator.neg, (inner,)) if token == "-" else inner
        if token == "(":
            self.take()
            node = self.sum()
            self.close()
            return node
        if kind == "number":
            self.take()
            return Number(float(token))
        if kind == "metric":
            self.take()
            run, _, name = token.partition(".")
            return Metric(run, name)
        if token == "inf":
            self.take()
            return Number(math.inf)
        if token in _FUNCTIONS:
            return self.call()
        if kind == "word":
            raise self.fail("run.metric (as in multi-head.loss), min(…), max(…) or abs(…)")
        raise self.fail("a number or run.metric")

    def call(self) -> Node:
        name = self.take()[1]
        if self.peek() != "(":
            raise self.fail(f"'(' after {name}")
        self.take()
        arguments = [self.sum()]
        while self.peek() == ",":
            self.take()
            arguments.append(self.sum())
        self.close()
        if name == "abs" and len(arguments) != 1:
            raise ExpectationError("abs takes one number")
        function = _FUNCTIONS[name]
        if len(arguments) == 1 and name != "abs":
            return arguments[0]
        return Call(function, tuple(arguments))

    def close(self) -> None:
        if self.peek() != ")":
            raise self.fail("')'")
        self.take()
