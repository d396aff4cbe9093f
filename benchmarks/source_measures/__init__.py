"""Measures of generated source: each finds one kind of code that a person would not have written.

A measure is a function from a `Source` to the lines that it objects to; `MEASURES` holds them by name.
`source_quality.py` runs them over networks and prints the counts.
"""

from __future__ import annotations

from source_measures import forms, names, values  # noqa: F401 - they enter their measures
from source_measures.source import MEASURES, Hit, Measure, Source

__all__ = ["MEASURES", "Hit", "Measure", "Source"]
