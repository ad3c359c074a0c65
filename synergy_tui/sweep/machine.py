"""The machine that ran something, in a line that a report can print."""

from __future__ import annotations

import platform
from itertools import islice

from synergy_tui.doctor import examine


def machine() -> str:
    """Processor, cores, memory and system of this machine, as ``synergy doctor`` tells them."""
    # The doctor's first three answers; the later ones load torch.
    found = {finding.name: finding.data or {} for finding in islice(examine(), 3)}
    processor, memory = found.get("processor", {}), found.get("memory", {})
    parts = [str(processor.get("name", platform.machine()))]
    if cores := processor.get("quota") or processor.get("usable"):
        parts.append(f"{cores:g} cores")
    if total := memory.get("total"):
        parts.append(f"{total / 2**30:.0f} GiB")
    parts.append(f"{platform.system()} {platform.machine()}")
    return ", ".join(parts)
