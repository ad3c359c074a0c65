"""Looks at the files that a scenario names, and for its device, before anything runs."""

from __future__ import annotations

from synergy_tui.errors import UserError
from synergy_tui.scenario import DesignedRun, LoadedRun, Scenario


def check_inputs(scenario: Scenario) -> None:
    """Read the attention, graphs and checkpoints that a scenario names.

    Loads the engine only when there are such files. A `UserError` names every file that cannot be
    used, and why.
    """
    problems: list[str] = []
    for run in scenario.runs:
        named = isinstance(run, LoadedRun) or (
            isinstance(run, DesignedRun) and any(head.file for head in run.heads)
        )
        if not named:
            continue
        from synergy_engine.errors import EngineError
        from synergy_trainer.errors import TrainerError
        from synergy_tui.running.systems import build_system, load_run

        try:
            if isinstance(run, LoadedRun):
                snapshot = load_run(run, scenario).snapshot
                import synergy_engine as engine

                for batch in snapshot.attention:
                    for layer in batch:
                        engine.MultiHeadSystem.from_attention(layer)
            else:
                assert isinstance(run, DesignedRun)
                build_system(run, scenario)
        except UserError as error:
            problems.append(error.message)
        except (EngineError, TrainerError) as error:
            problems += [f"run '{run.name}': {problem}" for problem in error.problems]
    if problems:
        name = scenario.name or "The scenario"
        raise UserError("\n  ".join([f"{name} cannot be run:", *problems]))


def check_device(name: str) -> None:
    """Refuse a device that is not here; loads torch only for those that not every machine has."""
    if name in ("auto", "cpu"):
        return
    from synergy_trainer.device import pick_device
    from synergy_tui.errors import as_user_errors

    with as_user_errors():
        pick_device(name)
