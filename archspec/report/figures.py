"""Numbers at a glance: counts, bytes, and significant digits."""

from __future__ import annotations

import math


def count_text(number: int) -> str:
    """Return a count at a glance: `9,408`, `118.0M`, `1.814G`."""
    for unit, scale in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= scale * (10 if unit == "k" else 1):
            return f"{number / scale:.{3 if unit in 'GT' else 1}f}{unit}"
    return f"{number:,}"


def bytes_text(number: int) -> str:
    """Return bytes in decimal units: `46.8 MB`."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number} B"


def significant_text(number: float) -> str:
    """Return a measured figure with three significant digits, or all of its whole part: `0.00123`, `12.3`, `1,235`."""
    decimals = 2 - math.floor(math.log10(abs(number))) if number else 0
    return f"{number:,.{max(0, decimals)}f}"
