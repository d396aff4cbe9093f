"""Print the plan of a network, for work on this back end: `python -m archspec.backends.source SPEC [RULE]`.

The plan is polished, or if the name of a rule is given, as the rules up to this one leave it; `none` is before all.
"""

from __future__ import annotations

import sys

from archspec.backends.source.generator import plan
from archspec.backends.source.polish.rules import RULES
from archspec.network import load


def printed(spec: str, last: str = RULES[-1].__name__) -> str:
    """Return the plan of a spec as text, after the rules up to the one called `last`."""
    names = ["none", *(rule.__name__ for rule in RULES)]
    classes = plan(load(spec))
    for each in classes:
        for rule in RULES[: names.index(last)]:
            rule(each)
    return "\n\n".join(map(str, classes)) + "\n"


if __name__ == "__main__":
    print(printed(*sys.argv[1:3]), end="")
