"""Settings: texts, and parameter counts."""

from __future__ import annotations

from dataclasses import fields

from synergy_trainer import (
    RunSettings,
    TrainSettings,
    count_parameters,
)

ONE = RunSettings("one", heads=1)


def test_a_billion_layers_are_counted_at_once() -> None:
    one, many = (count_parameters(TrainSettings(layers=k), ONE) for k in (1, 10**9))
    assert many - one == (10**9 - 1) * (count_parameters(TrainSettings(layers=2), ONE) - one)


def test_every_setting_says_what_it_means() -> None:
    for settings in (TrainSettings, RunSettings):
        for each in fields(settings):
            assert each.metadata["description"]
            assert f"    {each.name}\n        {each.metadata['description']}" in settings.__doc__


def test_counts_are_those_of_the_paper_whatever_the_heads() -> None:
    settings = TrainSettings(length=100, vocabulary=256, embed=64, mlp=128, layers=4)
    for heads in (1, 4, 8, 16, 64):
        assert count_parameters(settings, RunSettings("a", heads)) == 172_800
