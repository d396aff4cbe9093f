"""Names in generated code."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable

_TAKEN = frozenset({*dir(builtins), "self", "torch", "nn", "F", "x", "make_divisible"}) - {"input"}
_SPELLED = {"bn": "BN", "mb": "MB", "mbconv": "MBConv", "mlp": "MLP", "mlpconv": "MLPConv", "se": "SE", "vgg": "VGG"}


def value_name(name: str) -> str:
    """`name` as an argument or a variable: without a clash with what the code itself uses."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not found or found[0].isdigit():
        found = f"x{found}"
    return f"{found}_" if found in _TAKEN or keyword.iskeyword(found) else found


def class_name(name: str, description: str = "") -> str:
    """`name` in capitals and small letters; spelled as the description starts, where that is the same name.

    >>> class_name("resnet50", "ResNet-50, a residual network")
    'ResNet50'
    >>> class_name("conv_unit")
    'ConvUnit'
    """
    letters = re.sub(r"[^A-Za-z0-9]", "", description[:200])
    found = ""
    for word in re.split(r"[_-]+", name):
        spelled = letters[: len(word)]
        letters = letters[len(word) :]
        if not word or spelled.lower() != word.lower() or spelled.islower():
            letters = ""
            spelled = _SPELLED.get(word.lower(), word[:1].upper() + word[1:])
        joint = "_" if found and found[-1].isdigit() and spelled[:1].isdigit() else ""
        found += joint + spelled
    return found if found and not found[0].isdigit() else f"Net{found}"


def numbered(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or the first of `name_2`, `name_3`, ... where that is taken."""
    found, number = name, 1
    while taken(found):
        number += 1
        found = f"{name}_{number}"
    return found


class Names:
    """Names of one scope of generated code, each given once."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self.taken: set[str] = set(taken)

    def unique(self, name: str) -> str:
        """`name`, or `name_2`, ... where that is taken."""
        found = numbered(name, self.taken.__contains__)
        self.taken.add(found)
        return found
