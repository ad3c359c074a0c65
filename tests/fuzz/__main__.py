"""``python -m tests.fuzz``: fuzz the readers for long, and keep what fails.

Each reader gets its share of ``--inputs``, a thousand at a time, in a child process whose memory is
bounded. ``OUT/`` gets a file for every failure (the input, and beside it the traceback); a failure
that was seen before is counted only. Exits with 1 where there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

import synergy_engine as engine
from tests.fuzz.campaign import Tally, fuzz
from tests.fuzz.readers import READERS
from tests.fuzz.readers.reader import Reader

BLOCK = 1000
ROOM = 3 * 2**30
"""Bytes of addresses that reading a file may take beyond what the process has."""
SECONDS = 1800


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzzed"))
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    asked = parser.parse_args()
    chosen = [READERS[name] for name in asked.readers or READERS]
    asked.out.mkdir(parents=True, exist_ok=True)
    engine.warm_up()  # or compiling kernels would look like hanging
    shares = sum(reader.share for reader in chosen)
    wanted = {each.name: round(asked.inputs * each.share / shares) for each in chosen}
    done, failures, begun = dict.fromkeys(wanted, 0), 0, time.monotonic()
    block = 0
    while any(done[name] < wanted[name] for name in wanted):
        for reader in chosen:
            count = min(BLOCK, wanted[reader.name] - done[reader.name])
            # Slow readers take their turn as rarely as their share says.
            if count <= 0 or done[reader.name] > wanted[reader.name] * (block + 1) * BLOCK / max(
                wanted.values()
            ):
                continue
            tally = _in_child(reader, f"{asked.seed}:{block}", count, asked.out)
            done[reader.name] += tally.inputs
            failures += tally.failures
            print(
                f"{sum(done.values()):>9,} {time.monotonic() - begun:7.0f} s  {tally}", flush=True
            )
        block += 1
    return int(failures > 0)


def _in_child(reader: Reader, seed: str, count: int, out: Path) -> Tally:
    """Fuzz in a forked process: native code that crashes or hangs is a failure like others."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        tally = fuzz(reader, seed, count, keep=out)
        os.write(send, json.dumps(tally.as_dict()).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as answers:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.2)
        else:
            os.kill(child, 9)
            _, status = os.waitpid(child, 0)
        if status == 0:
            return Tally(**json.load(answers))
    print(f"{reader.name} {seed}: the process ended with status {status}", file=sys.stderr)
    (out / f"crash-{reader.name.replace(' ', '_')}-{seed.replace(':', '_')}").write_text(
        str(status)
    )
    return Tally(reader.name, count, 0, 0, 1, 0.0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
