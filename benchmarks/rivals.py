"""The libraries that archspec is measured against, where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from functools import cache
from types import ModuleType

import torch


@cache
def torchvision() -> ModuleType:
    """Torchvision. Its networks need none of its compiled operators, which serve detection.

    Where these do not load (its wheels want CUDA, `pip install --no-deps torchvision` beside a CPU build of torch),
    their names are declared, for it registers shapes for them when it is imported.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed", name="torchvision")
    folder = os.path.dirname(spec.origin)
    try:
        torch.ops.load_library(os.path.join(folder, "_C.so"))
    except OSError:
        with open(os.path.join(folder, "_meta_registrations.py"), encoding="utf-8") as file:
            names = set(re.findall(r'@(?:register_meta|torch\.library\.register_fake)\("(?:\w+::)?(\w+)"', file.read()))
        library = torch.library.Library("torchvision", "FRAGMENT")
        _DECLARED.append(library)  # what it declares is there as long as it is
        for name in names:
            library.define(f"{name}(Tensor x) -> Tensor")
    return importlib.import_module("torchvision")


_DECLARED: list[torch.library.Library] = []
