"""Which backend runs a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from synergy_tui.errors import UserError
from synergy_tui.scenario import load_scenario
from synergy_tui.sweep.executors.executor import choose
from tests.tui.sweep.test_plan import BASE


def test_the_command_line_comes_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + '[sweep]\nheads = [1]\nexecutor = "ensemble"\nworkers = 3')
    scenario = load_scenario(file)
    assert choose(scenario, [], device="cpu").executor == "ensemble"
    assert choose(scenario, [], device="cpu").workers == 3
    chosen = choose(scenario, [], executor="pool", workers=2, device="cpu")
    assert (chosen.executor, chosen.workers, chosen.together) == ("pool", 2, 1)
    assert choose(scenario, [], ray="local").ray == "local"
    with pytest.raises(UserError, match="--ray needs the executor ray"):
        choose(scenario, [], executor="pool", ray="local")
