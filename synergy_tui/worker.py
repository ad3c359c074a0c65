"""The process that executes an experiment: ``python -m synergy_tui.worker DIR``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from synergy_tui.errors import UserError
from synergy_tui.experiment import Experiment


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute (or go on with) the experiment in ``DIR`` and return its exit code."""
    parser = argparse.ArgumentParser(prog="synergy_tui.worker", description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--timeout", type=float, help="seconds after which to stop")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    from synergy_tui.runner import Stopper, run_experiment
    from synergy_tui.signals import stop_on_signals

    stopper = Stopper(None if options.timeout is None else time.monotonic() + options.timeout)
    with stop_on_signals(stopper, detached=True):
        try:
            return run_experiment(
                Experiment(options.directory),
                device=options.device,
                should_stop=stopper,
                threads=options.threads,
            )
        except UserError as error:
            print(error.message, file=sys.stderr)
            return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
