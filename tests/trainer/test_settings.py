"""Settings: texts, and parameter counts."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

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


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rates_are_those_of_pytorchs_schedulers(schedule: str, warmup: int) -> None:
    settings = TrainSettings(steps=20, warmup=warmup, schedule=schedule)  # type: ignore[arg-type]
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedulers, decay = torch.optim.lr_scheduler, 20 - warmup
    falling = {
        "constant": lambda: schedulers.ConstantLR(optimiser, 1.0),
        "linear": lambda: schedulers.LinearLR(optimiser, 1.0, 0.0, decay),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimiser, decay),
    }[schedule]
    for step in range(1, warmup + 1):
        assert settings.rate_factor(step) == step / warmup
    after = falling()
    for step in range(warmup + 1, 21):
        assert settings.rate_factor(step) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        after.step()


def test_only_what_changes_something_is_an_intervention() -> None:
    assert RunSettings("a", 8, match_scale=True).intervention == RunSettings("b", 8).intervention
    changed = RunSettings("c", 8, head_diversity=0.5, match_scale=True, qk_learning_rate=0.5)
    assert changed.interventions == {
        "head_diversity": 0.5,
        "match_scale": True,
        "qk_learning_rate": 0.5,
    }
