"""What a machine offers is found, whatever it lacks."""

from __future__ import annotations

import pytest

from synergy_tui import machine


def test_a_probe_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> machine.Finding:
        raise RuntimeError("the driver is on holiday")

    monkeypatch.setattr(machine, "_gpu", broken)
    findings = {each.name: each for each in machine.examine()}
    assert findings["gpu"].state == "broken"
    assert "the driver is on holiday" in findings["gpu"].text


def test_a_driver_without_a_matching_torch_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(machine, "_driver", lambda: "580.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    [found] = [each for each in machine.examine() if each.name == "gpu"]
    assert found.state == "warning"
    assert "CUDA build" in found.advice


@pytest.mark.parametrize(
    ("variables", "name", "says"),
    [
        ({"NO_COLOR": "1"}, "colour", "NO_COLOR"),
        ({"TMUX": "/tmp/x"}, "terminal", "tmux"),
        ({"SYNERGY_HOME": "/dev/null/none"}, "disk", "not writable"),
    ],
)
def test_the_environment_is_reported(
    variables: dict[str, str], name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    [found] = [each for each in machine.examine() if each.name == name]
    assert says in found.text
