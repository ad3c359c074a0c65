"""The gallery in the docstrings runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import synergy_engine as engine

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(engine.__path__, f"{engine.__name__}.")
    if ".kernels" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


FUNCTIONS = [name for name in engine.__all__ if inspect.isfunction(getattr(engine, name))]


def test_every_public_name_says_what_it_is() -> None:
    for name in engine.__all__:
        assert getattr(engine, name).__doc__, name
        assert name in dir(engine)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_shows_an_example_and_says_what_it_costs(name: str) -> None:
    text = inspect.getdoc(getattr(engine, name)) or ""
    if name == "set_threads":  # no result to show
        return
    assert ">>>" in text
    examples = doctest.DocTestParser().get_examples(text)
    assert name == "warm_up" or any(each.want or each.exc_msg for each in examples)
    assert "O(" in text or name in ("watch", "warm_up")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_of_a_public_function_is_explained(name: str) -> None:
    function = getattr(engine, name)
    text = inspect.getdoc(function) or ""
    for option in inspect.signature(function).parameters.values():
        if option.kind is option.KEYWORD_ONLY:
            referred = re.search(
                r"(options as in|Options are those of|Arguments are those of)", text
            )
            assert referred or re.search(rf"\b{option.name}\b", text), option.name
