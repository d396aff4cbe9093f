"""How busy other processes keep the cores that this process may run on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

STAT = "/proc/stat"
SHORTEST = 0.25
"""Seconds: the system counts CPU time in steps of 10 ms, so it says nothing of a shorter time."""


@dataclass(frozen=True)
class CpuTime:
    """A moment: seconds by the clock, and the CPU seconds that all processes and this one have used until then."""

    clock: float
    everybody: float
    own: float


def cores() -> set[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cpu_time() -> CpuTime | None:
    """Return the CPU time used on `cores()` until now; None where the system does not say (it is Linux that does)."""
    try:
        with open(STAT, encoding="ascii") as file:
            rows = [line.split() for line in file if line.startswith("cpu")]
    except OSError:
        return None
    names = {f"cpu{number}" for number in cores()}
    # user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc); what other virtual machines steal is used too
    ticks = sum(sum(map(int, row[1:9])) - int(row[4]) - int(row[5]) for row in rows if row[0] in names)
    used = os.times()
    own = used.user + used.system + used.children_user + used.children_system
    return CpuTime(time.perf_counter(), ticks / os.sysconf("SC_CLK_TCK"), own)


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute, on average; None if the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def load_between(before: CpuTime | None, after: CpuTime | None) -> float | None:
    """Return how many cores other processes kept busy between two moments; None if that is not known."""
    if before is None or after is None or after.clock - before.clock < SHORTEST:
        return None
    others = (after.everybody - before.everybody) - (after.own - before.own)
    return max(0.0, others / (after.clock - before.clock))
