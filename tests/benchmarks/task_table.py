"""Every task trained at laptop size: loss and accuracy reached, beside floor and ceiling.

Run: `python -m tests.benchmarks.task_table [TASK…]`. Each task trains one and eight heads, which
have equal parameters, as one stack, and is measured on 256 held-out sequences. Prints a Markdown
table, each row as soon as it is known.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from synergy_trainer import TASKS, Probe, RunSettings, TrainSettings, train

RUNS = [RunSettings("1", heads=1), RunSettings("8", heads=8)]
USUAL = TrainSettings(
    length=32, vocabulary=16, steps=1000, batch=64, learning_rate=2e-3, probe_every=0,
    probe_inputs=256, log_every=1000,
)  # fmt: skip
# What is easy needs fewer steps; the harder tasks need more, or sizes at which they are learnt.
OWN = {
    "copy": {"steps": 300},
    "zero": {"steps": 100},
    "cycle": {"steps": 500},
    "sort": {"length": 33, "steps": 1500},
    "reverse": {"length": 33, "steps": 1500},
    "parity": {"length": 8, "vocabulary": 2, "steps": 3000},
    "second_maximum": {"steps": 1500},
    "associative_recall": {"steps": 3000},
    "induction": {"length": 24, "steps": 6000},
}


def main(names: list[str]) -> None:
    """Train the named tasks, or all, and print one row for each."""
    print("| task | length, values, steps | floor | loss, 1 / 8 heads | ceiling |", end=" ")
    print("accuracy, 1 / 8 heads | seconds |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in names or TASKS:
        settings = replace(USUAL, task=name, **OWN.get(name, {}))
        begun = time.perf_counter()
        probes = [event for event in train(settings, RUNS) if isinstance(event, Probe)]
        seconds = time.perf_counter() - begun
        task = TASKS[name](settings.length, settings.vocabulary)
        one, eight = probes[-2:]
        print(
            f"| {name} | {settings.length}, {settings.vocabulary}, {settings.steps} "
            f"| {task.floor:.4f} | {one.loss:.4f} / {eight.loss:.4f} "
            f"| {task.ceiling:.4f} | {one.accuracy:.4f} / {eight.accuracy:.4f} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TASK", choices=[[], *TASKS])
    main(parser.parse_args().names)
