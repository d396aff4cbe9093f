"""How much memory something takes at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
from collections.abc import Callable

import torch


def peak_above(step: Callable[[], None], place: torch.device) -> int | None:
    """Return how many bytes `step` takes at most, above those in use before it; None if the system does not tell.

    On a GPU what torch allocates, on Linux the resident memory of the process.
    """
    gc.collect()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
        step()
        torch.cuda.synchronize(place)
        return torch.cuda.max_memory_allocated(place) - before
    if place.type != "cpu" or platform.system() != "Linux":
        return None
    # Memory that the C library keeps for later would be used again unseen. Not every C library can give it back.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # resets the peak (man 5 proc)
        before = _status("VmRSS")
        step()
        return max(0, _status("VmHWM") - before)
    except (OSError, ValueError):
        return None


def _status(name: str) -> int:
    """Return a figure of the process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    raise ValueError(name)
