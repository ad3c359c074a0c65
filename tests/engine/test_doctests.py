"""The gallery in the docstrings runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import engine

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(engine.__path__, "engine.")
    if ".kernels" not in module.name
)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_every_public_function_shows_or_says_what_it_does() -> None:
    for name in engine.__all__:
        assert getattr(engine, name).__doc__, name
