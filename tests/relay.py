"""A bad line between two network namespaces: frames come late, and some never.

``python -m tests.relay SPACE SPACE SECONDS LOSS`` gives each a network card ``tap0`` and carries
what one sends to the other, after half of ``SECONDS`` (the round trip), but for a share ``LOSS``.
It is what netem does, for kernels that lack it.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def card(space: str) -> int:
    """Make a network card in a namespace; return the descriptor of its other side."""
    with open(f"/run/netns/{space}", "rb") as place:  # noqa: PTH123
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")
    side = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(side, _TUNSETIFF, struct.pack("16sH22x", b"tap0", _IFF_TAP | _IFF_NO_PI))
    return side


def main() -> None:
    sides = [card(space) for space in sys.argv[1:3]]
    late, loss = float(sys.argv[3]) / 2, float(sys.argv[4])
    other = {sides[0]: sides[1], sides[1]: sides[0]}
    chance, order = random.Random(0), itertools.count()
    flying: list[tuple[float, int, int, bytes]] = []
    print("ready", flush=True)
    while True:
        wait = max(0.0, flying[0][0] - time.monotonic()) if flying else None
        for side in select.select(sides, [], [], wait)[0]:
            frame = os.read(side, 65536)
            if chance.random() >= loss:
                heapq.heappush(flying, (time.monotonic() + late, next(order), other[side], frame))
        while flying and flying[0][0] <= time.monotonic():
            _, _, side, frame = heapq.heappop(flying)
            os.write(side, frame)


if __name__ == "__main__":
    main()
