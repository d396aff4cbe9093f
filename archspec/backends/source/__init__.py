"""Source: a network as Python code that reads as if a person had written it from the spec.

`generator.py` is the whole of it: a network is traced (`uses/`), planned (`plan/`), polished and written (`write/`).
README.md follows one block through these stages.
"""

from __future__ import annotations

from archspec.backends.source.generator import generate, generate_source

__all__ = ["generate", "generate_source"]
