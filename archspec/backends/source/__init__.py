"""Source: a network as Python code that reads as if a person had written it from the spec.

`plan.py` gives blocks and repeats back as classes and loops, whose steps are `items.py`. `build.py` and `forward.py`
write the methods of a class from these, and the template, a whole file, puts the classes together.
"""

from __future__ import annotations

from archspec.backends.source.render import generate, generate_source

__all__ = ["generate", "generate_source"]
